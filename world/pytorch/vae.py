"""Trains the decoder on the closed-form latents: L1 + L2 + gradient loss. The encoder stays as `pca.py` wrote it.
What a thing covers weighs up to three times as much as the place that it is in: there is what one looks at.

    python vae.py DATA WORK --steps 6000 [--rank 0 --ranks 2]
    python vae.py DATA WORK --tag sharp --steps 8000 --adversary 0.1 --perceptual 0.2      # later: from vae.pt and clip.pt, sharper

One picture in eight gets its colour channels shuffled, so that colours outside the world's palette survive too:
the concepts that will be taught have some. A run that was cut off goes on where it stopped.

Averages over what a latent leaves open are soft. With `--adversary` a small network learns to tell renders from what is decoded,
patch by patch (hinge loss), and the decoder to pass for one; with `--perceptual` the features that our CLIP's vision tower has
of both are to agree. Both only once everything else is learnt, in a run of another `--tag` that starts from `vae.pt`; `export.py`
takes `sharp.pt` where there is one. Reconstruction in decibels gets a little worse by it: the log says how much.
"""
import time

import numpy as np
import torch
import torch.nn.functional as F

from data import DEVICE, Due, Log, Team, World, arguments, cosine, load, needed, products, save
from models import Design

args = arguments(__doc__, "vae", names="train0,train1,train2,train3", steps=6000, batch=16, lr=1.5e-3, tag="vae", adversary=0.0,
                 perceptual=0.0, half=False, rank=0, ranks=1)


class Critic(torch.nn.Sequential):
    """Tells patches of 22 pixels of a render from decoded ones: above 0 for a render."""

    def __init__(self, width=32):
        norm = torch.nn.utils.parametrizations.spectral_norm
        layer = lambda i, o, stride: [norm(torch.nn.Conv2d(i, o, 4, stride, 1)), torch.nn.LeakyReLU(0.2)]
        super().__init__(*layer(3, width, 2), *layer(width, 2 * width, 2), *layer(2 * width, 4 * width, 1),
                         norm(torch.nn.Conv2d(4 * width, 1, 3, 1, 1)))


torch.manual_seed(0)
team = Team(args.rank, args.ranks, 29518)
world, test = World(args.data, args.names.split(",")), World(args.data, ["test"])
design = Design.read(args.config, args.data)
vae = design.make_vae().to(DEVICE)
vae.encoder.requires_grad_(False), vae.quant_conv.requires_grad_(False)
parameters = [p for p in vae.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(parameters, lr=args.lr, betas=(0.9, 0.99), weight_decay=0.01)
log = Log(f"{args.work}/{args.tag}.jsonl", args.tag) if args.rank == 0 else None
checkpoint = f"{args.work}/{args.tag}.pt"
step, code = 0, None
critic = critic_optimizer = eye = None
if args.adversary:
    critic = Critic().to(DEVICE)
    critic_optimizer = torch.optim.AdamW(critic.parameters(), lr=args.lr, betas=(0.5, 0.9))
if args.perceptual:
    clip = design.make_clip(args.tokenizer)
    clip.load_state_dict(needed(f"{args.work}/clip.pt")["clip"])
    eye = clip.vision_model.to(DEVICE).eval().requires_grad_(False)
state = load(checkpoint)
if not state and args.tag != "vae":
    # Another tag begins with the decoder that was learnt, and with a step count and a rate of its own.
    begun = needed(f"{args.work}/vae.pt")
    vae.load_state_dict(begun["model"])
    code = begun.get("code")
if state:
    vae.load_state_dict(state["model"])
    if "optimizer" in state:
        optimizer.load_state_dict(state["optimizer"])
    if critic and "critic" in state:
        critic.load_state_dict(state["critic"])
        critic_optimizer.load_state_dict(state["critic_optimizer"])
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


def seen(x):
    """What the vision tower makes of pictures: its patches after each but the last layer, each of unit length."""
    states = eye(x, output_hidden_states=True).hidden_states[1:-1]
    return [F.normalize(h, dim=-1) for h in states]


def judged(x, y):
    """Trains the critic on renders and decoded pictures; how far the decoder is from passing."""
    critic.requires_grad_(True)
    wrong = F.relu(1 - critic(x)).mean() + F.relu(1 + critic(y.detach())).mean()
    critic_optimizer.zero_grad(set_to_none=True)
    wrong.backward()
    team.average(list(critic.parameters()), wrong)
    critic_optimizer.step()
    critic.requires_grad_(False)
    return -critic(y).mean()


clock, share, due = time.time(), args.batch // args.ranks, Due()
while step < args.steps:
    index = rng.integers(0, len(world), share)
    x = shuffled(world.pixels(index))
    weight = 1 + 2 * F.interpolate(world.things(index)[:, None], scale_factor=8)
    weight = weight / weight.mean()
    with torch.no_grad():
        z = vae.encode(x).latent_dist.sample()
    with products(args.half):
        y = vae.decode(z).sample
    y = y.float()
    error = y - x
    edges = sum((w * e.abs()).mean() for w, e in zip((weight[..., 1:], weight[..., 1:, :]), gradients(error)))
    l1, l2 = (weight * error.abs()).mean(), (weight * error.square()).mean()
    loss = l1 + l2 + 0.5 * edges
    if eye:
        with torch.no_grad():
            wanted = seen(x)
        loss = loss + args.perceptual * sum((a - b).square().sum(-1).mean() for a, b in zip(seen(y), wanted))
    if critic:
        # The critic learns first; the decoder listens to it more and more over the first tenth.
        loss = loss + args.adversary * min(1, 10 * step / args.steps) * judged(x, y)
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
        judge = {"critic": critic.state_dict(), "critic_optimizer": critic_optimizer.state_dict()} if critic else {}
        save(checkpoint, model=vae.state_dict(), optimizer=optimizer.state_dict(), step=step, code=code, **judge)
