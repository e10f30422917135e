"""Trains the CLIP (contrastively, on pictures and their captions) and, on the same vision tower, the attribute heads.

    python clip.py DATA WORK --steps 2000 [--rank 0 --ranks 2]       # each tells apart its own share of a batch
    python clip.py DATA WORK --steps 3000 --freeze-text    # later: goes on without touching the text tower
    python clip.py DATA WORK --steps 4000 --freeze-text --through sharp    # some pictures as a decoder makes them

A run that was cut off goes on where it stopped.

One trunk for both: the heads teach the tower details that the contrast with 127 other captions doesn't need, and the
scoring of a sample costs one pass. Rows of words that no caption holds are scaled to the size of the trained ones, as
in a large CLIP, where all rows are of one size: they are what new tokens start from.
"""
import time

import numpy as np
import torch
import torch.nn.functional as F
from transformers import CLIPTokenizer

from data import DEVICE, Due, Log, Passed, Team, World, arguments, augmented, caption_ids, cosine, load, products, save
from models import POSITIONS, Design

args = arguments(__doc__, "clip", names="train0,train1,train2,train3", steps=2000, freeze_text=False, batch=128, lr=1.2e-3,
                 through="", rank=0, ranks=1)

torch.manual_seed(0)
team, share = Team(args.rank, args.ranks, 29519), args.batch // args.ranks
design = Design.read(args.config, args.data)
LABELS = design.labels
world, test = World(args.data, args.names.split(",")), World(args.data, ["test"])
tokenizer = CLIPTokenizer.from_pretrained(args.tokenizer)
clip, heads = design.make_clip(args.tokenizer).to(DEVICE), design.make_heads().to(DEVICE)
if args.freeze_text:
    clip.text_model.requires_grad_(False)
parameters = [p for p in [*clip.parameters(), *heads.parameters()] if p.requires_grad]
optimizer = torch.optim.AdamW(
    [{"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.05},
     {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0}],
    lr=args.lr, betas=(0.9, 0.98),
)
log, checkpoint = Log(f"{args.work}/clip.jsonl", "clip") if args.rank == 0 else None, f"{args.work}/clip.pt"


def targets(split):
    """Labels, with -100 (ignored) for what a scene of two different things leaves ambiguous, and for what has no such label."""
    labels = lambda k: np.where(split.labels(k) < 0, -100, split.labels(k))
    single = np.isin(split.labels("relation"), [-1, 4])
    return {k: torch.from_numpy(np.where(single | (k in ("place", "style")), labels(k), -100)).to(DEVICE) for k in LABELS}


def features(x, ids):
    vision, text = clip.vision_model(x).pooler_output, clip.text_model(ids).pooler_output
    return vision, F.normalize(clip.visual_projection(vision), dim=-1), F.normalize(clip.text_projection(text), dim=-1)


@torch.no_grad()
def evaluate():
    clip.eval()
    index = np.arange(1024)
    vision, image, text = features(test.pixels(index), test_ids[index, 4])
    result = {}
    for k, head in heads.items():
        truth = test_targets[k][:1024]
        result[k] = (head(vision).argmax(-1) == truth)[truth >= 0].float().mean()
    result["retrieval"] = ((image[:512] @ text[:512].T).argmax(-1) == torch.arange(512, device=DEVICE)).float().mean()
    clip.train()
    return result


passed = Passed(design, args.work, args.through)
train_targets, test_targets = targets(world), targets(test)
train_ids = caption_ids(tokenizer, args.data, args.work, args.names.split(","), POSITIONS).long().to(DEVICE)
test_ids = caption_ids(tokenizer, args.data, args.work, ["test"], POSITIONS).long().to(DEVICE)
step = begun = 0
if state := load(checkpoint):
    clip.load_state_dict(state["clip"]), heads.load_state_dict(state["heads"])
    step = begun = state["step"]
    if state.get("frozen", False) == args.freeze_text:
        optimizer.load_state_dict(state["optimizer"])
        begun = state["begun"]
rng, progress = np.random.default_rng([args.freeze_text, step, args.rank]), (step - begun) / max(1, args.steps - begun)
torch.manual_seed(1000 * step + args.rank)


def keep():
    save(checkpoint, clip=clip.state_dict(), heads=heads.state_dict(), optimizer=optimizer.state_dict(), step=step,
         begun=begun, frozen=args.freeze_text)


clock, due, ended = time.time(), Due(), step >= args.steps
while step < args.steps:
    for group in optimizer.param_groups:
        group["lr"] = args.lr * cosine(progress, step - begun, 100)
    index = rng.integers(0, len(world), share)
    ids = train_ids[index, rng.integers(0, 5, share)]
    with products(True):
        vision, image, text = features(augmented(passed(world.pixels(index)), rng), ids)
    logits = clip.logit_scale.clamp(max=4.6).exp() * image.float() @ text.float().T
    here = torch.arange(share, device=DEVICE)
    contrast = (F.cross_entropy(logits, here) + F.cross_entropy(logits.T, here)) / 2
    # Kinds of thing are many, and the hardest to tell.
    weights = {"class": 1.0}
    attributes = sum(
        weights.get(k, 0.4) * F.cross_entropy(head(vision.float()), train_targets[k][index]) for k, head in heads.items()
    )
    loss = contrast + attributes
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    mean_loss = team.average(parameters, loss)
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    step += 1
    progress = (step - begun) / (args.steps - begun)
    if args.rank == 0 and step % 100 == 0:
        rate = 100 * args.batch / (time.time() - clock)
        truth = train_targets["class"][index]
        seen = (heads["class"](vision.float()).argmax(-1) == truth)[truth >= 0].float().mean()
        log(step, loss=mean_loss, contrast=contrast, train_class=seen, **evaluate(), rate=rate)
        clock = time.time()
    if args.rank == 0 and due():
        keep()

if not args.freeze_text and not ended:
    seen = torch.bincount(train_ids.flatten(), minlength=clip.config.text_config.vocab_size) > 0
    rows = clip.text_model.embeddings.token_embedding.weight.data
    rows[~seen] *= rows[seen].norm(dim=-1).median() / rows[~seen].norm(dim=-1, keepdim=True)
if args.rank == 0:
    keep()
