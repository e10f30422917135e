"""Writes picture_kinds.json: pictures of every kind and oddity that is read, and what Pillow makes of them; and damaged ones.

Run from this folder with Pillow, pillow-heif and numpy installed, and jpegtran and cjxl at hand: python picture_kinds.py
"""

import base64
import io
import json
import struct
import subprocess
import zlib

import numpy as np
import pillow_heif
from PIL import Image, ImageOps

pillow_heif.register_heif_opener()
y, x = np.mgrid[0:20, 0:24]
RGB = np.stack([x * 10, y * 12, (x * y * 3) % 256], -1).astype(np.uint8)
image = Image.fromarray(RGB)
turned = [image.rotate(180), image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
palette = image.convert("P", palette=Image.Palette.ADAPTIVE)
cmyk = image.convert("CMYK")
exif = Image.Exif()
exif[0x0112] = 6
raw_exif = exif.tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="8"/></x:xmpmeta>'


def saved(im, form, **options):
    out = io.BytesIO()
    im.save(out, form, **options)
    return out.getvalue()


def jpegtran(data, *flags):
    return subprocess.run(["jpegtran", *flags], input=data, capture_output=True, check=True).stdout


def cjxl(data):
    with open("/tmp/kinds.png", "wb") as f:
        f.write(data)
    subprocess.run(["cjxl", "-d", "0", "/tmp/kinds.png", "/tmp/kinds.jxl"], capture_output=True, check=True)
    return open("/tmp/kinds.jxl", "rb").read()


def chunk(kind, body, checksum=None):
    return struct.pack(">I", len(body)) + kind + body + (struct.pack(">I", zlib.crc32(kind + body)) if checksum is None else checksum)


def raw_profile(kind, data):
    text = data.hex().encode()
    return b"\n" + kind + b"\n%8d\n" % len(data) + b"\n".join(text[i:i + 72] for i in range(0, len(text), 72)) + b"\n"


jpeg = saved(image, "JPEG", quality=95)
progressive = saved(image, "JPEG", quality=95, progressive=True)
restarts = saved(image, "JPEG", quality=95, restart_marker_blocks=1)
print_jpeg = saved(cmyk, "JPEG", quality=95)
scan, table, end = jpeg.index(b"\xff\xda"), jpeg.index(b"\xff\xdb"), len(jpeg) - 2
mark = restarts.index(b"\xff\xd1")
adobe, adobe_at = print_jpeg.index(b"Adobe"), print_jpeg.index(b"\xff\xee")
png = saved(image, "PNG")
head, pixels, tail = png[:33], zlib.compress(b"".join(b"\0" + row.tobytes() for row in RGB)), chunk(b"IEND", b"")
data = chunk(b"IDAT", pixels)
webp = saved(image, "WEBP", lossless=True)
bmp, gif = saved(image, "BMP"), saved(palette, "GIF")
offset = bytearray(gif)
offset[6:10] = struct.pack("<HH", 30, 26)
begin = offset.index(b"\x2c\0\0\0\0")
offset[begin + 1:begin + 5] = struct.pack("<HH", 6, 3)
middle = (scan + end) // 2
xmp_block = b"http://ns.adobe.com/xap/1.0/\0" + XMP
rgba = Image.fromarray(np.dstack([RGB, (x * 10).astype(np.uint8)]))

good = {
    "a.bmp": bmp, "palette.bmp": saved(palette, "BMP"), "1.bmp": saved(image.convert("1"), "BMP"), "32.bmp": saved(Image.fromarray(np.dstack([RGB, np.zeros_like(x, np.uint8)])), "BMP"),
    "size-left-out.bmp": bmp[:2] + bytes(4) + bmp[6:], "more-behind.bmp": bmp + b"abc", "top-down.bmp": bmp[:22] + struct.pack("<i", -20) + bmp[26:],
    "a.gif": gif, "moving.gif": saved(palette, "GIF", save_all=True, append_images=[t.convert("P") for t in turned]), "transparent.gif": saved(palette, "GIF", transparency=3),
    "a.tif": saved(image, "TIFF"), "lzw.tif": saved(image, "TIFF", compression="tiff_lzw"), "jpeg.tif": saved(image, "TIFF", compression="jpeg"),
    "pages.tif": saved(image, "TIFF", save_all=True, append_images=turned), "alpha.tif": saved(rgba, "TIFF"), "print.tif": saved(cmyk, "TIFF"), "turned.tif": saved(image, "TIFF", exif=exif),
    "16.tif": saved(Image.fromarray((x * 2600 + y * 7).astype(np.uint16)), "TIFF"), "1.tif": saved(image.convert("1"), "TIFF"),
    "a.jp2": saved(image, "JPEG2000"), "a.jxl": cjxl(png), "a.heic": saved(image, "HEIF", quality=95), "a.avif": saved(image, "AVIF", quality=95, subsampling="4:4:4"), "turned.avif": saved(image, "AVIF", quality=95, subsampling="4:4:4", exif=raw_exif),
    "moving.webp": saved(image, "WEBP", save_all=True, append_images=turned, lossless=True), "moving-turned.webp": saved(image, "WEBP", save_all=True, append_images=turned, lossless=True, exif=raw_exif),
    "xmp.webp": saved(image, "WEBP", lossless=True, xmp=XMP), "more-behind.webp": webp + b"junk",
    "moving.png": saved(image, "PNG", save_all=True, append_images=turned),
    "print.jpg": print_jpeg, "print-turned.jpg": saved(cmyk, "JPEG", quality=95, exif=exif), "ycck.jpg": print_jpeg[:adobe + 11] + b"\2" + print_jpeg[adobe + 12:], "print-unmarked.jpg": print_jpeg[:adobe_at] + print_jpeg[adobe_at + 16:],
    "arithmetic.jpg": jpegtran(jpeg, "-arithmetic"), "arithmetic-progressive.jpg": jpegtran(jpeg, "-arithmetic", "-progressive"), "arithmetic-print.jpg": jpegtran(print_jpeg, "-arithmetic"), "rgb.jpg": saved(image, "JPEG", quality=95, keep_rgb=True), "restarts.jpg": restarts,
    "wrong-sos.jpg": jpeg[:scan + 11] + bytes(3) + jpeg[scan + 14:], "jfif-2.01.jpg": jpeg[:11] + b"\2\1" + jpeg[13:], "jfif-0.jpg": jpeg[:11] + b"\0\0" + jpeg[13:],
    "padded.jpg": jpeg[:end] + bytes(200) + jpeg[end:], "padded-ones.jpg": jpeg[:end] + b"\xff" * 200 + jpeg[end:], "some-left-over.jpg": jpeg[:end] + bytes(range(1, 14)) + jpeg[end:], "restart-padded.jpg": restarts[:mark] + bytes(5) + restarts[mark:], "restart-misnamed.jpg": restarts[:mark] + b"\xff\xd6" + restarts[mark + 2:],
    "both.jpg": (jpeg[:11] + b"\2\1" + jpeg[13:scan + 11] + bytes(3) + jpeg[scan + 14:end] + bytes(9) + jpeg[end:]), "between-markers.jpg": jpeg[:table] + b"\x12\x34" + jpeg[table:], "adobe-7.jpg": jpeg[:table] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\7" + jpeg[table:],
    "icc.jpg": jpeg[:table] + b"\xff\xe2\0\x14ICC_PROFILE\0\2\1abcd" + jpeg[table:], "more-behind.jpg": jpeg + b"hello" * 99, "xmp.jpg": jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(xmp_block) + 2) + xmp_block + jpeg[2:],
    "no-end-padded.jpg": jpeg[:end] + bytes(300),
    "no-end.png": head + data, "more-behind.png": png + b"junk", "note-checksum.png": head + chunk(b"abCd", b"a", b"wxyz") + data + tail, "end-checksum.png": head + data + chunk(b"IEND", b"", b"wxyz"), "data-checksum.png": head + chunk(b"IDAT", pixels, b"wxyz") + tail,
    "more-data.png": head + chunk(b"IDAT", pixels + b"xxxx") + tail, "bad-icc.png": head + chunk(b"iCCP", b"x\0\0garbage") + data + tail, "gamma.png": head + chunk(b"gAMA", struct.pack(">I", 100000)) + data + tail, "in-pieces.png": head + b"".join(chunk(b"IDAT", pixels[i:i + 97]) for i in range(0, len(pixels), 97)) + tail,
    "exif-behind.png": head + data + chunk(b"eXIf", raw_exif[6:]) + tail, "exif-marked.png": head + chunk(b"eXIf", raw_exif) + data + tail, "xmp.png": head + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP) + data + tail,
    "raw-exif-z.png": head + chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw_profile(b"exif", raw_exif))) + data + tail, "raw-exif-t.png": head + chunk(b"tEXt", b"Raw profile type exif\0" + raw_profile(b"exif", raw_exif)) + data + tail,
    "raw-exif-i.png": head + chunk(b"iTXt", b"Raw profile type exif\0\1\0\0\0" + zlib.compress(raw_profile(b"exif", raw_exif))) + data + tail,
}
r = np.random.default_rng(0)
damaged = {
    "end-cut.jpg": jpeg[:end - 3], "cut-and-ended.jpg": jpeg[:end - 30] + jpeg[end:], "first-remark-harmless.jpg": jpeg[:11] + b"\2\1" + jpeg[13:end - 60] + jpeg[end:], "progressive-scan.jpg": progressive[:progressive.rindex(b"\xff\xda")], "progressive.jpg": progressive[:-60],
    "zeros.jpg": jpeg[:middle] + bytes(100) + jpeg[middle + 100:], "ones.jpg": jpeg[:middle] + b"\xff" * 40 + jpeg[middle + 40:], "noise.jpg": jpeg[:middle] + r.integers(0, 254, 100, np.uint8).tobytes() + jpeg[middle + 100:], "arithmetic.jpg": jpegtran(jpeg, "-arithmetic")[:-200],
    "rows-missing.png": head + chunk(b"IDAT", zlib.compress(zlib.decompress(pixels)[:-400])) + tail, "header-checksum.png": head[:-4] + b"wxyz" + data + tail, "sum.png": head + chunk(b"IDAT", pixels[:-4] + b"wxyz") + tail, "cut.png": head + data[:-40],
    "cut.webp": webp[:-40], "cut.gif": gif[:-99], "cut.bmp": bmp[:-99], "cut.tif": saved(image, "TIFF")[:-700], "cut.avif": good["a.avif"][:-99], "cut.heic": good["a.heic"][:-99], "cut.jxl": good["a.jxl"][:-99],
}


def expected(name, data):
    # Pillow does not read the first, and is strict about the checksum of a note.
    if name in ("a.jxl", "note-checksum.png"):
        return RGB
    im = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if im.mode.startswith("I"):
        return np.repeat((np.asarray(im) // 257)[..., None], 3, -1).astype(np.uint8)
    rgba = np.asarray(im.convert("RGBA")).astype(float)
    alpha = rgba[..., 3:] / 255
    return np.floor(rgba[..., :3] * alpha + 128 * (1 - alpha) + 0.5).astype(np.uint8)


def text(data):
    return base64.b64encode(data).decode()


# Many have the very same pixels.
pictures, read = [], []
for name, file in good.items():
    want = expected(name, file)
    entry = {"width": want.shape[1], "height": want.shape[0], "rgb": text(want.tobytes())}
    if entry not in pictures:
        pictures.append(entry)
    read.append({"name": name, "file": text(file), "picture": pictures.index(entry)})
offset_want = np.full((26, 30, 3), 128, np.uint8)
offset_want[3:23, 6:30] = np.asarray(palette.convert("RGB"))
pictures.append({"width": 30, "height": 26, "rgb": text(offset_want.tobytes())})
read.append({"name": "offset.gif", "file": text(bytes(offset)), "picture": len(pictures) - 1})
plain = [e["picture"] for e in read if e["name"] == "restarts.jpg"][0]
read.append({"name": "no-end.jpg", "file": text(jpeg[:end]), "picture": plain})
with open("picture_kinds.json", "w") as f:
    json.dump({"read": read, "pictures": pictures, "damaged": {k: text(v) for k, v in damaged.items()}}, f, separators=(",", ":"))
