"""Makes a work folder from the shipped model, so that its training can go on with other pictures.

    python again.py MODEL DATA WORK [--names train0,kinds0]

writes `clip.pt`, `vae.pt` and `start.pt` (the UNet) as the training programs keep them, and the latents of all pictures.
"""
import argparse
from pathlib import Path

import numpy as np
import torch

from data import World, load, save
from evaluate import Model

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("data")
parser.add_argument("work")
parser.add_argument("--names", default="train0,kinds0")
args = parser.parse_args()
Path(args.work).mkdir(parents=True, exist_ok=True)
model, world = Model(args.model), World(args.data, args.names.split(","))
heads = {k.removeprefix("heads."): v for k, v in model.classifier.state_dict().items() if k.startswith("heads.")}
save(f"{args.work}/clip.pt", clip=model.clip.state_dict(), heads=heads)
save(f"{args.work}/vae.pt", model=model.vae.state_dict(), step=0)
save(f"{args.work}/start.pt", model=model.unet.state_dict())
for name, first, last in zip(args.names.split(","), world.starts, world.starts[1:]):
    shape = (last - first, model.vae.config.latent_channels, 8, 8)
    cache = np.lib.format.open_memmap(f"{args.work}/latents-{name}.npy", "w+", np.float16, shape)
    with torch.no_grad():
        for start in range(first, last, 250):
            index = np.arange(start, min(last, start + 250))
            cache[index - first] = model.vae.encode(world.pixels(index)).latent_dist.mode().numpy()
    cache.flush()
