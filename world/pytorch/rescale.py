"""Gives the latents of a trained autoencoder the deviations of `pca.spread`, without changing what it draws.

    python rescale.py DATA WORK MODEL

Takes the `vae/` of the folder MODEL and writes vae.pt, and the latents (posterior means) of the whole data set for the
training of the UNet. What a channel is multiplied by at the end of the encoder, the decoder's first layer divides by.
"""
import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from data import World, save
from models import LATENT, make_vae
from pca import spread

parser = argparse.ArgumentParser()
parser.add_argument("data")
parser.add_argument("work")
parser.add_argument("model")
parser.add_argument("--names", default="train0,train1,train2,train3")
args = parser.parse_args()

world, vae = World(args.data, args.names.split(",")), make_vae().eval()
weights = load_file(Path(args.model) / "vae/diffusion_pytorch_model.safetensors")
vae.load_state_dict({k: v.float() for k, v in weights.items()})
vae.requires_grad_(False)


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

cache = np.lib.format.open_memmap(f"{args.work}/latents.npy", "w+", np.float16, (len(world), LATENT, 8, 8))
for start in range(0, len(world), 500):
    index = np.arange(start, min(len(world), start + 500))
    cache[index] = means(index).numpy()
cache.flush()
print("deviation of each latent", cache[:2000].astype(np.float32).std((0, 2, 3)).round(2))
print("noise", (vae.quant_conv.bias[LATENT:] / 2).exp().numpy().round(3))
save(f"{args.work}/vae.pt", model=vae.state_dict(), step=0)
