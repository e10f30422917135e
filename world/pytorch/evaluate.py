"""Measures the shipped folder (its float16 weights, not the training state) and draws a sheet of samples.

    python evaluate.py DATA MODEL [--samples 200] [--steps 25] [--guidance 4] [--sheet samples.png]

Prompts are the full captions of test pictures of one thing. Class, colour, place, texture and style of samples are read by the
classifier; the same numbers on real renders, and on renders sent through the autoencoder, say what the classifier and the
autoencoder lose.
"""
import argparse
import json
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPTokenizer

from data import World
from models import POSITIONS, Classifier, Design


class Model:
    def __init__(self, folder):
        folder, design = Path(folder), Design.of(folder)
        self.labels = design.labels
        self.vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32).eval()
        self.unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32).eval()
        self.tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        self.clip = design.make_clip(folder / "tokenizer").eval()
        self.clip.load_state_dict(floats(folder / "clip/model.safetensors"))
        self.text = design.make_clip(folder / "tokenizer").text_model.eval()  # The CLIP's, gone on learning with the UNet.
        text = floats(folder / "text_encoder/model.safetensors")
        self.text.load_state_dict({k.removeprefix("text_model."): v for k, v in text.items()})
        self.classifier = Classifier(design).eval()
        self.classifier.load_state_dict(floats(folder / "classifier/model.safetensors"))
        self.scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")

    def hidden(self, prompts):
        ids = self.tokenizer(prompts, padding="max_length", max_length=POSITIONS, truncation=True).input_ids
        return self.text(torch.tensor(ids)).last_hidden_state

    @torch.no_grad()
    def sample(self, prompts, steps, guidance, seed=0):
        """Pictures in [-1, 1] by DDIM with classifier-free guidance."""
        x = torch.randn(len(prompts), self.unet.config.in_channels, 8, 8, generator=torch.Generator().manual_seed(seed))
        text, empty = self.hidden(prompts), self.hidden([""] * len(prompts))
        self.scheduler.set_timesteps(steps)
        for t in self.scheduler.timesteps:
            conditional, free = self.unet(torch.cat([x, x]), t, torch.cat([text, empty])).sample.chunk(2)
            x = self.scheduler.step(free + guidance * (conditional - free), t, x).prev_sample
        return self.vae.decode(x / self.vae.config.scaling_factor).sample.clamp(-1, 1)

    @torch.no_grad()
    def read(self, pictures):
        parts = [self.classifier(p) for p in pictures.split(128)]
        return {k: torch.cat([p[k] for p in parts]).argmax(-1).numpy() for k in self.labels}


def floats(path):
    return {k: v.float() for k, v in load_file(path).items()}


def accuracy(read, truth, where=slice(None)):
    """What share is read rightly, of those that have a truth (-1 is none: a thing in colours of its own)."""
    right = {k: (read[k] == t)[where][t[where] >= 0] for k, t in truth.items()}
    return {k: round(float(r.mean()), 3) for k, r in right.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("model")
    parser.add_argument("--samples", type=int, default=200, help="of each of two kinds: plain photos, and any")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=4)
    parser.add_argument("--sheet")
    parser.add_argument("--out")
    args = parser.parse_args()
    model, test, result = Model(args.model), World(args.data, ["test"]), {}
    rng, LABELS = np.random.default_rng(1), model.labels

    single = np.nonzero((test.labels("relation") == -1) & (test.labels("framing") == 0))[0][:400]
    x, truth = test.pixels(single), {k: test.labels(k)[single] for k in LABELS}
    with torch.no_grad():
        y = torch.cat([model.vae.decode(model.vae.encode(p).latent_dist.mode()).sample for p in x.split(100)]).clamp(-1, 1)
    result["real"] = accuracy(model.read(x), truth)
    result["reconstructed"] = accuracy(model.read(y), truth)
    result["psnr"] = round(float((10 * torch.log10(4 / (x - y).square().mean((1, 2, 3)))).mean()), 2)
    print(json.dumps(result), flush=True)

    # Half of them plain photos, as in most prompts: class, colour and place are asked for.
    one = (test.labels("relation") == -1) & (test.labels("framing") == 0)
    plain = one & (test.labels("texture") == 0) & (test.labels("style") == 0)
    index = np.empty(2 * args.samples, int)
    index[0::2], index[1::2] = (rng.choice(np.nonzero(mask)[0], args.samples) for mask in (one, plain))
    prompts = [test.rows[i]["caption"] for i in index]
    pictures = torch.cat([
        model.sample(prompts[i : i + 50], args.steps, args.guidance, seed=i) for i in range(0, len(prompts), 50)
    ])
    truth = {k: test.labels(k)[index] for k in LABELS}
    read = model.read(pictures)
    result["samples, plain photos"] = accuracy(read, truth, slice(1, None, 2))
    result["samples, any texture and style"] = accuracy(read, truth, slice(0, None, 2))
    print(json.dumps(result, indent=2), flush=True)
    if args.out:
        Path(args.out).write_text(json.dumps({"steps": args.steps, "guidance": args.guidance, **result}, indent=2) + "\n")
    if args.sheet:
        columns = 12
        rows = min(8, len(pictures) // columns)
        cells = pictures[: rows * columns].view(rows, columns, 3, 64, 64).permute(0, 3, 1, 4, 2)
        sheet = ((cells.reshape(rows * 64, columns * 64, 3) + 1) * 127.5).round().byte().numpy()
        Image.fromarray(sheet).save(args.sheet)
        print("\n".join(prompts[: rows * columns]))


if __name__ == "__main__":
    main()
