"""Reads what `export_dataset.ts` wrote, and keeps a log and checkpoints for the training programs."""
import json
import time
from pathlib import Path

import numpy as np
import torch

SIDE = 64


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
        return torch.from_numpy(self.bytes(index)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)

    def labels(self, key):
        return np.array([row[key] for row in self.rows])


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


def load(path):
    return torch.load(path, map_location="cpu", weights_only=False) if Path(path).exists() else None


def cosine(step, steps, warmup):
    """Learning-rate factor: linear warm-up, then a half cosine to nearly nothing."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.02 + 0.49 * (1 + np.cos(np.pi * (step - warmup) / max(1, steps - warmup)))
