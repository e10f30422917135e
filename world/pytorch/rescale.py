"""Cuts the latents of a trained closed-form autoencoder to the first components, with the deviations of `pca.spread`.

    python rescale.py DATA WORK MODEL

Takes the `vae/` of the folder MODEL and writes vae.pt, to be trained on, and the latents (posterior means) of the whole
data set for the training of the UNet. Fewer channels are learnt sooner; the decoder has to draw from less.
"""
import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from data import World, save
from models import Design
from pca import spread

parser = argparse.ArgumentParser()
parser.add_argument("data")
parser.add_argument("work")
parser.add_argument("model")
parser.add_argument("--names", default="train0,train1,train2,train3")
args = parser.parse_args()
design = Design()
LATENT = design.latents

world = World(args.data, args.names.split(","))
weights = {k: v.float() for k, v in load_file(Path(args.model) / "vae/diffusion_pytorch_model.safetensors").items()}
before = len(weights["post_quant_conv.bias"])
kept = torch.cat([torch.arange(LATENT), before + torch.arange(LATENT)])  # means, then log variances
for name in ("encoder.conv_out.weight", "encoder.conv_out.bias", "quant_conv.weight", "quant_conv.bias"):
    weights[name] = weights[name][kept]
weights["quant_conv.weight"] = weights["quant_conv.weight"][:, kept]
for name in ("post_quant_conv.weight", "post_quant_conv.bias"):
    weights[name] = weights[name][:LATENT]
for name in ("post_quant_conv.weight", "decoder.conv_in.weight"):
    weights[name] = weights[name][:, :LATENT]
vae = design.make_vae().eval().requires_grad_(False)
vae.load_state_dict(weights)


def means(index):
    return vae.encode(world.pixels(index)).latent_dist.mean


deviation = means(np.linspace(0, len(world) - 1, 1500).astype(int)).std((0, 2, 3)).numpy()
unit = vae.encoder.down_blocks[2].downsamplers[0].conv.weight[:LATENT].flatten(1).norm(dim=1).numpy()
grey = deviation / unit  # deviations of the components in grey levels: the rows of `pca.py` are orthogonal
factor = torch.from_numpy(spread(grey) / deviation).float()
vae.quant_conv.weight[:LATENT] *= factor.view(-1, 1, 1, 1)
vae.quant_conv.bias[:LATENT] *= factor
vae.quant_conv.bias[LATENT:] += 2 * factor.log()
vae.post_quant_conv.weight /= factor.view(1, -1, 1, 1)

for name, first, last in zip(args.names.split(","), world.starts, world.starts[1:]):
    cache = np.lib.format.open_memmap(f"{args.work}/latents-{name}.npy", "w+", np.float16, (last - first, LATENT, 8, 8))
    for start in range(first, last, 500):
        index = np.arange(start, min(last, start + 500))
        cache[index - first] = means(index).numpy()
    cache.flush()
print("deviation of each latent", cache[:2000].astype(np.float32).std((0, 2, 3)).round(2))
print("noise", (vae.quant_conv.bias[LATENT:] / 2).exp().numpy().round(3))
save(f"{args.work}/vae.pt", model=vae.state_dict(), step=0)
