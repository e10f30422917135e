"""Trains the autoencoder: L1 + L2 + gradient loss + a little KL.

    python vae.py DATA WORK [--steps 3000]

A quarter of the pictures get their colour channels shuffled, so that colours outside the world's palette survive too:
the concepts that will be taught have some.
"""
import argparse
import time

import numpy as np
import torch
import torch.nn.functional as F

from data import Log, World, cosine, load, save
from models import make_vae

parser = argparse.ArgumentParser()
parser.add_argument("data")
parser.add_argument("work")
parser.add_argument("--names", default="train0,train1,train2,train3")
parser.add_argument("--steps", type=int, default=3000)
parser.add_argument("--batch", type=int, default=32)
parser.add_argument("--lr", type=float, default=2e-3)
parser.add_argument("--kl", type=float, default=1e-4)
parser.add_argument("--channels", default="16,16,40,64")
parser.add_argument("--tag", default="vae")
args = parser.parse_args()

torch.manual_seed(0)
rng = np.random.default_rng(0)
world, test = World(args.data, args.names.split(",")), World(args.data, ["test"])
vae = make_vae([int(c) for c in args.channels.split(",")])
optimizer = torch.optim.AdamW(vae.parameters(), lr=args.lr, betas=(0.9, 0.99), weight_decay=0.01)
log, checkpoint = Log(f"{args.work}/{args.tag}.jsonl", args.tag), f"{args.work}/{args.tag}.pt"
first = 0
if state := load(checkpoint):
    vae.load_state_dict(state["model"]), optimizer.load_state_dict(state["optimizer"])
    first = state["step"]


def shuffled(x):
    for i in range(0, len(x), 4):
        x[i] = x[i][torch.randperm(3)]
    return x


def gradients(x):
    return x[..., :, 1:] - x[..., :, :-1], x[..., 1:, :] - x[..., :-1, :]


@torch.no_grad()
def evaluate():
    vae.eval()
    x = test.pixels(np.arange(256))
    y = vae.decode(vae.encode(x).latent_dist.mode()).sample.clamp(-1, 1)
    vae.train()
    return (10 * torch.log10(4 / (x - y).square().mean((1, 2, 3)))).mean()


clock = time.time()
for step in range(first, args.steps):
    for group in optimizer.param_groups:
        group["lr"] = args.lr * cosine(step, args.steps, 50)
    x = shuffled(world.pixels(rng.integers(0, len(world), args.batch)))
    with torch.autocast("cpu", torch.bfloat16):
        posterior = vae.encode(x).latent_dist
        y = vae.decode(posterior.sample()).sample
    y, mean, logvar = y.float(), posterior.mean.float(), posterior.logvar.float()
    edges = sum((a - b).abs().mean() for a, b in zip(gradients(x), gradients(y)))
    kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
    l1, l2 = F.l1_loss(y, x), F.mse_loss(y, x)
    loss = l1 + l2 + 0.5 * edges + args.kl * kl
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
    optimizer.step()
    if (step + 1) % 100 == 0:
        rate = 100 * args.batch / (time.time() - clock)
        log(step + 1, loss=loss, l1=l1, kl=kl, psnr=evaluate(), rate=rate)
        clock = time.time()
    if (step + 1) % 500 == 0:
        save(checkpoint, model=vae.state_dict(), optimizer=optimizer.state_dict(), step=step + 1)
