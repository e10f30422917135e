"""Writes evaluate.safetensors, features with their KID and FID by clean-fid's definitions; scorer/, a small CLIP with
random weights in a folder as transformers saves it, with the scores that transformers gives in scorer/scores.json; and
dino/, a small ViTModel likewise.

Run from this folder with torch, transformers, Pillow 11, numpy, scipy and clean-fid installed: python evaluate.py [name…]
Pillow 13 resizes some tall pictures down first and across second, which rounds otherwise: by up to 7 in a pixel of these.
"""

import importlib
import json
import os
import sys
from unittest.mock import MagicMock

import numpy as np
import PIL
import scipy.linalg
import torch
from PIL import Image
from safetensors.numpy import save_file
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer, ViTConfig, ViTModel
try:
    from transformers import CLIPImageProcessorPil as CLIPImageProcessor, ViTImageProcessorPil as ViTImageProcessor
except ImportError:
    from transformers import CLIPImageProcessor, ViTImageProcessor

for name in ("torchvision", "torchvision.transforms", "torchvision.datasets", "requests", "tqdm", "tqdm.auto"):
    try:
        importlib.import_module(name)
    except ImportError:
        sys.modules[name] = MagicMock()  # clean-fid imports it; its arithmetic, all that is used here, does not need it.
import cleanfid.fid  # noqa: E402

assert PIL.__version__.startswith("11."), "see above"
torch.set_num_threads(1)


def randomize(model):
    """Every parameter random, scales near 1, and of float32 precision, so that both sides compute from the same."""
    model.double().eval()
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape)
        if p.ndim > 1:
            value = noise * (2.0 if "embedding.weight" in name else 1.2) / p[0].numel() ** 0.5
        else:
            value = noise * 0.3 + (1 if "norm" in name and name.endswith("weight") else 0)
        p.data = value.float().double()


def frechet(a, b):
    """clean-fid's frechet_distance, except that its retry for singular products, an epsilon, is not taken."""
    difference = a.mean(0) - b.mean(0)
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(ca @ cb)
    return difference @ difference + np.trace(ca) + np.trace(cb) - 2 * np.trace(root).real


def subset(n, m, state):
    """The m rows that evaluate/kid.ts draws: the shuffle and the generator are ours, the definition is clean-fid's."""
    rows = list(range(n))
    for i in range(m):
        state[0] = (state[0] * 1664525 + 1013904223) % 2**32
        j = i + int(state[0] / 2**32 * (n - i))
        rows[i], rows[j] = rows[j], rows[i]
    return rows[:m]


def kernel(a, b, draws):
    """clean-fid's kernel_distance with given subsets."""
    n, total = a.shape[1], 0
    for rows_a, rows_b in draws:
        x, y = b[rows_b], a[rows_a]
        m = len(x)
        within = (x @ x.T / n + 1) ** 3 + (y @ y.T / n + 1) ** 3
        total += (within.sum() - np.diag(within).sum()) / (m - 1) - ((x @ y.T / n + 1) ** 3).sum() * 2 / m
    return total / len(draws) / m


def features():
    rng = np.random.default_rng(5)
    mix = rng.normal(size=(16, 16))
    draw = lambda n, d, shift: (rng.normal(size=(n, d)) @ mix[:d, :d] / d**0.5 + shift).astype(np.float32)
    cases = {"equal": (draw(40, 16, 0), draw(40, 16, 0.3)), "uneven": (draw(60, 12, 0), draw(25, 12, 0.5)),
             "few": (draw(7, 16, 0), draw(9, 16, 0.2))}
    tensors, numbers = {}, {}
    for name, (a, b) in cases.items():
        tensors[f"{name}.a"], tensors[f"{name}.b"] = a, b
        a, b = a.astype(np.float64), b.astype(np.float64)
        m, state = min(len(a), len(b)), [1]
        draws = [(subset(len(a), m, state), subset(len(b), m, state)) for _ in range(1 if len(a) == len(b) else 100)]
        numbers[name] = {"fid": frechet(a, b), "kid": kernel(a, b, draws)}
        if name == "few":  # A product of covariances that is singular: no root by scipy, but by singular values.
            ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
            half = scipy.linalg.eigh(ca)
            root = (half[1] * np.sqrt(half[0].clip(0))) @ half[1].T
            rank = min(len(a), len(b)) - 1  # Beyond it there is rounding only, of which roots would make something.
            common = np.sqrt(scipy.linalg.eigvalsh(root @ cb @ root)[-rank:]).sum()
            d = a.mean(0) - b.mean(0)
            numbers[name]["fid"] = d @ d + np.trace(ca) + np.trace(cb) - 2 * common
        else:  # The package itself.
            args = a.mean(0), np.cov(a, rowvar=False), b.mean(0), np.cov(b, rowvar=False)
            assert abs(cleanfid.fid.frechet_distance(*args) - numbers[name]["fid"]) < 1e-9
        if len(a) == len(b):
            theirs = cleanfid.fid.kernel_distance(a, b, num_subsets=3)
            assert abs(theirs - numbers[name]["kid"]) < 1e-9
    save_file(tensors, "evaluate.safetensors", {"numbers": json.dumps(numbers)})


def picture(width, height, k):
    """The test draws the same ones: smooth waves with a sharp edge."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [(x * (3 + k + c) + y * (5 + 2 * c) + (x > y) * 90) % 256 for c in range(3)]
    return Image.fromarray(np.stack(channels, -1).astype(np.uint8))


def scorer():
    os.makedirs("scorer", exist_ok=True)
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    merges = ["d o", "do g</w>", "c a", "ca t</w>", "o f</w>", "p h", "ph o", "t o</w>", "pho to</w>"]
    entries = letters + [f"{c}</w>" for c in letters] + [m.replace(" ", "") for m in merges]
    vocab = {e: i for i, e in enumerate(entries + ["<|startoftext|>", "<|endoftext|>"])}
    with open("scorer/vocab.json", "w") as f:
        json.dump(vocab, f)
    with open("scorer/merges.txt", "w") as f:
        f.write("#version: 0.2\n" + "\n".join(merges) + "\n")
    tokenizer = CLIPTokenizer(vocab=vocab, merges=[tuple(m.split()) for m in merges])
    bos, eos = len(vocab) - 2, len(vocab) - 1
    text = dict(vocab_size=len(vocab), hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=3,
                max_position_embeddings=14, hidden_act="quick_gelu", bos_token_id=bos, eos_token_id=eos,
                pad_token_id=eos)
    vision = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=12,
                  patch_size=4, hidden_act="quick_gelu")
    torch.manual_seed(3)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=10))
    randomize(model)
    save_file({k: p.detach().float().numpy() for k, p in model.named_parameters()}, "scorer/model.safetensors")
    look = dict(size={"shortest_edge": 16}, crop_size={"height": 12, "width": 12}, do_center_crop=True,
                do_normalize=True, do_resize=True, resample=3, image_mean=[0.48, 0.46, 0.41],
                image_std=[0.27, 0.26, 0.28])
    with open("scorer/preprocessor_config.json", "w") as f:
        json.dump(look, f, indent=1)
    config = {"model_type": "clip", "projection_dim": 10, "text_config": {**text, "model_type": "clip_text_model"},
              "vision_config": {**vision, "model_type": "clip_vision_model"}}
    with open("scorer/config.json", "w") as f:
        json.dump(config, f, indent=1)
    prompts = ["photo of a dog", "a cat", "photo of a dog in the snow on a cat"]
    sizes = [(40, 24), (16, 16), (21, 50)]
    made = [picture(w, h, k) for k, (w, h) in enumerate(sizes)]
    pixels = CLIPImageProcessor(**look)(made, return_tensors="pt")["pixel_values"].double()
    ids = tokenizer(prompts, padding="max_length", truncation=True, max_length=14, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        images = model.visual_projection(model.vision_model(pixels).pooler_output)
        words = model.text_projection(model.text_model(ids).pooler_output)
    cos = torch.nn.functional.cosine_similarity
    scores = 2.5 * cos(images, words).clamp(min=0)
    pairs = cos(images[:, None], images[None, 1:], dim=-1)
    with open("scorer/scores.json", "w") as f:
        json.dump({"prompts": prompts, "sizes": sizes, "images": images.tolist(), "words": words.tolist(),
                   "scores": scores.tolist(), "text": scores.mean().item(), "image": pairs.mean().item()}, f, indent=1)


def dino():
    os.makedirs("dino", exist_ok=True)
    torch.manual_seed(4)
    model = ViTModel(ViTConfig(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=12,
                               patch_size=4), add_pooling_layer=False)
    randomize(model)
    model.float().save_pretrained("dino")
    # As in facebook/dino-vits16: a bare number, which means both sides.
    look = dict(do_normalize=True, do_resize=True, feature_extractor_type="ViTFeatureExtractor", resample=2, size=12,
                image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225])
    with open("dino/preprocessor_config.json", "w") as f:
        json.dump(look, f, indent=1)
    sizes = [(40, 24), (16, 16), (21, 50)]
    made = [picture(w, h, k) for k, (w, h) in enumerate(sizes)]
    pixels = ViTImageProcessor.from_pretrained("dino")(made, return_tensors="pt")["pixel_values"].double()
    with torch.no_grad():
        images = model.double()(pixels).last_hidden_state[:, 0]
    pairs = torch.nn.functional.cosine_similarity(images[:, None], images[None, 1:], dim=-1)
    with open("dino/scores.json", "w") as f:
        json.dump({"sizes": sizes, "images": images.tolist(), "image": pairs.mean().item()}, f, indent=1)


for make in [features, scorer, dino]:
    if make.__name__ in sys.argv[1:] or len(sys.argv) == 1:
        make()
