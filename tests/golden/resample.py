"""Writes resample.json: what Pillow's BICUBIC makes of a few small pictures, in bytes and in float.

Run: python tests/golden/resample.py   (needs pillow and numpy)
The pictures come from the same formula in tests/augment_test.ts, so only the results are stored.
"""

import base64
import json
import pathlib

import numpy as np
import PIL
from PIL import Image


def picture(width: int, height: int) -> np.ndarray:
    """Gradients, hard edges, and waves with noise, in whole numbers so that every language agrees."""
    out = np.zeros((height, width, 3), np.uint8)
    for y in range(height):
        for x in range(width):
            noise = ((x * 73856093) ^ (y * 19349663)) % 5
            out[y, x] = (
                (x * 255) // (width - 1),
                255 if (x // 5 + y // 3) % 2 else 10,
                20 + 2 * abs((x * 7 + y * 5) % 200 - 100) + noise,
            )
    return out


cases = []
for width, height, to_width, to_height in [
    (20, 20, 7, 7),
    (33, 33, 20, 20),
    (24, 24, 40, 40),
    (40, 40, 22, 22),
    (31, 17, 12, 29),
    (12, 12, 12, 12),
    (64, 64, 5, 5),
]:
    source = picture(width, height)
    size = (to_width, to_height)
    as_bytes = np.asarray(Image.fromarray(source).resize(size, Image.Resampling.BICUBIC))
    channels = [
        np.asarray(Image.fromarray(source[..., c].astype(np.float32)).resize(size, Image.Resampling.BICUBIC))
        for c in range(3)
    ]
    as_float = np.stack(channels, -1).astype("<f4")
    cases.append({
        "from": [width, height],
        "to": [to_width, to_height],
        "bytes": base64.b64encode(as_bytes.tobytes()).decode(),
        "float": base64.b64encode(as_float.tobytes()).decode(),
    })

target = pathlib.Path(__file__).with_suffix(".json")
target.write_text(json.dumps({"pillow": PIL.__version__, "cases": cases}) + "\n")
print(target.name, target.stat().st_size, "bytes")
