"""What PyTorch makes of bench/full_size.ts's inputs: Stable Diffusion 1.5 in its full size with portable random weights,
one answer of the UNet, and one Custom Diffusion training step, in float32.

    python full_size.py IN.safetensors GOLD.safetensors

Needs torch, diffusers and transformers, and 12 GB of memory.
"""

import sys
import time

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

torch.set_num_threads(1)
NEW_TOKEN = 49408


def uniforms(name, count, scale=1.0):
    """bench/portable_weights.ts in NumPy: the same bits."""
    seed = 0x811C9DC5
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x01000193) & 0xFFFFFFFF
    x = np.arange(count, dtype=np.uint32)
    x += np.uint32(seed)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x7FEB352D)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    x ^= x >> np.uint32(16)
    x >>= np.uint32(8)
    values = x.astype(np.float32)
    values /= np.float32(2**23)
    values -= np.float32(1)
    values *= np.float32(scale)
    return torch.from_numpy(values)


def fill(model, rename=lambda name: name):
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.requires_grad_(False)
            name = rename(name)
            if p.ndim == 1:
                values = uniforms(name, p.numel(), 0.1)
                last, leaf = name.split(".")[-2:]
                if "norm" in last and leaf == "weight":
                    values = values + 1
            else:
                values = uniforms(name, p.numel(), (3 * p.shape[0] / p.numel()) ** 0.5)
            p.copy_(values.reshape(p.shape))
    return model.eval()


def unet():
    with torch.device("meta"):
        model = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
    return fill(model.to_empty(device="cpu"))


def vae():
    return fill(AutoencoderKL(
        block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=2, sample_size=512, latent_channels=4))


def text_encoder():
    model = CLIPTextModel(CLIPTextConfig(
        vocab_size=NEW_TOKEN + 1, hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
        num_attention_heads=12, hidden_act="quick_gelu", projection_dim=768, eos_token_id=49407))
    # Newer transformers leave out the prefix that every checkpoint has.
    return fill(model, lambda n: n if n.startswith("text_model.") else f"text_model.{n}")


def nchw(x):
    return x.permute(0, 3, 1, 2).contiguous()


def cut_start(_module, _inputs, out):
    """No gradient reaches keys and values of the prompt from position 0."""
    return torch.cat([out[:, :1].detach(), out[:, 1:]], 1)


def main(inputs, gold):
    given = load_file(inputs)
    began = time.time()
    model = unet()
    print(f"UNet: {sum(p.numel() for p in model.parameters())} parameters, {time.time() - began:.0f} s", flush=True)
    results = {}
    began = time.time()
    with torch.no_grad():
        answer = model(nchw(given["sample"]), torch.tensor([500]), given["context"]).sample
    results["unet_out"] = answer.permute(0, 2, 3, 1)
    print(f"forward: {time.time() - began:.0f} s", flush=True)

    began = time.time()
    with torch.no_grad():
        posterior = vae().encode(nchw(given["pixels"])).latent_dist
        clean = (posterior.mean + posterior.std * nchw(given["posterior_noise"])) * 0.18215
    text = text_encoder()
    table = text.get_input_embeddings().weight
    table.requires_grad_(True)
    trained = {}
    for name, module in model.named_modules():
        if name.endswith(("attn2.to_k", "attn2.to_v")):
            module.weight.requires_grad_(True)
            module.register_forward_hook(cut_start)
            trained[f"unet.{name}.weight"] = module.weight
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    t = int(given["timestep"].item())
    kept = float(np.cumprod(1 - betas)[t])
    noise = nchw(given["noise"])
    noisy = kept**0.5 * clean + (1 - kept) ** 0.5 * noise
    context = text(given["ids"].long()).last_hidden_state
    predicted = model(noisy, torch.tensor([t]), context).sample
    mask = given["mask"][:, None]
    loss = (((predicted - noise) ** 2) * mask).sum() / (mask.sum() * 4)
    loss.backward()
    results["loss"] = loss.detach().reshape(1)

    row = torch.nn.Parameter(table.detach()[NEW_TOKEN:].clone())
    row.grad = table.grad[NEW_TOKEN:].clone()
    trained["text_encoder.text_model.embeddings.token_embedding.weight"] = row
    for name, p in trained.items():
        results[f"grad.{name}"] = p.grad.clone()
    torch.optim.AdamW(trained.values(), lr=1e-3, weight_decay=0.01).step()
    for name, p in trained.items():
        results[f"after.{name}"] = p.detach().clone()
    print(f"training step: {time.time() - began:.0f} s, loss {loss.item()}", flush=True)
    save_file({k: v.detach().contiguous() for k, v in results.items()}, gold)


main(*sys.argv[1:])
