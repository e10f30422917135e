"""Writes augment.json: the augmentation, implemented again from the method's description, over logged random numbers.

Run: deno run tests/golden/augment_draws.ts | python tests/golden/augment.py   (needs pillow and numpy)

Two things are worked out for each of 1,000 draws: at 512 pixels the geometry in whole numbers; at 64 pixels a whole
target of a concept with two pictures and their foregrounds: caption, valid latent cells, and pixels at eight places.
"""

import base64
import json
import math
import pathlib
import sys

import numpy as np
from PIL import Image

PREFIXES = ["", "a far away ", "very small ", "zoomed in ", "close up "]
PLACES = [(3, 5), (20, 9), (31, 31), (32, 50), (40, 12), (47, 33), (58, 60), (10, 40)]


def picture(side):
    y, x = np.mgrid[0:side, 0:side]
    return np.stack([(x * 255) // (side - 1), (y * 255) // (side - 1), (x * 7 + y * 5) % 200], -1).astype(np.uint8)


def ellipse(side, cy, cx, extent):
    """250 inside and 2 outside: of a cell that it halves exactly, not even half counts, whatever rounding does."""
    y, x = np.mgrid[0:side, 0:side]
    y, x = y - cy, x - cx
    return np.where(7 * y * y + 5 * x * x + 4 * y * x <= extent, 250, 2).astype(np.uint8)


CONCEPT = [
    (picture(48), ellipse(48, 20, 27, 1400), "photo of a <new1> gate"),
    (picture(40), ellipse(40, 3, 4, 61), "a <new1> gate at night"),
]


class Log:
    """Random numbers in the order in which they were drawn."""

    def __init__(self, numbers):
        self.numbers, self.at = numbers, 0

    def uniform(self):
        self.at += 1
        return self.numbers[self.at - 1]

    def whole(self, low, high):
        return low + math.floor(self.uniform() * (high - low + 1))


def draw(log, size):
    """Mirrored, resized side, centre of the square that is pasted or cut out, prefix."""
    mirrored = log.uniform() < 0.5
    if log.uniform() < 2 / 3:
        r = log.whole(size // 3, size)
    else:
        r = log.whole(math.floor(1.2 * size), math.floor(1.4 * size) - 1)
    if r % 2:
        r += 1
    if r < 0.6 * size:
        centre = [log.whole(r // 2, size - r // 2) for _ in range(2)]
        prefix = log.whole(1, 2)
    elif r > size:
        centre = [log.whole(size // 2, r - size // 2) for _ in range(2)]
        prefix = log.whole(3, 4)
    else:
        r, centre, prefix = size, [size // 2, size // 2], 0
    return mirrored, r, centre, prefix


def valid(r, centre, size, factor):
    """First and end rows and columns of the latent cells in which the loss counts."""
    if r >= size:
        return [0, size // factor] * 2
    return [edge for c in centre for edge in ((c - r // 2) // factor + 1, (c + r // 2) // factor - 1)]


def seen(channel, mirrored, r, centre, size, empty):
    """One channel on the training frame."""
    image = Image.fromarray(channel.astype(np.float32))
    if mirrored:
        image = image.transpose(Image.FLIP_LEFT_RIGHT)
    big = np.asarray(image.resize((r, r), Image.BICUBIC), np.float64)
    (y, x), half = centre, size // 2
    if r >= size:
        return big[y - half : y + half, x - half : x + half]
    frame = np.full((size, size), empty, np.float64)
    frame[y - r // 2 : y + r // 2, x - r // 2 : x + r // 2] = big
    return frame


def target(log, size=64, factor=4):
    index = log.whole(0, len(CONCEPT) - 1)
    rgb, foreground, caption = CONCEPT[index]
    for tried in range(1, 9):
        mirrored, r, centre, prefix = draw(log, size) if tried < 8 else (log.uniform() < 0.5, size, [size // 2] * 2, 0)
        cover = np.clip(seen(foreground, mirrored, r, centre, size, 0), 0, 255) / 255
        n = size // factor
        cover = cover.reshape(n, factor, n, factor).mean((1, 3))
        top, bottom, left, right = valid(r, centre, size, factor)
        inside = np.zeros((n, n), bool)
        inside[top:bottom, left:right] = True
        assert np.abs(cover[inside] - 0.5).min() > 1e-5, "a cell is half covered: choose other numbers"
        mask = inside & (cover >= 0.5)
        if mask.any():
            break
    pixels = np.stack([seen(rgb[..., c], mirrored, r, centre, size, 127.5) for c in range(3)], -1)
    pixels = np.clip(pixels / 127.5 - 1, -1, 1)
    return PREFIXES[prefix] + caption, mask, [pixels[y, x] for y, x in PLACES], tried


geometry, captions, masks, places, again = [], [], [], [], 0
for line in sys.stdin:
    numbers = json.loads(line)
    mirrored, r, centre, prefix = draw(Log(numbers), 512)
    # The corner of the resized picture on the frame.
    corner = [c - r // 2 if r < 512 else 256 - c for c in centre]
    geometry.append([int(mirrored), r, *corner, prefix, *valid(r, centre, 512, 8)])
    caption, mask, pixels, tried = target(Log(numbers))
    again += tried > 1
    captions.append(caption)
    masks.append(np.packbits(mask))
    places.append(pixels)
words = sorted(set(captions))
assert len(geometry) == 1000 and len(words) == 10 and again > 20, (len(geometry), len(words), again)


def text(values, dtype):
    return base64.b64encode(np.asarray(values, dtype).tobytes()).decode()


golden = {
    "draws": len(geometry),
    "drawnAgain": int(again),
    "prefixes": PREFIXES,
    "places": PLACES,
    "geometry": text(geometry, np.int16),
    "words": words,
    "captions": text([words.index(c) for c in captions], np.uint8),
    "masks": text(masks, np.uint8),
    "pixels": text(places, np.float32),
}
(pathlib.Path(__file__).parent / "augment.json").write_text(json.dumps(golden))
print(len(geometry), "draws,", int(again), "drawn again")
