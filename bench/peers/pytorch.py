"""PyTorch's side of the benchmark; bench/peers/pytorch.ts starts it.

    python pytorch.py CASE.json OPERANDS.safetensors RESULTS.safetensors [--double]

Computes the case once and writes its results, then
answers each line, a number of operations, with the milliseconds that they took. Models take diffusers and transformers.
"""

import json
import os
import sys
import time

import torch
from safetensors.torch import load_file, save_file

from pytorch_ops import prepared

DOUBLE = "--double" in sys.argv
DTYPE = torch.float64 if DOUBLE else torch.float32


def loaded(cls, folder, part):
    return cls.from_pretrained(folder, subfolder=part, torch_dtype=DTYPE).eval().requires_grad_(False)


def nchw(x):
    return x.permute(0, 3, 1, 2).contiguous()


def step(case, pixels, mean, logvar, ids, context, posterior, noise, timesteps):
    """As diffusers' script trains Custom Diffusion: the whole token table is the optimizer's."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel

    folder = case["model"]
    unet, vae, text = (loaded(cls, folder, part) for cls, part in (
        (UNet2DConditionModel, "unet"), (AutoencoderKL, "vae"), (CLIPTextModel, "text_encoder")))
    schedule = DDIMScheduler.from_pretrained(folder, subfolder="scheduler")
    assert schedule.config.prediction_type == "v_prediction"
    table = text.get_input_embeddings().weight
    trained = dict(sorted((n, p) for n, p in unet.named_parameters() if "attn2.to_k.weight" in n or "attn2.to_v.weight" in n))
    params = [table, *trained.values()]
    for p in params:
        p.requires_grad_(True)
    optimizer = torch.optim.AdamW(params, lr=case["rate"], weight_decay=case["decay"])
    pixels, mean, logvar, posterior, noise = map(nchw, (pixels, mean, logvar, posterior, noise))
    ids, timesteps = ids.long(), timesteps.long()
    half = len(pixels)
    known = mean + (logvar / 2).exp() * posterior[half:]

    def once():
        optimizer.zero_grad()
        with torch.no_grad():
            found = vae.encode(pixels).latent_dist
            clean = torch.cat([found.mean + found.std * posterior[:half], known]) * vae.config.scaling_factor
            noisy = schedule.add_noise(clean, noise, timesteps)
            wanted = schedule.get_velocity(clean, noise, timesteps)
        prompts = torch.cat([text(ids).last_hidden_state, context])
        loss = ((unet(noisy, timesteps, prompts).sample - wanted) ** 2).mean()
        loss.backward()
        optimizer.step()
        return [loss.detach().reshape(1), table.grad[case["row"]], *(p.grad for p in trained.values())]

    return once


def sample(case, noise):
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(case["model"], torch_dtype=DTYPE)
    pipe.set_progress_bar_config(disable=True)
    noise = nchw(noise)

    def once():
        latents = pipe(case["prompts"], num_inference_steps=case["steps"], guidance_scale=case["guidance"], eta=0.0,
                       latents=noise, output_type="latent").images
        return [latents.permute(0, 2, 3, 1)]

    return once


def main(case, operands, results):
    torch.set_num_threads(os.cpu_count())
    with open(case) as f:
        case = json.load(f)
    given = {k: v.to(DTYPE) for k, v in load_file(operands).items()}
    # A file of tensors has them in the order of the alphabet.
    given = {k: given[k] for k in case.get("order", given)} | {k: given[k].long() for k in case.get("whole", ())}
    name = case["kind"]
    once = {"step": step, "sample": sample}[name](case, **given) if name != "op" else prepared(case["name"], given)
    with torch.set_grad_enabled("grad" in case["name"] or case["name"].startswith(("step", "train-"))):
        save_file({str(i): t.detach().to(DTYPE).contiguous().clone() for i, t in enumerate(once())}, results)
        print("outcome", json.dumps(f"PyTorch {torch.__version__.split('+')[0]}, {torch.get_num_threads()} threads"), flush=True)
        for line in sys.stdin:
            began = time.perf_counter()
            for _ in range(int(line)):
                once()
            print("outcome", (time.perf_counter() - began) * 1000, flush=True)


main(*sys.argv[1:4])
