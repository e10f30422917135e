"""Writes collection/*.tar: one small webdataset in the three formats that Python's tarfile has.

Run: python tests/golden/collection.py   (needs pillow)
"""

import io
import json
import pathlib
import tarfile

from PIL import Image

FOLDER = pathlib.Path(__file__).parent / "collection"
LONG = "a" * 90 + "/" + "b" * 90
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def picture(form, colour):
    out = io.BytesIO()
    Image.new("RGB", (6, 4), colour).save(out, form, **({"lossless": True} if form == "WEBP" else {}))
    return out.getvalue()


FILES = {
    "./0/000.png": picture("PNG", (255, 0, 0)),
    "./0/000.txt": b"a red dog\n",
    "./0/000.json": json.dumps({"caption": "not this: the text goes first", "width": 6}).encode(),
    "./0/001.webp": picture("WEBP", (0, 255, 0)),
    "./0/001.json": json.dumps({"key": "001", "caption": "a green dog, très vert"}, ensure_ascii=False).encode(),
    f"{LONG}.png": picture("PNG", (0, 0, 255)),
    f"{LONG}.txt": b"a blue dog",
    "./0/003.txt": b"a caption without a picture",
    "./0/004.png": picture("PNG", (9, 9, 9)),
}

FOLDER.mkdir(exist_ok=True)
for name, form in FORMATS.items():
    files = dict(FILES)
    if name == "pax":  # Only here may names be of any length and letters.
        files["é" * 150 + ".png"] = picture("PNG", (255, 255, 0))
        files["é" * 150 + ".txt"] = b"a yellow dog"
    with tarfile.open(FOLDER / f"{name}.tar", "w", format=form) as archive:
        folder = tarfile.TarInfo("./0")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for path, data in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
