"""Files that NumPy wrote, and what it reads of them: numpy_files.json, for tests/files_numpy_test.ts.

    python tests/golden/numpy_files.py     # numpy 2
"""
import base64
import io
import json
import os

import numpy as np
from numpy.lib import format as npy

HERE = os.path.dirname(__file__)
base = np.array([[-2.5, 0, 1], [3, 4.25, 250]])
cube = np.arange(24).reshape(2, 3, 4)


def saved(array, version=None):
    out = io.BytesIO()
    npy.write_array(out, np.asanyarray(array), version=version)
    return out.getvalue()


arrays = {
    "f4": base.astype("<f4"),
    "f2": np.array([0.1, -65504, np.inf], "<f2"),
    "f8": base.astype("<f8"),
    "big f4": base.astype(">f4"),
    "big f2": np.array([0.1, -2], ">f2"),
    "big i8": np.array([-1, 2**40], ">i8"),
    "big u2": np.array([1, 65535], ">u2"),
    "fortran": np.asfortranarray(base.astype("<f4")),
    "fortran cube": np.asfortranarray(cube.astype("<i4")),
    "fortran big cube": np.asfortranarray(cube.astype(">i2")),
    "fortran nothing": np.asfortranarray(np.zeros((3, 0, 2), "<f4")),
    "turned": cube.astype("<u4").transpose(2, 0, 1),
    "bool": np.array([[True, False, True]]),
    "i1": np.array([-128, 127], "i1"),
    "u1": np.array([0, 255], "u1"),
    "i2": np.array([-32768, 7], "<i2"),
    "u2": np.array([65535], "<u2"),
    "i4": np.array([-(2**31), 5], "<i4"),
    "u4": np.array([2**32 - 1], "<u4"),
    "i8": np.array([-(2**53), 3], "<i8"),
    "u8": np.array([2**53], "<u8"),
    "scalar": np.array(1.5, "<f4"),
    "empty": np.zeros((0, 4), "<f4"),
}
refused = {
    "records": np.array([(1, 2.0)], [("a", "<i4"), ("b", "<f4")]),
    "complex": np.array([1 + 2j]),
    "text": np.array(["ab"]),
    "bytes": np.array([b"ab"]),
    "dates": np.array(["2020-01-01"], "datetime64[D]"),
    "durations": np.array([1], "timedelta64[s]"),
    "raw": np.array([b"ab"], "V2"),
}


def described(array, data):
    return {
        "file": base64.b64encode(data).decode(),
        "shape": list(array.shape),
        "values": [str(v) for v in np.ascontiguousarray(array).ravel().tolist()],
    }


out = {"arrays": {}, "refused": {}}
for name, array in arrays.items():
    out["arrays"][name] = described(array, saved(array))
for version in [(2, 0), (3, 0)]:
    out["arrays"][f"version {version[0]}"] = described(cube.astype("<f4"), saved(cube.astype("<f4"), version))
for name, array in refused.items():
    out["refused"][name] = base64.b64encode(saved(array)).decode()
objects = io.BytesIO()
np.save(objects, np.array([{"a": 1}], object), allow_pickle=True)
out["refused"]["objects"] = base64.b64encode(objects.getvalue()).decode()
# Records whose field is not ASCII take version 3.
out["refused"]["records of version 3"] = base64.b64encode(saved(np.array([(1,)], [("größe", "<i4")]))).decode()
for name, save in [("npz", np.savez), ("npz compressed", np.savez_compressed)]:
    data = io.BytesIO()
    save(data, weight=arrays["f4"], ids=arrays["big i8"], turned=arrays["fortran cube"])
    out[name] = base64.b64encode(data.getvalue()).decode()
with open(os.path.join(HERE, "numpy_files.json"), "w") as f:
    json.dump(out, f, indent=1)
    f.write("\n")
