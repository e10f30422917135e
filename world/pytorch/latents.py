"""Caches the latents (posterior means) of the data set, for the training of the UNet.

    python latents.py DATA WORK
"""
import argparse

import numpy as np
import torch

from data import World, load
from models import LATENT, make_vae

parser = argparse.ArgumentParser()
parser.add_argument("data")
parser.add_argument("work")
parser.add_argument("--names", default="train0,train1,train2,train3")
args = parser.parse_args()

vae = make_vae().eval()
vae.load_state_dict(load(f"{args.work}/vae.pt")["model"])
world = World(args.data, args.names.split(","))
cache = np.lib.format.open_memmap(f"{args.work}/latents.npy", "w+", np.float16, (len(world), LATENT, 8, 8))
with torch.no_grad():
    for start in range(0, len(world), 128):
        index = np.arange(start, min(len(world), start + 128))
        cache[index] = vae.encode(world.pixels(index)).latent_dist.mean.half().numpy()
cache.flush()
