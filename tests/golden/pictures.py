"""Writes pictures.json: small picture files, and what Pillow makes of them.

Run from this folder with Pillow and numpy installed: python pictures.py
"""

import base64
import io
import json

import numpy as np
from PIL import Image, ImageOps

y, x = np.mgrid[0:11, 0:17]
RGB = np.stack([x * 15, y * 25, (x * y * 7) % 256], -1).astype(np.uint8)
ALPHA = ((x * 16 + y) % 256).astype(np.uint8)
image = Image.fromarray(RGB)


def text(data):
    return base64.b64encode(data).decode()


def saved(im, form, **options):
    out = io.BytesIO()
    im.save(out, form, **options)
    return out.getvalue()


def expected(data):
    im = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if im.mode.startswith("I"):
        return np.repeat((np.asarray(im) // 257)[..., None], 3, -1).astype(np.uint8)
    rgba = np.asarray(im.convert("RGBA")).astype(float)
    alpha = rgba[..., 3:] / 255
    return np.floor(rgba[..., :3] * alpha + 128 * (1 - alpha) + 0.5).astype(np.uint8)


files = {
    "rgb.png": saved(image, "PNG"),
    "grey.png": saved(image.convert("L"), "PNG"),
    "palette.png": saved(image.convert("P", palette=Image.ADAPTIVE, colors=16), "PNG"),
    "bits.png": saved(image.convert("1"), "PNG"),
    "alpha.png": saved(Image.fromarray(np.dstack([RGB, ALPHA])), "PNG"),
    "grey-alpha.png": saved(Image.fromarray(np.dstack([RGB[..., 0], ALPHA])), "PNG"),
    "16-bit.png": saved(Image.fromarray((x * 4000 + y * 37).astype(np.uint16)), "PNG"),
    "444.jpg": saved(image, "JPEG", quality=90, subsampling=0),
    "420.jpg": saved(image, "JPEG", quality=75),
    "progressive.jpg": saved(image, "JPEG", quality=80, progressive=True),
    "grey.jpg": saved(image.convert("L"), "JPEG"),
    "lossless.webp": saved(image, "WEBP", lossless=True),
    "lossy.webp": saved(image, "WEBP", quality=80),
    "alpha.webp": saved(Image.fromarray(np.dstack([RGB, ALPHA])), "WEBP", lossless=True, exact=True),
}
for form, ending in (("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")):
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x010F] = "Maker"
        exif[0x0112] = orientation
        files[f"orientation-{orientation}.{ending}"] = saved(image, form, exif=exif, **({"lossless": True} if form == "WEBP" else {}))

golden = {"good": [], "bad": {}, "resized": []}
for name, data in files.items():
    want = expected(data)
    golden["good"].append({"name": name, "file": text(data), "width": want.shape[1], "height": want.shape[0], "rgb": text(want.tobytes())})
golden["bad"] = {
    "print.jpg": text(saved(image.convert("CMYK"), "JPEG")),
    "moving.webp": text(saved(image, "WEBP", save_all=True, append_images=[image.rotate(180)], duration=100)),
    "a.gif": text(saved(image, "GIF")),
    "a.bmp": text(saved(image, "BMP")),
    "a.tiff": text(saved(image, "TIFF")),
}
rng = np.random.default_rng(0)
noisy = Image.fromarray(np.clip(rng.normal(128, 60, (41, 67, 3)), 0, 255).astype(np.uint8))
golden["source"] = {"width": 67, "height": 41, "rgb": text(np.asarray(noisy).tobytes())}
for width, height in ((64, 64), (16, 8), (33, 41), (67, 20), (7, 3), (1, 1), (150, 90), (68, 42)):
    out = np.asarray(noisy.resize((width, height), Image.BICUBIC))
    golden["resized"].append({"width": width, "height": height, "rgb": text(out.tobytes())})
with open("pictures.json", "w") as f:
    json.dump(golden, f, separators=(",", ":"))
