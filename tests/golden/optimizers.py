"""What PyTorch's and optax's optimizers and schedules do, for tests/optimizers_test.ts.

    python tests/golden/optimizers.py torch    # torch 2.15
    python tests/golden/optimizers.py optax    # optax 0.2.8, jax 0.10.2, on the CPU

Each writes its half of tests/golden/optimizers.json. Parameters and gradients are formulas, so that the file holds results alone.
"""
import json, math, os, sys
import numpy as np

SHAPES = {"w": [3, 4], "k": [2, 3, 4], "b": [4], "s": []}
STEPS = 12
PATH = os.path.join(os.path.dirname(__file__), "optimizers.json")


def leaf(index, shape):
    n = int(np.prod(shape))
    return np.cos(0.7 * np.arange(n) + index).astype(np.float32).reshape(shape)


def gradient(index, shape, step):
    n = int(np.prod(shape))
    size = 1.5 + math.sin(step)
    return (size * np.sin(1.7 * np.arange(n) + 0.9 * step + index)).astype(np.float32).reshape(shape)


def listed(params):
    return {k: [float(np.float32(v)) for v in np.asarray(params[k]).reshape(-1)] for k in SHAPES}


def by_torch():
    import torch

    makers = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.05),
        "sgd momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
        "sgd nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
        "adam": lambda p: torch.optim.Adam(p, lr=0.02),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.02, weight_decay=0.1),
        "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.02, alpha=0.9),
        "rmsprop all": lambda p: torch.optim.RMSprop(p, lr=0.02, alpha=0.9, momentum=0.8, centered=True),
    }
    out = {}
    for name, make in makers.items():
        params = {k: torch.tensor(leaf(i, s)) for i, (k, s) in enumerate(SHAPES.items())}
        optimizer = make(list(params.values()))
        for step in range(STEPS):
            for i, (k, s) in enumerate(SHAPES.items()):
                params[k].grad = torch.tensor(gradient(i, s, step))
            optimizer.step()
        out[name] = listed({k: p.numpy() for k, p in params.items()})
    return out


def by_optax():
    import jax, jax.numpy as jnp, optax

    cosine = optax.cosine_decay_schedule(0.05, 10, 0.1)
    makers = {
        "sgd nesterov": optax.sgd(0.05, momentum=0.9, nesterov=True),
        "adam": optax.adam(0.02),
        "adamw": optax.adamw(0.02, weight_decay=0.1),
        "adamw masked": optax.adamw(0.02, weight_decay=0.1, mask=lambda p: jax.tree.map(lambda x: x.ndim > 1, p)),
        "lion": optax.lion(0.01, weight_decay=0.1),
        "rmsprop": optax.rmsprop(0.02),
        "rmsprop centered": optax.rmsprop(0.02, centered=True),
        "adafactor": optax.adafactor(0.1, min_dim_size_to_factor=3),
        "adafactor all": optax.adafactor(min_dim_size_to_factor=2, momentum=0.9, weight_decay_rate=0.01, decay_rate=0.7),
        "adafactor bare": optax.adafactor(0.1, multiply_by_parameter_scale=False, clipping_threshold=None),
        "clip": optax.chain(optax.clip(0.3), optax.sgd(0.1)),
        "norm and schedule": optax.chain(optax.clip_by_global_norm(1.0), optax.adam(cosine)),
        "ema": optax.chain(optax.ema(0.8), optax.scale(-0.1)),
        "ema raw": optax.chain(optax.ema(0.8, debias=False), optax.scale(-0.1)),
        "masked": optax.chain(
            optax.masked(optax.scale_by_adam(), {"w": True, "k": False, "b": True, "s": False}), optax.scale(-0.1)
        ),
    }
    out = {}
    for name, optimizer in makers.items():
        params = {k: jnp.asarray(leaf(i, s)) for i, (k, s) in enumerate(SHAPES.items())}
        state = optimizer.init(params)
        for step in range(STEPS):
            grads = {k: jnp.asarray(gradient(i, s, step)) for i, (k, s) in enumerate(SHAPES.items())}
            updates, state = optimizer.update(grads, state, params)
            params = optax.apply_updates(params, updates)
        out[name] = listed(params)

    schedules = {
        "constant": optax.constant_schedule(0.3),
        "linear": optax.linear_schedule(1.0, 0.1, 7),
        "cosine": optax.cosine_decay_schedule(2.0, 9, 0.25),
        "exponential": optax.exponential_decay(0.5, 4, 0.8),
        "staircase": optax.exponential_decay(0.5, 4, 0.8, staircase=True, end_value=0.3),
        "piecewise": optax.piecewise_constant_schedule(1.0, {3: 0.5, 8: 0.1}),
        "warm-up": optax.warmup_cosine_decay_schedule(0.0, 1.0, 5, 15, 0.1),
        "one cycle": optax.cosine_onecycle_schedule(16, 0.1),
        "join": optax.join_schedules([optax.linear_schedule(0, 1, 4), optax.exponential_decay(1.0, 2, 0.5)], [6]),
    }
    values = {k: [float(s(t)) for t in range(20)] for k, s in schedules.items()}
    return out, values


which = sys.argv[1]
golden = json.load(open(PATH)) if os.path.exists(PATH) else {}
if which == "torch":
    golden["torch"] = by_torch()
else:
    golden["optax"], golden["schedules"] = by_optax()
json.dump({k: golden[k] for k in sorted(golden)}, open(PATH, "w"))
