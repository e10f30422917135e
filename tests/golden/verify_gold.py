"""Writes what PyTorch computes with a model into a file that `moongate verify` computes again.

    python verify_gold.py MODEL_DIR OUT.safetensors

Needs torch, diffusers, transformers and safetensors; the committed goldens are by torch 2.15, diffusers 0.42.1,
transformers 5.24 and safetensors 0.8. MODEL_DIR is a folder as diffusers saves it.

Names and layouts are PyTorch's. Inputs are random, from --seed:
  ids [2,T] → text_hidden            unet_x, unet_t, text_hidden → unet_out
  wide_x, text_hidden[0], t = 250 → wide_out (wide_x is not square)
  image in [-1,1] → moments (mean and logarithm of the variance)     z (unscaled) → decoded
  x0, noise, unet_t → xt             these with mask [2,1,h,w] and ids → loss, grad.<name of the UNet>, grad.row
  after.<name>, after.row: after --steps of AdamW (at --rate, decay 0.01) on the cross-attention's keys and values and
  the row `row` of the token table, on the same batch
  sample_latents → sample_out (DDIM, η 0), sample_pndm: 20 steps, guidance 6, "photo of a cat"
With --trains something else than K/V is trained, besides the row. --start-token cut: keys and values get no gradient from
position 0, as Custom Diffusion trains. The metadata notes these choices.
"""

import argparse
import importlib.metadata
import json
import pathlib

import torch
from diffusers import AutoencoderKL, DDIMScheduler, PNDMScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTokenizer

DECAY = 0.01
PROMPTS = ["photo of a cat", "a very small photo of a dog"]
TRAINS = {"kv": ("attn2.to_k.weight", "attn2.to_v.weight"), "attention": ("attn2.",), "unet": ("",), "token": ()}


class Model:
    def __init__(self, folder, dtype):
        load = lambda cls, part: cls.from_pretrained(folder, subfolder=part, torch_dtype=dtype).eval().requires_grad_(False)
        self.unet = load(UNet2DConditionModel, "unet")
        self.vae = load(AutoencoderKL, "vae")
        self.text = load(CLIPTextModel, "text_encoder")
        self.words = CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer")
        self.scheduler = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
        self.length = min(self.words.model_max_length, self.text.config.max_position_embeddings)

    def ids(self, prompts):
        given = self.words(prompts, padding="max_length", max_length=self.length, truncation=True, return_tensors="pt")
        return given.input_ids

    def hidden(self, ids):
        return self.text(ids).last_hidden_state

    def sampler(self, cls, **more):
        # An autoencoder's latents go beyond [-1, 1]; a config of another class need not say so.
        return cls.from_config({**self.scheduler, "clip_sample": False, "thresholding": False}, **more)


def table_of(text):
    return next(m for n, m in text.named_modules() if n.endswith("token_embedding"))


def forward(model, gold):
    unet, vae = model.unet.config, model.vae
    s, c = unet.sample_size, unet.in_channels
    grain, factor = 2 ** (len(unet.block_out_channels) - 1), 2 ** (len(vae.config.block_out_channels) - 1)
    gold["text_hidden"] = hidden = model.hidden(gold["ids"])
    gold["unet_x"] = rand(2, c, s, s)
    gold["unet_out"] = model.unet(gold["unet_x"], gold["unet_t"], hidden).sample
    gold["wide_x"] = rand(1, c, s, s + grain)
    gold["wide_out"] = model.unet(gold["wide_x"], torch.tensor([250]), hidden[:1]).sample
    gold["image"] = rand(1, 3, s * factor, (s + grain) * factor).clamp(-1, 1)
    gold["moments"] = vae.encode(gold["image"]).latent_dist.parameters
    gold["z"] = rand(1, vae.config.latent_channels, s, s)
    gold["decoded"] = vae.decode(gold["z"]).sample
    gold["sample_latents"] = rand(1, c, s, s)
    for name, cls, more in (("sample_out", DDIMScheduler, {}), ("sample_pndm", PNDMScheduler, {"skip_prk_steps": True})):
        gold[name] = sample(model, model.sampler(cls, **more), gold["sample_latents"])


def sample(model, steps, x, guidance=6.0):
    context = model.hidden(model.ids(["", "photo of a cat"]))
    steps.set_timesteps(20)
    x = x * steps.init_noise_sigma
    for t in steps.timesteps:
        without, given = model.unet(torch.cat([x, x]), t, context).sample.chunk(2)
        x = steps.step(without + guidance * (given - without), t, x).prev_sample
    return x


def training(model, gold, trains, steps, rate, cut):
    shape = [2, model.unet.config.in_channels, *[model.unet.config.sample_size] * 2]
    t, ids, row = gold["unet_t"], gold["ids"], gold["row"]
    steps_of_noise = model.sampler(DDIMScheduler)
    x0, noise = rand(*shape), rand(*shape)
    mask = torch.ones(2, 1, *shape[2:], dtype=x0.dtype)
    mask[1] = 0
    mask[1, :, 1:-2, 2:-1] = 1
    xt = steps_of_noise.add_noise(x0, noise, t)
    wanted = {"epsilon": noise, "sample": x0, "v_prediction": steps_of_noise.get_velocity(x0, noise, t)}
    wanted = wanted[steps_of_noise.config.prediction_type]

    table = table_of(model.text)
    new = table.weight[row].detach().clone().requires_grad_()
    table.register_forward_hook(lambda _m, inputs, y: torch.where((inputs[0] == row)[..., None], new, y))
    if cut:
        for name, module in model.unet.named_modules():
            if name.endswith(("attn2.to_k", "attn2.to_v")):
                module.register_forward_hook(lambda _m, _i, y: torch.cat([y[:, :1].detach(), y[:, 1:]], 1))
    picked = {n: p.requires_grad_() for n, p in model.unet.named_parameters()
              if any(part in n for part in TRAINS[trains])}
    leaves = {**picked, "row": new}

    def loss_of():
        error = (model.unet(xt, t, model.hidden(ids)).sample - wanted) ** 2
        each = (mask * error).sum((1, 2, 3)) / (mask.sum((1, 2, 3)) * shape[1])
        return each.mean()

    optimizer = torch.optim.AdamW(leaves.values(), lr=rate, weight_decay=DECAY)
    for step in range(steps):
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        if step == 0:
            gold.update(x0=x0, noise=noise, mask=mask, xt=xt, loss=loss)
            gold.update({f"grad.{n}": p.grad.clone() for n, p in leaves.items()})
        optimizer.step()
    gold.update({f"after.{n}": p.detach() for n, p in leaves.items()})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("out")
    parser.add_argument("--trains", choices=TRAINS, default="kv")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--start-token", choices=("cut", "kept"), default="cut")
    parser.add_argument("--only-training", action="store_true", help="loss, gradients and trained values alone")
    parser.add_argument("--float32", action="store_true", help="compute in float32 instead of float64: half the memory")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    global rand
    torch.manual_seed(args.seed)
    dtype = torch.float32 if args.float32 else torch.float64
    # Inputs are of float32 precision, as they are stored: both sides compute from the same.
    rand = lambda *shape: torch.randn(*shape).to(dtype)
    model = Model(args.model, dtype)
    many = model.sampler(DDIMScheduler).config.num_train_timesteps
    gold = {"ids": model.ids(PROMPTS), "unet_t": torch.tensor([many * 981 // 1000, many * 37 // 1000])}
    gold["row"] = gold["ids"][0, 3]
    if not args.only_training:
        with torch.no_grad():
            forward(model, gold)
    training(model, gold, args.trains, args.steps, args.rate, args.start_token == "cut")
    packages = ("torch", "diffusers", "transformers", "safetensors")
    note = {"format": "pt", "trains": args.trains, "steps": str(args.steps), "rate": str(args.rate),
            "start_token": args.start_token, "written_by": ", ".join(f"{p} {importlib.metadata.version(p)}" for p in packages)}
    save_file({k: stored(v) for k, v in gold.items()}, args.out, note)


def stored(t):
    return (t.detach().float() if t.is_floating_point() else t.detach()).contiguous().clone()


if __name__ == "__main__":
    main()
