"""Writes the autoencoder's encoder in closed form: principal components of 4x4 patches, then of 2x2 of those.

    python pca.py DATA WORK [--decoder OLD/vae]

writes vae.pt where there is none, and the latents (posterior means) of each set of pictures that has none yet, for the training
of the UNet. A narrow encoder trained from nothing spends its time on losing colours; the best linear code costs seconds, and the
UNet can be trained on it while the decoder is still learning to draw sharp edges from it. The weights are those of the
ordinary AutoencoderKL: residual branches are zero, the strided convolutions gather 2x2 neighbours, and the way through
the last GroupNorm and SiLU is linear because large constant channels fix the norm's scale and silu(a) - silu(-a) = a.
"""
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from data import SIDE, World, arguments, load, save
from models import Design

NOISE = 0.1  # deviation of the posterior, in units of a latent's own
SMALL, CONSTANT = 0.15, 3.0  # size of the signal beside the constants in the last GroupNorm


FIRST = 16  # components of a 4x4 patch


def spread(deviation):
    """Deviations that the latent channels get, from those of the components in grey levels, largest first.

    A component that moves many grey levels gets a larger latent, so that noise covers details before it covers form and
    form is learnt, and drawn, before details; less so than in the picture itself, where details drown in any noise.
    """
    return 1.6 * (deviation / deviation[0]) ** 0.4


def components(features, keep):
    """Mean, the first `keep` principal directions as rows, and their deviations."""
    mean = features.mean(0)
    values, vectors = np.linalg.eigh(np.cov((features - mean).T))
    order = np.argsort(values)[::-1][:keep]
    return mean, vectors[:, order].T, np.sqrt(values[order])


def gather(x):
    """2x2 neighbours to channels, [n, h, w, c] to [n, h/2, w/2, (dy, dx, c)]."""
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(n, h // 2, w // 2, 4 * c)


def strided(conv, rows, mean, inputs):
    """Makes a stride-2 convolution compute rows @ (neighbours - mean)."""
    conv.weight.zero_(), conv.bias.zero_()
    k = len(rows)
    kernel = torch.from_numpy(rows.reshape(k, 2, 2, inputs).transpose(0, 3, 1, 2).copy()).float()
    conv.weight[:k, :inputs, :2, :2] = kernel
    conv.bias[:k] = torch.from_numpy(-rows @ mean).float()


@torch.no_grad()
def write_encoder(vae, pictures):
    encoder, LATENT = vae.encoder, vae.config.latent_channels
    for name, p in encoder.named_parameters():
        if ".conv2." in name or ".to_out." in name or "conv_shortcut" in name:
            p.zero_()
    encoder.conv_in.weight.zero_(), encoder.conv_in.bias.zero_()
    for c in range(3):
        encoder.conv_in.weight[c, c, 1, 1] = 1
    blocks = encoder.down_blocks
    x = gather(pictures)
    strided(blocks[0].downsamplers[0].conv, np.eye(12), np.zeros(12), 3)
    x = gather(x)
    mean, rows, _ = components(x.reshape(-1, x.shape[-1]), FIRST)
    strided(blocks[1].downsamplers[0].conv, rows, mean, 12)
    means, first_rows = [mean], rows
    x = gather((x - mean) @ rows.T)
    shortcut = blocks[2].resnets[0].conv_shortcut
    for c in range(FIRST):
        shortcut.weight[c, c] = 1
    mean, rows, deviation = components(x.reshape(-1, x.shape[-1]), LATENT)
    unit = rows * (spread(deviation) / deviation)[:, None]
    strided(blocks[2].downsamplers[0].conv, unit, mean, FIRST)
    shortcut = blocks[3].resnets[0].conv_shortcut
    half = vae.config.block_out_channels[-1] // 2
    for c in range(LATENT):
        shortcut.weight[c, c], shortcut.weight[half + c, c] = SMALL, -SMALL
    for c in range(LATENT, half):
        shortcut.bias[c] = shortcut.bias[half + c] = CONSTANT if c % 2 else -CONSTANT
    scale = np.sqrt((half - LATENT) / half * CONSTANT**2 + LATENT / half * SMALL**2)
    encoder.conv_out.weight.zero_(), encoder.conv_out.bias.zero_()
    vae.quant_conv.weight.zero_(), vae.quant_conv.bias.zero_()
    for c in range(LATENT):
        encoder.conv_out.weight[c, c, 1, 1] = scale / SMALL
        encoder.conv_out.weight[c, half + c, 1, 1] = -scale / SMALL
    for c in range(2 * LATENT):
        vae.quant_conv.weight[c, c] = 1
    vae.quant_conv.bias[LATENT:] = torch.from_numpy(2 * np.log(NOISE * spread(deviation))).float()
    return first_rows, [*means, mean], unit


def encode_fast(half, pictures, rows, mean, unit):
    """What the encoder computes, [n, 64, 64, 3] to [n, LATENT, 8, 8], without running it: a few matrix products.
    `half`: how many channels one group of its last GroupNorm has."""
    LATENT = len(unit)
    x = gather((gather(gather(pictures)) - mean[0]) @ rows.T)
    signal = SMALL * (x @ unit.T - unit @ mean[1])
    n = len(x)
    padded = np.concatenate([signal.reshape(n, -1), np.tile(CONSTANT, (n, 64 * (half - LATENT) // 2)),
                             np.tile(-CONSTANT, (n, 64 * (half - LATENT) // 2))], 1)
    centre, spread = padded.mean(1).reshape(n, 1, 1, 1), padded.std(1).reshape(n, 1, 1, 1)
    scale = np.sqrt((half - LATENT) / half * CONSTANT**2 + LATENT / half * SMALL**2)
    return ((signal - centre) / spread * scale / SMALL).transpose(0, 3, 1, 2)


def main():
    args = arguments(__doc__, "pca", names="train0,train1,train2,train3", kinds="", decoder="")
    names = [n for n in [*args.names.split(","), *args.kinds.split(",")] if n]
    torch.manual_seed(0)
    design = Design.read(args.config, args.data)
    half, state = design.vae[-1] // 2, load(f"{args.work}/vae.pt")
    if not state:
        vae, world = design.make_vae().eval(), World(args.data, names[:1])
        if args.decoder:
            own, old = vae.state_dict(), load_file(Path(args.decoder) / "diffusion_pytorch_model.safetensors")
            same = lambda k, v: k.startswith("decoder.") and old[k].shape == v.shape
            vae.load_state_dict({k: old[k].float() if same(k, v) else v for k, v in own.items()})
        index = np.linspace(0, len(world) - 1, 2000).astype(int)
        pictures = (world.bytes(index) / 127.5 - 1).astype(np.float32)
        code = write_encoder(vae, pictures)
        with torch.no_grad():
            z = vae.encode(world.pixels(index[:200])).latent_dist
        exact = torch.from_numpy(encode_fast(half, pictures[:200], *code))
        print("deviation of each latent", z.mean.std((0, 2, 3)).numpy().round(2))
        print("noise", z.std.mean().item(), "; distance from the fast form", (z.mean - exact).abs().max().item())
        state = {"model": vae.state_dict(), "step": 0, "code": code}
        save(f"{args.work}/vae.pt", **state)
    for name in names:
        kept = Path(args.work) / f"latents-{name}.npy"
        if kept.exists():
            continue
        world = World(args.data, [name])
        latents = np.empty((len(world), design.latents, SIDE // 8, SIDE // 8), np.float16)
        for start in range(0, len(world), 500):
            index = np.arange(start, min(len(world), start + 500))
            latents[index] = encode_fast(half, (world.bytes(index) / 127.5 - 1).astype(np.float32), *state["code"])
        with open(f"{kept}.partial", "wb") as file:
            np.save(file, latents)
        Path(f"{kept}.partial").replace(kept)


if __name__ == "__main__":
    main()
