"""Writes weights.safetensors and weights.json: one tensor of each type, by the format's own writer.

Run from this folder with torch and safetensors installed: python weights.py
"""

import json

import torch
from safetensors.torch import save_file

torch.manual_seed(0)
x = torch.randn(3, 5) * torch.tensor([1e-6, 1e-3, 1.0, 1e3, 6e4])
tensors = {
    "f32": x.clone(),
    "f16": x.to(torch.float16),
    "bf16": x.to(torch.bfloat16),
    "f64": x.to(torch.float64) / 3,
    "i64": torch.arange(6).reshape(1, 6) * 10**12,
    "i32": torch.arange(-4, 4, dtype=torch.int32).reshape(2, 2, 2),
    "u8": torch.arange(250, 256, dtype=torch.uint8),
    "bool": torch.tensor([True, False, True]),
    "scalar": torch.tensor(2.5),
    "empty": torch.zeros(0, 4),
    "a.b.weight": torch.tensor([float("inf"), float("-inf"), float("nan"), -0.0, 1e-45]),
    "a.b.half": torch.tensor([float("inf"), float("-inf"), float("nan"), -0.0, 6e-8, 65504.0]).half(),
}
save_file(tensors, "weights.safetensors", {"format": "pt", "note": "größe"})


def plain(t):
    return [v if isinstance(v, (int, bool)) else repr(v) for v in t.flatten().tolist()]


# What f32 tensors become when rounded, for the writer's own rounding.
golden = {
    "tensors": {n: {"shape": list(t.shape), "values": plain(t)} for n, t in tensors.items()},
    "rounded": {"f16": plain(tensors["f32"].half().float()), "bf16": plain(tensors["f32"].bfloat16().float())},
}
with open("weights.json", "w") as f:
    json.dump(golden, f, separators=(",", ":"))
