"""Trains the decoder on the closed-form latents: L1 + L2 + gradient loss. The encoder stays as `pca.py` wrote it.
What a thing covers weighs up to three times as much as the place that it is in: there is what one looks at.

    python vae.py DATA WORK --steps 6000 [--rank 0 --ranks 2]

One picture in eight gets its colour channels shuffled, so that colours outside the world's palette survive too:
the concepts that will be taught have some. A run that was cut off goes on where it stopped.
"""
import time

import numpy as np
import torch
import torch.nn.functional as F

from data import DEVICE, Due, Log, Team, World, arguments, cosine, load, save
from models import Design

args = arguments(__doc__, "vae", names="train0,train1,train2,train3", steps=6000, batch=16, lr=1.5e-3, tag="vae", rank=0, ranks=1)

torch.manual_seed(0)
team = Team(args.rank, args.ranks, 29518)
world, test = World(args.data, args.names.split(",")), World(args.data, ["test"])
vae = Design.read(args.config, args.data).make_vae().to(DEVICE)
vae.encoder.requires_grad_(False), vae.quant_conv.requires_grad_(False)
parameters = [p for p in vae.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(parameters, lr=args.lr, betas=(0.9, 0.99), weight_decay=0.01)
log = Log(f"{args.work}/{args.tag}.jsonl", args.tag) if args.rank == 0 else None
checkpoint = f"{args.work}/{args.tag}.pt"
step, code = 0, None
if state := load(checkpoint):
    vae.load_state_dict(state["model"])
    if "optimizer" in state:
        optimizer.load_state_dict(state["optimizer"])
    step, code = state["step"], state.get("code")
rng = np.random.default_rng([args.rank, step])
torch.manual_seed(1000 * step + args.rank)


def shuffled(x):
    for i in torch.nonzero(torch.rand(len(x)) < 0.125).flatten():
        x[i] = x[i][torch.randperm(3, device=x.device)]
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


clock, share, due = time.time(), args.batch // args.ranks, Due()
while step < args.steps:
    index = rng.integers(0, len(world), share)
    x = shuffled(world.pixels(index))
    weight = 1 + 2 * F.interpolate(world.things(index)[:, None], scale_factor=8)
    weight = weight / weight.mean()
    with torch.no_grad():
        z = vae.encode(x).latent_dist.sample()
    error = vae.decode(z).sample - x
    edges = sum((w * e.abs()).mean() for w, e in zip((weight[..., 1:], weight[..., 1:, :]), gradients(error)))
    l1, l2 = (weight * error.abs()).mean(), (weight * error.square()).mean()
    loss = l1 + l2 + 0.5 * edges
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    mean_loss = team.average(parameters, loss)
    for group in optimizer.param_groups:
        group["lr"] = args.lr * cosine(step / args.steps, step, 50)
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    step += 1
    if args.rank == 0 and step % 200 == 0:
        rate = 200 * args.batch / (time.time() - clock)
        log(step, loss=mean_loss, l1=l1, psnr=evaluate(), progress=step / args.steps, rate=rate)
        clock = time.time()
    if args.rank == 0 and (due() or step == args.steps):
        save(checkpoint, model=vae.state_dict(), optimizer=optimizer.state_dict(), step=step, code=code)
