"""Writes schedule.json: what diffusers' DDIMScheduler does, step by step.

Run from this folder with torch and diffusers installed: python schedule.py

"exact" walks use the scheduler's own step with its tables recomputed in float64; "stock" walks use it untouched
(float32 tables). The model's answer and the noise of step k are sin(1.3 k + 0.7 i) and cos(2.1 k + i).
"""

import json

import torch
from diffusers import DDIMScheduler
from diffusers.schedulers.scheduling_ddim import betas_for_alpha_bar

SD = dict(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
          clip_sample=False, set_alpha_to_one=False, steps_offset=1, prediction_type="epsilon",
          timestep_spacing="leading")
CONFIGS = {
    "stable diffusion 1": SD,
    "stable diffusion 2 (v)": {**SD, "prediction_type": "v_prediction"},
    "ends on 1": {**SD, "set_alpha_to_one": True, "steps_offset": 0},
    "trailing v": {**SD, "prediction_type": "v_prediction", "timestep_spacing": "trailing"},
    "linear linspace": {**SD, "beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02, "timestep_spacing": "linspace"},
    "cosine": {**SD, "beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 200},
}
ORDER = torch.arange(4, dtype=torch.float64)


def tables64(config):
    n = config["num_train_timesteps"]
    a, b = config["beta_start"], config["beta_end"]
    if config["beta_schedule"] == "linear":
        betas = torch.linspace(a, b, n, dtype=torch.float64)
    elif config["beta_schedule"] == "scaled_linear":
        betas = torch.linspace(a**0.5, b**0.5, n, dtype=torch.float64) ** 2
    else:
        import math
        bar = lambda t: math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
        betas = torch.tensor([min(1 - bar((i + 1) / n) / bar(i / n), 0.999) for i in range(n)], dtype=torch.float64)
        assert torch.allclose(betas.float(), betas_for_alpha_bar(n))
    return torch.cumprod(1 - betas, 0)


def walk(config, steps, eta, exact):
    s = DDIMScheduler(**config)
    if exact:
        s.alphas_cumprod = tables64(config)
        one = torch.tensor(1.0, dtype=torch.float64)
        s.final_alpha_cumprod = one if config["set_alpha_to_one"] else s.alphas_cumprod[0]
    s.set_timesteps(steps)
    x = torch.tensor([1.0, -0.5, 0.25, 2.0], dtype=torch.float64)
    trace, clean = [], []
    for k, t in enumerate(s.timesteps):
        model = torch.sin(1.3 * k + 0.7 * ORDER)
        z = torch.cos(2.1 * k + ORDER)
        out = s.step(model, t, x, eta=eta, variance_noise=z if eta > 0 else None)
        x = out.prev_sample
        trace.append(x.tolist())
        clean.append(out.pred_original_sample.tolist())
    return {"timesteps": s.timesteps.tolist(), "trace": trace, "clean": clean[-1]}


golden = {"walks": [], "timesteps": [], "alphaBars": {}, "noised": []}
for name, config in CONFIGS.items():
    bars = DDIMScheduler(**config).alphas_cumprod
    golden["alphaBars"][name] = {"config": config, "some": {t: bars[t].item() for t in (0, 1, 99, len(bars) // 2, len(bars) - 1)}}
    for steps in (20, 50):
        for eta in (0, 0.5, 1):
            if eta == 0.5 and steps == 50:
                continue
            item = {"config": name, "steps": steps, "eta": eta, **{"exact": walk(config, steps, eta, True)}}
            if steps == 50 and name.startswith("stable"):
                item["stock"] = walk(config, steps, eta, False)["trace"]
            golden["walks"].append(item)
for spacing in ("leading", "trailing", "linspace"):
    for steps in (1, 2, 3, 7, 16, 20, 30, 48, 50, 64, 96, 100, 200, 333, 500, 999):
        s = DDIMScheduler(**{**SD, "timestep_spacing": spacing})
        s.set_timesteps(steps)
        got = s.timesteps.tolist()
        golden["timesteps"].append([spacing, steps, len(got), sum(got), sum(i * t for i, t in enumerate(got)), got[:5]])
for name in ("stable diffusion 1", "stable diffusion 2 (v)"):
    s = DDIMScheduler(**CONFIGS[name])
    for t in (0, 17, 500, 999):
        x, e, at = torch.tensor([0.7, -2.0]), torch.tensor([1.1, 0.3]), torch.tensor([t])
        v = s.get_velocity(x, e, at)
        golden["noised"].append([name, t, s.add_noise(x, e, at).tolist(), v.tolist()])
with open("schedule.json", "w") as f:
    json.dump(golden, f, separators=(",", ":"))
