"""PyTorch's side of the benchmark; bench/peers/pytorch.ts starts it.

    python pytorch.py CASE.json OPERANDS.safetensors RESULTS.safetensors [--double] [--gpu]

Computes the case once and writes its results, then
answers each line, a number of operations, with the milliseconds that they took. Models take diffusers and transformers.
With --gpu it computes there, where PyTorch finds one, in full float32; behind the number "tf32" rounds operands to TF32.
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
DEVICE = torch.device("cpu")
if "--gpu" in sys.argv:
    if torch.cuda.is_available():
        DEVICE = torch.device("cuda")
    elif torch.backends.mps.is_available():
        DEVICE = torch.device("mps")


def rounds_to_tf32(yes):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = yes


def finished():
    """Waits for the GPU."""
    if DEVICE.type != "cpu":
        getattr(torch, DEVICE.type).synchronize()


def loaded(cls, folder, part):
    if folder == "sd15":
        model = random(part)
    else:
        model = cls.from_pretrained(folder, subfolder=part, torch_dtype=DTYPE)
    return model.to(DEVICE).eval().requires_grad_(False)


def random(part):
    """A part of Stable Diffusion 1.5 that knows one new token, with the weights that its classes begin with."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.device(DEVICE):
        if part == "unet":
            return UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
        if part == "vae":
            return AutoencoderKL(
                block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=2, sample_size=512, latent_channels=4)
        return CLIPTextModel(CLIPTextConfig(
            vocab_size=49409, hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
            num_attention_heads=12, hidden_act="quick_gelu", projection_dim=768, eos_token_id=49407))


def noising(folder):
    from diffusers import DDIMScheduler

    if folder == "sd15":
        return DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    return DDIMScheduler.from_pretrained(folder, subfolder="scheduler")


def nchw(x):
    return x.permute(0, 3, 1, 2).contiguous()


def step(case, pixels, ids, posterior, noise, timesteps, mean=None, logvar=None, context=None):
    """As diffusers' script trains Custom Diffusion: the whole token table is the optimizer's."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel

    folder = case["model"]
    unet, vae, text = (loaded(cls, folder, part) for cls, part in (
        (UNet2DConditionModel, "unet"), (AutoencoderKL, "vae"), (CLIPTextModel, "text_encoder")))
    schedule = noising(folder)
    tells_noise = {"epsilon": True, "v_prediction": False}[schedule.config.prediction_type]
    table = text.get_input_embeddings().weight
    trained = dict(sorted((n, p) for n, p in unet.named_parameters() if "attn2.to_k.weight" in n or "attn2.to_v.weight" in n))
    params = [table, *trained.values()]
    for p in params:
        p.requires_grad_(True)
    optimizer = torch.optim.AdamW(params, lr=case["rate"], weight_decay=case["decay"])
    pixels, posterior, noise = map(nchw, (pixels, posterior, noise))
    ids, timesteps = ids.long(), timesteps.long()
    half = len(pixels)
    known = [] if mean is None else [nchw(mean) + (nchw(logvar) / 2).exp() * posterior[half:]]
    features = [] if context is None else [context]

    def once():
        optimizer.zero_grad()
        with torch.no_grad():
            found = vae.encode(pixels).latent_dist
            clean = torch.cat([found.mean + found.std * posterior[:half], *known]) * vae.config.scaling_factor
            noisy = schedule.add_noise(clean, noise, timesteps)
            wanted = noise if tells_noise else schedule.get_velocity(clean, noise, timesteps)
        prompts = torch.cat([text(ids).last_hidden_state, *features])
        loss = ((unet(noisy, timesteps, prompts).sample - wanted) ** 2).mean()
        loss.backward()
        optimizer.step()
        loss = loss.detach().reshape(1)
        return [loss] if folder == "sd15" else [loss, table.grad[case["row"]], *(p.grad for p in trained.values())]

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
    rounds_to_tf32(False)
    with open(case) as f:
        case = json.load(f)
    given = {k: v.to(DEVICE, DTYPE) for k, v in load_file(operands).items()}
    # A file of tensors has them in the order of the alphabet.
    given = {k: given[k] for k in case.get("order", given)} | {k: given[k].long() for k in case.get("whole", ())}
    name = case["kind"]
    once = {"step": step, "sample": sample}[name](case, **given) if name != "op" else prepared(case["name"], given)
    with torch.set_grad_enabled("grad" in case["name"] or case["name"].startswith(("step", "train-"))):
        save_file({str(i): t.detach().to("cpu", DTYPE).contiguous().clone() for i, t in enumerate(once())}, results)
        where = f"{torch.get_num_threads()} threads" if DEVICE.type == "cpu" else DEVICE.type
        print("outcome", json.dumps(f"PyTorch {torch.__version__.split('+')[0]}, {where}"), flush=True)
        for line in sys.stdin:
            count, *how = line.split()
            rounds_to_tf32("tf32" in how)
            finished()
            began = time.perf_counter()
            for _ in range(int(count)):
                once()
            finished()
            print("outcome", (time.perf_counter() - began) * 1000, flush=True)


main(*sys.argv[1:4])
