"""Trains the classifier that sees which of the held-out concepts a picture shows: what taught models are judged by.

    python concepts.py DATA WORK --pictures concepts0,concepts1 --test concepts_test

DATA holds pictures that `export_dataset.ts --concepts` wrote. It starts from the first layers of the CLIP's vision tower, and has
a head of two labels, absent and present, for each concept: a picture may show two. No model that concepts are taught to sees these
pictures. With `--through sharp` some pass the autoencoder of that checkpoint first, as what a model makes has.
"""
import json
import time

import numpy as np
import torch
import torch.nn.functional as F

from data import DEVICE, Due, Log, Passed, Team, World, arguments, augmented, cosine, load, needed, products, save
from models import Classifier, Design

args = arguments(
    __doc__, "concepts", pictures="concepts0,concepts1", test="concepts_test", steps=1500, batch=128, lr=6e-4, layers=3, through="",
    rank=0, ranks=1,
)
team, share = Team(args.rank, args.ranks, 29520), args.batch // args.ranks
torch.manual_seed(0)
CONCEPTS = json.load(open(f"{args.data}/world.json"))["concepts"]
design = Design.read(args.config, args.data)
design.vision_layers = args.layers
design.labels = {name: ["absent", "present"] for name in CONCEPTS}
world, test = World(args.data, args.pictures.split(",")), World(args.data, [args.test])
model = Classifier(design).to(DEVICE)
there = lambda split: torch.tensor([row["concepts"] for row in split.rows], device=DEVICE)
train_truth, test_truth = there(world), there(test)
optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, betas=(0.9, 0.98), weight_decay=0.05)
log, checkpoint = Log(f"{args.work}/concepts.jsonl", "concepts") if args.rank == 0 else None, f"{args.work}/concepts.pt"
step = 0
if state := load(checkpoint):
    model.load_state_dict(state["model"]), optimizer.load_state_dict(state["optimizer"])
    step = state["step"]
else:
    clip = needed(f"{args.work}/clip.pt")["clip"]
    model.load_state_dict({k: v for k, v in clip.items() if k.startswith("vision_model.")}, strict=False)
passed = Passed(design, args.work, args.through, share=0.35)
rng = np.random.default_rng([args.rank, step])
torch.manual_seed(1000 * step + args.rank)


@torch.no_grad()
def evaluate():
    """How often all ten are right; the share of those that are there that is seen, and of those seen that is there."""
    model.eval()
    parts = [model(test.pixels(index)) for index in np.array_split(np.arange(len(test)), len(test) // 128 + 1)]
    seen = torch.stack([torch.cat([p[name] for p in parts]).argmax(-1) for name in CONCEPTS], 1)
    model.train()
    found = (seen * test_truth).sum()
    return {"right": (seen == test_truth).all(1).float().mean(), "recall": found / test_truth.sum(), "precision": found / seen.sum()}


clock, due = time.time(), Due()
while step < args.steps:
    for group in optimizer.param_groups:
        group["lr"] = args.lr * cosine(step / args.steps, step, 100)
    index = rng.integers(0, len(world), share)
    with products(True):
        heads = model(augmented(passed(world.pixels(index)), rng))
    truth = train_truth[index]
    loss = sum(F.cross_entropy(heads[name].float(), truth[:, i]) for i, name in enumerate(CONCEPTS))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    mean_loss = team.average(list(model.parameters()), loss)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    step += 1
    if args.rank == 0 and step % 100 == 0:
        log(step, loss=mean_loss, **evaluate(), rate=100 * args.batch / (time.time() - clock))
        clock = time.time()
    if args.rank == 0 and (due() or step == args.steps):
        save(checkpoint, model=model.state_dict(), optimizer=optimizer.state_dict(), step=step, concepts=CONCEPTS, layers=args.layers)
