"""Trains the text-conditioned UNet on cached latents, with a frozen text encoder or (`--text`) one that learns at half the rate.

    python unet.py DATA WORK --steps 20000 [--rank 0 --ranks 2]

With `--kinds` (names of pictures of made-up kinds) a share of the pictures (`--share`) show made-up kinds of thing. Where a caption names one, the text encoder is given the
kind's own vector, as a new concept's V* will be given: so the keys and values learn to ask for any shape in any colours, and
not for twelve categories alone. Words of a large text encoder have vectors that are alike where what they name is; these
are principal components of the kinds' portraits.

A run that was cut off goes on where it stopped, and one that is given more steps than it had goes on from its end. What a
thing covers weighs more at first, by `--emphasis`; the rate is even until `--fall` of the steps are left, and then comes down.
Kinds of thing that a run draws badly can be shown more often from there on, `--harder fish:3,fir` (twice where it does not say).
"""
import time

import numpy as np
import torch
from diffusers import DDIMScheduler
from transformers import CLIPTokenizer

from data import DEVICE, Due, Log, Team, World, arguments, caption_ids, kind_vectors, load, needed, products, save
from models import POSITIONS, Design

args = arguments(
    __doc__, "unet", names="train0,train1,train2,train3", kinds="", steps=20000, batch=32, lr=1e-3, fall=0.55, share=0.5,
    emphasis=2.0, harder="", text=False, half=False, start="", rank=0, ranks=1,
)

team, design = Team(args.rank, args.ranks), Design.read(args.config, args.data)
names = [n for names in (args.names, args.kinds) for n in names.split(",") if n]
world = World(args.data, names)
tokenizer = CLIPTokenizer.from_pretrained(args.tokenizer)
vocabulary = len(tokenizer)
tokenizer.add_tokens(["<kind>"])
encode = lambda captions: torch.tensor(
    tokenizer(captions, padding="max_length", max_length=POSITIONS, truncation=True).input_ids, dtype=torch.int32)
ids = caption_ids(tokenizer, args.data, args.work, names, POSITIONS).to(DEVICE)
empty = encode([""])[0].to(DEVICE)
latents = torch.from_numpy(np.concatenate([np.load(f"{args.work}/latents-{name}.npy") for name in names])).to(DEVICE)
covered = torch.from_numpy(world.covered).to(DEVICE)
clip = design.make_clip(args.tokenizer).to(DEVICE)
clip.load_state_dict(needed(f"{args.work}/clip.pt")["clip"])
text = clip.text_model.eval().requires_grad_(args.text)
words = text.embeddings.token_embedding
kind = torch.tensor([row.get("kind", -1) for row in world.rows], device=DEVICE)
named = kind_vectors(args.data, args.kinds.split(",")[0], words.embedding_dim).to(DEVICE) if args.kinds else None
torch.manual_seed(0)
unet = design.make_unet().to(DEVICE)
copy = lambda model: {k: v.detach().clone() for k, v in model.state_dict().items()}
groups = [{"params": list(unet.parameters()), "scale": 1}, {"params": list(text.parameters()), "scale": 0.5}][: 1 + args.text]
parameters = [p for group in groups for p in group["params"]]
optimizer = torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
alphas = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear").alphas_cumprod.to(DEVICE)
# What most prompts ask for, one plain thing in a photo, is drawn more often than the world has it.
single, plain = np.isin(world.labels("relation"), [-1]), world.labels("texture") == 0
odds = np.array([1, 0.25, 0.25, 0.6])[world.labels("style")] * np.where(plain, 1, 0.4) * np.where(single, 1, 0.8)
for name, _, times in (pair.partition(":") for pair in args.harder.split(",") if pair):
    if name not in design.labels["class"]:
        raise SystemExit(f"--harder names {name}: there are {', '.join(design.labels['class'])}")
    odds[world.labels("class") == design.labels["class"].index(name)] *= float(times or 2)
made_up = (kind >= 0).cpu().numpy()
odds[made_up] *= args.share / (1 - args.share) * odds[~made_up].sum() / max(1e-9, odds[made_up].sum())
odds = torch.from_numpy(odds / odds.sum()).to(DEVICE)
# Steps with hardly any noise teach little: a time step is drawn as often as min-SNR weighs it.
often = (5 * (1 - alphas) / alphas).clamp(max=1) + 0.05
noise = (needed(f"{args.work}/vae.pt")["model"]["quant_conv.bias"][unet.config.in_channels:] / 2).exp().view(1, -1, 1, 1)
checkpoint = f"{args.work}/unet.pt"
step = 0
if args.start:
    start = needed(args.start)
    unet.load_state_dict(start["model"])
    if "text" in start:
        text.load_state_dict(start["text"])
ema, ema_text = copy(unet), copy(text)
if state := load(checkpoint):
    unet.load_state_dict(state["model"]), optimizer.load_state_dict(state["optimizer"])
    ema, step = state["ema"], state["step"]
    if args.text:
        text.load_state_dict(state["text"])
        ema_text = state["ema_text"]
torch.manual_seed(1000 * step + args.rank)
log = Log(f"{args.work}/unet.jsonl", "unet") if args.rank == 0 else None
share = args.batch // args.ranks


def hidden(tokens, kinds):
    """The text encoder's output, with the kinds' own vectors where captions name one."""
    vectors = words(tokens.clamp(max=vocabulary - 1))
    if named is not None:
        vectors = torch.where((tokens == vocabulary)[..., None], named[kinds.clamp(min=0)][:, None], vectors)
    handle = words.register_forward_hook(lambda *_: vectors)
    try:
        return text(tokens.clamp(max=vocabulary - 1)).last_hidden_state
    finally:
        handle.remove()


def batch():
    index = torch.multinomial(odds, share, replacement=True)
    mean = latents[index].float()
    tokens = ids[index, torch.randint(5, (share,), device=DEVICE)].clone()
    tokens[torch.rand(share, device=DEVICE) < 0.1] = empty
    with torch.set_grad_enabled(args.text), products(args.half):
        context = hidden(tokens.long(), kind[index])
    return mean + noise * torch.randn_like(mean), context, covered[index].float() / 64


def rate(progress):
    """Learning-rate factor: warm-up over 150 steps, full until so many of the steps are left, then down in a straight line."""
    return min(1, (step + 1) / 150) * min(1, max(0.01, (1 - progress) / args.fall))


def emphasis(progress):
    """Extra weight of the places that a thing covers: form is harder than background. Gone by three quarters of the
    training, since a weight that depends on the picture also pulls things to be larger."""
    return args.emphasis * max(0, 1 - progress / 0.75)


running, clock, due = 0.0, time.time(), Due()
while step < args.steps:
    progress = step / args.steps
    x, context, things = batch()
    t = torch.multinomial(often, share, replacement=True)
    epsilon, a = torch.randn_like(x), alphas[t].view(-1, 1, 1, 1)
    v = a.sqrt() * epsilon - (1 - a).sqrt() * x
    with products(args.half):
        guess = unet(a.sqrt() * x + (1 - a).sqrt() * epsilon, t, context).sample
    error = guess.float() - v
    square = error.square().mean(1)
    loss = (square * (1 + emphasis(progress) * things)).mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    mean_loss = team.average(parameters, square.mean())
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    for group in optimizer.param_groups:
        group["lr"] = args.lr * group["scale"] * rate(progress)
    optimizer.step()
    step += 1
    running += mean_loss
    if args.rank == 0:
        decay = min(0.999, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, model in ((ema, unet), (ema_text, text)):
                torch._foreach_lerp_(list(mean.values()), list(model.state_dict().values()), 1 - decay)
        if step % 100 == 0:
            log(step, loss=running / 100, progress=progress, rate=100 * args.batch / (time.time() - clock))
            running, clock = 0.0, time.time()
        if due() or step == args.steps:
            save(checkpoint, model=unet.state_dict(), text=text.state_dict(), optimizer=optimizer.state_dict(), ema=ema,
                 ema_text=ema_text, step=step)
