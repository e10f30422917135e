"""Writes checkpoints/: files of torch.save, small, of every kind that is read, and a few that must be refused.

Run from this folder with deno, torch and numpy installed: python checkpoints.py
What is in them is in checkpoints/expected.json. ours.pt was written by moongate and read back here by torch.load.
"""

import argparse
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import types as types_module
import zipfile
from collections import OrderedDict

import numpy as np
import torch

torch.set_num_threads(1)
OUT = pathlib.Path("checkpoints")
shutil.rmtree(OUT, ignore_errors=True)
OUT.mkdir()

torch.manual_seed(5)
module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
table = torch.randn(6, 5)
types = {
    "f32": torch.randn(2, 3), "f64": torch.randn(3, dtype=torch.float64), "f16": torch.randn(3).half(),
    "bf16": torch.randn(2, 2).bfloat16(), "i64": torch.arange(-2, 3), "i32": torch.arange(3, dtype=torch.int32),
    "i16": torch.arange(3, dtype=torch.int16), "i8": torch.arange(-1, 2, dtype=torch.int8),
    "u8": torch.arange(3, dtype=torch.uint8), "bool": torch.tensor([True, False]),
    "u16": torch.tensor([1, 65535], dtype=torch.uint16), "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3),
}
views = {
    "row": table[2], "rows": table[1:3], "column": table[:, 1], "transposed": table.t(), "every other": table[::2, ::2],
    "conv": torch.randn(2, 3, 2, 2).contiguous(memory_format=torch.channels_last),
    "expanded": torch.ones(1, 3).expand(4, 3), "whole": table, "parameter": torch.nn.Parameter(table[0]),
}
values = {
    "int": 7, "long": 2**40, "longer": 2**80, "float": -0.25, "text": "größe <new1>", "none": None, "flags": [True, False],
    "tuple": (1, "two", [3.0]), "size": torch.Size([1, 2]), "dtype": torch.float16, "device": torch.device("cpu"),
    "numpy": np.float64(3.5), 5: "five", "set": {1}, "shared": [table[3], table[3]],
}
attributed = torch.nn.Parameter(torch.ones(2))
attributed.note = "x"


def numbers(value):
    if isinstance(value, torch.Tensor):
        dtype = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
                 torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
                 torch.uint16: "U16"}[value.dtype]
        return {"dtype": dtype, "shape": list(value.shape), "values": value.detach().double().flatten().tolist()}
    if isinstance(value, dict):
        return {str(k): numbers(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [numbers(v) for v in value]
    return value if isinstance(value, (int, float, str)) and abs(value if not isinstance(value, str) else 0) < 2**53 else None


everything = {"state_dict": module.state_dict(), "types": types, "views": views, "attributed": attributed,
              "ordered": OrderedDict(b=1, a=2)}
expected = {"everything": numbers(everything)}
torch.save({**everything, "values": values}, OUT / "zip.pt")
torch.save({**everything, "values": values}, OUT / "protocol4.pt", pickle_protocol=4)
older = {k: v for k, v in everything.items()}
older["types"] = {k: v for k, v in types.items() if k != "u16"}
torch.save({**older, "values": values}, OUT / "legacy.pt", _use_new_zipfile_serialization=False)
(OUT / "expected.json").write_text(json.dumps(expected))


def rewritten(source, target, method, change=lambda name, data: data):
    with zipfile.ZipFile(OUT / source) as old, zipfile.ZipFile(OUT / target, "w", method) as new:
        for item in old.infolist():
            # A date of its own would make the file another each time.
            info = zipfile.ZipInfo(item.filename, (1980, 1, 1, 0, 0, 0))
            info.compress_type = method
            new.writestr(info, change(item.filename, old.read(item)))


rewritten("zip.pt", "deflated.pt", zipfile.ZIP_DEFLATED)
rewritten("zip.pt", "big_endian.pt", zipfile.ZIP_STORED, lambda n, d: b"big" if n.endswith("byteorder") else d)


# As Lightning leaves them: a class as a key, a shell of a namespace, numpy's numbers.
callback = types_module.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
callback.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": callback.__name__})
for name in ("pytorch_lightning", "pytorch_lightning.callbacks", callback.__name__):
    sys.modules[name] = callback
torch.save({"epoch": 4, "callbacks": {callback.ModelCheckpoint: {"best": np.float32(0.25)}}, "hyper_parameters":
            argparse.Namespace(rate=1e-5), "lr": np.array(3.0)[()], "state_dict": OrderedDict(weight=torch.ones(2))},
           OUT / "lightning.ckpt")


class Harmful:
    def __reduce__(self):
        return os.system, ("touch /tmp/moongate-was-here",)


torch.save({"weight": torch.ones(2), "x": Harmful()}, OUT / "harmful.pt")
torch.save({"weight": torch.ones(2), "x": Harmful()}, OUT / "harmful_legacy.pt", _use_new_zipfile_serialization=False)
torch.save({"weight": torch.ones(2, dtype=torch.complex64)}, OUT / "complex.pt")
buffer = io.BytesIO()
torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), buffer)
(OUT / "script.pt").write_bytes(buffer.getvalue())

# moongate writes, PyTorch reads.
subprocess.run(["deno", "run", "-A", "../torch_ours.ts", OUT / "ours.pt"], check=True)
ours = torch.load(OUT / "ours.pt", weights_only=True)
tensors = {
    "f32": torch.tensor([[1, 2.5, -3], [0, torch.inf, 1e-30]]), "f16": torch.tensor([0.1, -2]).half(),
    "bf16": torch.tensor([[0.1]]).bfloat16(), "i64": torch.tensor([-1, 2**40]), "u8": torch.zeros(0, 2, dtype=torch.uint8),
    "later": torch.tensor(7.0),
}
for name, tensor in tensors.items():
    assert ours[name].dtype == tensor.dtype and torch.equal(ours[name], tensor), name
assert ours["nested"] == {"<new1> ü": {}, "list": [1, "a", []]}, ours["nested"]
assert repr(ours["numbers"]) == "[3, -3, 1099511627776, 0.5, -0.0, 1e+300, True, False, None]", ours["numbers"]
assert list(ours) == [*tensors, "nested", "numbers"]
print("all right")
