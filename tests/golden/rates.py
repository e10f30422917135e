"""Factors of the learning rate as diffusers' get_scheduler gives them, for tests/trainer_test.ts.

    python tests/golden/rates.py > tests/golden/rates.json
"""

import json

import torch
from diffusers.optimization import get_scheduler

STEPS = 12
cases = []
for name in ["constant", "constant_with_warmup", "linear", "cosine"]:
    for warm_up in [0, 5] if name != "constant" else [0]:
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        scheduler = get_scheduler(
            name, optimizer, num_warmup_steps=warm_up, num_training_steps=STEPS
        )
        factors = []
        for _ in range(STEPS):
            factors.append(scheduler.get_last_lr()[0])
            optimizer.step()
            scheduler.step()
        cases.append({"schedule": name, "warmUp": warm_up, "factors": factors})
print(json.dumps({"steps": STEPS, "cases": cases}))
