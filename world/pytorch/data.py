"""Reads what `export_dataset.ts` wrote and what a run is to be, and keeps a log and checkpoints for the training programs."""
import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F

SIDE = 64
# On the CPU, in bfloat16, the gradient of fused attention takes some ten times as long as that of the plain one (PyTorch 2.15, 64 tokens).
torch.backends.cuda.enable_flash_sdp(torch.cuda.is_available())
# Where processes share memory, if there is such a place, and else a folder of files that the system keeps in memory anyway.
SHARED = "/dev/shm" if Path("/dev/shm").is_dir() else tempfile.gettempdir()
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def arguments(doc, stage, **defaults):
    """Command line of a training program: DATA WORK [--config CONFIG] and one option for each default. The stage's values in
    the config, a JSON file, take the place of the defaults; the command line has the last word."""
    parser = argparse.ArgumentParser(description=doc.split("\n")[0])
    parser.add_argument("data")
    parser.add_argument("work")
    parser.add_argument("--config", help="JSON: model, names, and options of each stage")
    for key, value in defaults.items():
        kind = {"action": argparse.BooleanOptionalAction} if value is False else {"type": type(value)}
        parser.add_argument(f"--{key.replace('_', '-')}", default=value, **kind)
    config = parser.parse_known_args()[0].config
    values = json.loads(Path(config).read_text()) if config else {}
    own = {**{k: values[k] for k in ("names", "kinds") if k in values and k in defaults}, **values.get(stage, {})}
    if unknown := set(own) - set(defaults):
        parser.error(f"{config}: {stage} has no option {', '.join(sorted(unknown))}")
    parser.set_defaults(**own)
    args = parser.parse_args()
    args.tokenizer = getattr(args, "tokenizer", "") or f"{args.work}/tokenizer"
    return args


class World:
    """Pictures uint8 [n, 64, 64, 3] (memory mapped), and one dictionary of captions and labels for each."""

    def __init__(self, folder, names):
        self.parts, self.rows = [], []
        for name in names:
            rows = [json.loads(line) for line in open(Path(folder) / f"{name}.jsonl")]
            pictures = np.memmap(Path(folder) / f"{name}.rgb", np.uint8, "r").reshape(-1, SIDE, SIDE, 3)
            n = min(len(rows), len(pictures))
            self.parts.append(pictures[:n])
            self.rows += rows[:n]
        covers = [np.fromfile(Path(folder) / f"{name}.thing", np.uint8) for name in names]
        self.covered = np.concatenate(covers).reshape(-1, SIDE // 8, SIDE // 8)
        self.starts = np.cumsum([0] + [len(p) for p in self.parts])

    def __len__(self):
        return len(self.rows)

    def bytes(self, index):
        index = np.asarray(index)
        out = np.empty((len(index), SIDE, SIDE, 3), np.uint8)
        part = np.searchsorted(self.starts, index, "right") - 1
        for p in np.unique(part):
            where = np.nonzero(part == p)[0]
            out[where] = self.parts[p][index[where] - self.starts[p]]
        return out

    def pixels(self, index):
        """Float pictures in [-1, 1], [n, 3, 64, 64]."""
        return torch.from_numpy(self.bytes(index)).to(DEVICE).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)

    def things(self, index):
        """What share of each 8x8 patch shows a thing rather than the place that it is in, [n, 8, 8]."""
        return torch.from_numpy(self.covered[np.asarray(index)]).to(DEVICE).float() / 64

    def labels(self, key):
        return np.array([row[key] for row in self.rows])


def caption_ids(tokenizer, data, work, names, positions):
    """Token ids of all captions, [n, 5, positions], the full caption last; kept in the work folder. `<kind>` is the number after
    the last of the vocabulary."""
    parts = []
    for name in names:
        kept = Path(work) / f"ids-{name}.npy"
        if not kept.exists():
            rows = [json.loads(line) for line in open(Path(data) / f"{name}.jsonl")]
            captions = [c for row in rows for c in [*row["captions"], row["caption"]]]
            ids = tokenizer(captions, padding="max_length", max_length=positions, truncation=True).input_ids
            np.save(kept, np.array(ids, np.int16).reshape(len(rows), 5, positions))
        parts.append(np.load(kept))
    return torch.from_numpy(np.concatenate(parts).astype(np.int32))


def portraits(path):
    """Portraits as rows of numbers in [-1, 1]."""
    return torch.from_numpy(np.fromfile(path, np.uint8).reshape(-1, 16 * 16 * 3).astype(np.float32)) / 127.5 - 1


def kind_vectors(folder, name, width, of=None):
    """One vector for each kind, [kinds, width]: its portrait's principal components, small ones enlarged.
    `of`: other portraits, in the same code."""
    x = portraits(f"{folder}/{name}.portrait")
    centre = x.mean(0)
    _, spread, directions = torch.linalg.svd(x - centre, full_matrices=False)
    spread, directions = spread[:width] / len(x) ** 0.5, directions[:width]
    code = ((x if of is None else of) - centre) @ directions.T
    return 0.1 * code / spread * (spread / spread[0]).sqrt() * 2


class Log:
    """Metrics as JSON lines, on the screen too."""

    def __init__(self, path, stage):
        self.file, self.stage, self.start = open(path, "a"), stage, time.time()

    def __call__(self, step, **values):
        values = {k: round(float(v), 5) for k, v in values.items()}
        line = {"stage": self.stage, "step": step, "seconds": round(time.time() - self.start), **values}
        print(json.dumps(line), flush=True)
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()


def save(path, **state):
    """Writes whole or not at all."""
    torch.save(state, f"{path}.partial")
    Path(f"{path}.partial").replace(path)


class Due:
    """Says when it is time to keep a checkpoint: a run on a busy machine may take hours for a hundred steps."""

    def __init__(self, seconds=180):
        self.seconds, self.last = seconds, time.time()

    def __call__(self):
        if time.time() - self.last < self.seconds:
            return False
        self.last = time.time()
        return True


def load(path):
    return torch.load(path, map_location=DEVICE, weights_only=False) if Path(path).exists() else None


def needed(path):
    """What an earlier stage left; ends the program where it didn't."""
    if not Path(path).exists():
        raise SystemExit(f"there is no {path}: it is of an earlier stage, see run.py")
    return load(path)


class Team:
    """One or several single-threaded processes of one machine that share every step: they wait for one another once a step, where
    threads would wait hundreds of times. Gradients pass through memory that all of them have, in turns of two, so that nobody
    writes what another still reads."""

    def __init__(self, rank, ranks, port=29517):
        self.rank, self.ranks, self.port, self.turn, self.shared = rank, ranks, port, 0, {}
        if ranks > 1:
            store = dist.TCPStore("127.0.0.1", port, ranks, rank == 0)
            dist.init_process_group("gloo", store=store, rank=rank, world_size=ranks)

    def buffers(self, size):
        """This turn's memory of each process."""
        self.turn = 1 - self.turn
        path = lambda rank: f"{SHARED}/moongate-{self.port}-{size}-{self.turn}-{rank}"
        if (size, self.turn) not in self.shared:
            self.shared[size, self.turn] = [torch.from_file(path(r), shared=True, size=size) for r in range(self.ranks)]
        return self.shared[size, self.turn]

    def average(self, parameters, loss):
        """Averages gradients over the team in place. Returns the mean loss."""
        if self.ranks == 1:
            return loss.item()
        sizes = [p.numel() for p in parameters]
        all_of_them = self.buffers(1 + sum(sizes))
        torch.cat([torch.tensor([loss.item()]), *(p.grad.flatten() for p in parameters)], out=all_of_them[self.rank])
        dist.barrier()
        flat = sum(all_of_them) / self.ranks
        for p, g in zip(parameters, flat[1:].split(sizes)):
            p.grad.copy_(g.view_as(p))
        return flat[0].item()


def products(half):
    """Where products are to be bfloat16's, if `half`; sums and weights stay float32. A step is 1.6 times as fast where the processor
    has such products (AMD EPYC with AVX-512)."""
    return torch.autocast(DEVICE.type, torch.bfloat16, enabled=half)


def augmented(x, rng):
    """Mirrored, shifted, larger or smaller, each by itself; blur, noise or a change of brightness for some: samples of a model are
    not crisp renders."""
    n = len(x)
    uniform = lambda low, high: torch.from_numpy(rng.uniform(low, high, n).astype(np.float32)).to(DEVICE)
    size, side = uniform(0.85, 1.15), torch.from_numpy(rng.choice([-1.0, 1.0], n).astype(np.float32)).to(DEVICE)
    move = torch.zeros(n, 2, 3, device=DEVICE)
    move[:, 0, 0], move[:, 1, 1], move[:, 0, 2], move[:, 1, 2] = size * side, size, uniform(-0.12, 0.12), uniform(-0.12, 0.12)
    x = F.grid_sample(x, F.affine_grid(move, x.shape, align_corners=False), padding_mode="border", align_corners=False)
    blurred = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="bilinear")
    x = torch.lerp(x, blurred, (torch.rand(n, 1, 1, 1, device=DEVICE) * 1.6 - 0.6).clamp(0, 1))
    x = x + torch.randn_like(x) * (torch.rand(n, 1, 1, 1, device=DEVICE) * 0.16 - 0.06).clamp(0)
    return x * (0.9 + 0.2 * torch.rand(n, 1, 1, 1, device=DEVICE)) + 0.1 * (torch.rand(n, 1, 1, 1, device=DEVICE) - 0.5)


class Passed:
    """Sends some of the pictures through the autoencoder, latents disturbed a little: what a model makes has passed its decoder, so
    what reads such pictures learns on some. Does nothing without a checkpoint's name."""

    def __init__(self, design, work, tag, share=0.25, noise=0.25):
        self.share, self.noise, self.vae = share, noise, None
        if tag:
            self.vae = design.make_vae().to(DEVICE).eval().requires_grad_(False)
            self.vae.load_state_dict(needed(f"{work}/{tag}.pt")["model"])

    @torch.no_grad()
    def __call__(self, x):
        n = int(len(x) * self.share)
        if not self.vae or not n:
            return x
        with products(True):
            z = self.vae.encode(x[:n]).latent_dist.sample().float()
            z = z + self.noise * torch.rand(n, 1, 1, 1, device=DEVICE) * torch.randn_like(z)
            return torch.cat([self.vae.decode(z).sample.float().clamp(-1, 1), x[n:]])


def cosine(progress, step, warmup):
    """Learning-rate factor: linear warm-up in steps, then a half cosine over progress 0..1."""
    return min(1, (step + 1) / warmup) * (0.01 + 0.495 * (1 + np.cos(np.pi * min(1, progress))))
