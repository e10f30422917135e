"""Writes samplers.safetensors: what diffusers' schedulers do, step by step, with a model that is a formula.

Run from this folder with torch, diffusers and safetensors installed: python samplers.py

The model's answer is a x + b t/N + c, with a, b, c stored. For each variant the file holds the noise that a walk starts
from and every sample after it ("trace"), the timesteps at which the model was asked, and the fresh noise that was taken
("noise"). Walks with a strength start from the stored picture, noised by the scheduler. The metadata's "config" has the
variants: the scheduler_config.json that the scheduler itself writes, and how it was run.
"""

import importlib
import json

import diffusers
import torch
from safetensors.torch import save_file

torch.set_num_threads(1)
SD = dict(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
OFFSET = dict(timestep_spacing="leading", steps_offset=1)
LATENT = dict(clip_sample=False)
V, X0 = dict(prediction_type="v_prediction"), dict(prediction_type="sample")
LINEAR = dict(num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, beta_schedule="linear")
COSINE = dict(num_train_timesteps=200, beta_schedule="squaredcos_cap_v2")
ZERO = dict(rescale_betas_zero_snr=True, timestep_spacing="trailing", **V)
KARRAS = dict(use_karras_sigmas=True)

VARIANTS = []


def variants(cls, sampler, shared, *configs):
    for config in configs:
        run = {k: config.pop(k) for k in ("steps", "eta", "strength") if k in config}
        base = {} if "num_train_timesteps" in config else SD
        VARIANTS.append((cls, sampler, {**shared, **base, **config}, {"steps": 10, **run}))


variants("DDPMScheduler", "ddpm", LATENT, {}, {**OFFSET, "steps": 16}, {"timestep_spacing": "trailing", **V},
         {"timestep_spacing": "linspace", **X0}, {"variance_type": "fixed_small_log"}, {"variance_type": "fixed_large", **OFFSET},
         ZERO, {**COSINE, "steps": 7}, {"strength": 0.55, **OFFSET})
variants("DDIMScheduler", "ddim", LATENT, {"eta": 0, **OFFSET, "set_alpha_to_one": False}, {"eta": 1, **OFFSET, "set_alpha_to_one": False},
         {"eta": 0.3, **V}, {"eta": 0, "timestep_spacing": "trailing", "steps": 7, **X0}, {"eta": 0.5, "timestep_spacing": "linspace", **LINEAR},
         {"eta": 0, **ZERO}, {"eta": 1, **ZERO}, {"eta": 0, **COSINE}, {"eta": 0, "strength": 0.8, **OFFSET}, {"eta": 1, "strength": 1.0})
variants("PNDMScheduler", "pndm", {"skip_prk_steps": True}, {**OFFSET}, {**OFFSET, "set_alpha_to_one": True, "steps": 20}, {**OFFSET, **V},
         {"timestep_spacing": "trailing", "steps": 7}, {"timestep_spacing": "linspace", **V, "steps": 12}, {"steps": 1}, {"steps": 2},
         {"steps": 3}, {**LINEAR}, {**COSINE})
variants("EulerDiscreteScheduler", "euler", {}, {}, {**OFFSET}, {"timestep_spacing": "trailing", **V}, {**KARRAS}, {**KARRAS, **OFFSET, **V},
         {"final_sigmas_type": "sigma_min"}, {**X0, "steps": 7}, ZERO, {**LINEAR}, {**COSINE, **KARRAS}, {**KARRAS, "strength": 0.5},
         {**OFFSET, "strength": 0.75})
variants("EulerAncestralDiscreteScheduler", "euler-ancestral", {}, {}, {**OFFSET, "steps": 15}, {"timestep_spacing": "trailing", **V}, ZERO,
         {**LINEAR}, {**COSINE}, {**OFFSET, "strength": 0.6})
variants("DPMSolverMultistepScheduler", "dpm++2m", {}, {}, {"steps": 20}, {**OFFSET}, {**OFFSET, **V, "steps": 18},
         {"timestep_spacing": "trailing", **V}, {**X0}, {"solver_type": "heun", "steps": 16}, {"final_sigmas_type": "sigma_min"},
         {"final_sigmas_type": "sigma_min", "steps": 16}, {"final_sigmas_type": "sigma_min", "steps": 16, "euler_at_final": True},
         {"final_sigmas_type": "sigma_min", "lower_order_final": False, "solver_type": "heun"}, ZERO, {**LINEAR}, {**COSINE}, {"strength": 0.7},
         {"steps": 1}, {"steps": 2})
variants("DPMSolverMultistepScheduler", "dpm++2m-karras", KARRAS, {}, {"steps": 20}, {**V, "steps": 25}, {"final_sigmas_type": "sigma_min"},
         {**LINEAR, "steps": 15}, {"strength": 0.4, "steps": 20})

SIZE = 8
index = torch.arange(SIZE, dtype=torch.float32)
tensors = {
    "a": 0.6 * torch.cos(index) + 0.2,
    "b": 0.5 * torch.sin(2 * index),
    "c": 0.1 * index - 0.3,
    "picture": torch.sin(0.9 * index + 1),
}
made = []
for number, (cls, sampler, config, run) in enumerate(VARIANTS):
    generator = torch.Generator().manual_seed(number)
    draw = lambda: torch.randn(SIZE, generator=generator)
    module = importlib.import_module(getattr(diffusers, cls).__module__)
    taken = []

    def randn(shape, **_):
        taken.append(draw())
        return taken[-1].reshape(shape)

    module.randn_tensor = randn
    s = getattr(diffusers, cls)(**config)
    if run.get("eta") == 1 and "rescale_betas_zero_snr" in config:
        # Its first step takes the root of a difference of equal numbers, which in float32 is 2e-4 instead of 0.
        s.alphas_cumprod = s.alphas_cumprod.double()
    s.set_timesteps(run["steps"])
    timesteps = s.timesteps
    noise = draw()
    skip = run["steps"] - int(run["steps"] * run["strength"]) if "strength" in run else 0
    if hasattr(s, "set_begin_index"):
        s.set_begin_index(skip)
    if "strength" in run:
        timesteps = timesteps[skip:]
        x = s.add_noise(tensors["picture"][None], noise[None], timesteps[:1])
    else:
        x = (noise * s.init_noise_sigma)[None]
    trace, asked, fresh = [x], [], []
    for t in timesteps:
        shown = s.scale_model_input(x, t)
        answer = tensors["a"] * shown + tensors["b"] * (t / config["num_train_timesteps"]) + tensors["c"]
        taken.clear()
        # One dimension more, so that no scheduler takes the answer for one with a variance.
        more = {"eta": run["eta"]} if "eta" in run else {}
        x = s.step(answer, t, x, **more).prev_sample
        assert torch.isfinite(x).all(), (cls, config, run)
        trace.append(x)
        asked.append(float(t))
        fresh.append(taken[0] if taken else torch.zeros(SIZE))
    tensors[f"{number}.start"] = noise
    tensors[f"{number}.trace"] = torch.cat(trace)
    tensors[f"{number}.noise"] = torch.stack(fresh)
    tensors[f"{number}.timesteps"] = torch.tensor(asked)
    # As the scheduler's own file has it: Python's JSON, with -Infinity.
    made.append({"sampler": sampler, "file": s.to_json_string(), **run})
save_file({k: v.contiguous().float() for k, v in tensors.items()}, "samplers.safetensors", {"config": json.dumps({"variants": made})})
print(len(made), "variants")
