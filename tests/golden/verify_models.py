"""Writes verify/sd1 and verify/sd2: tiny models with random weights in the folders that diffusers and transformers save.
sd1 is built as Stable Diffusion 1 is (1×1 convolutions around attention, one number of heads, ε, PNDM), sd2 as 2.1 is
(linear projections, heads per level, v-prediction, GELU). Then their goldens, by verify_gold.py.

Run from this folder with torch 2.15, diffusers 0.42, transformers 5.24 and safetensors installed: python verify_models.py
"""

import json
import pathlib
import shutil
import subprocess
import sys

import torch
from diffusers import AutoencoderKL, DDIMScheduler, PNDMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

torch.set_num_threads(1)
OUT = pathlib.Path("verify")
BETAS = dict(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
             set_alpha_to_one=False, steps_offset=1)


def randomize(model):
    """Every parameter random, scales near 1, and of float16 precision, which is how they are saved."""
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape)
        if p.ndim > 1:
            p.data = noise * (1.0 if "embedding.weight" in name else 1.2 / p[0].numel() ** 0.5)
        else:
            p.data = 0.3 * noise + (1 if "norm" in name and name.endswith("weight") else 0)
    return model.half()


def tokenizer(length, pad):
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    merges = ["d o", "do g</w>", "c a", "ca t</w>", "o f</w>", "p h", "ph o", "t o</w>", "pho to</w>", "k t", "kt n"]
    entries = letters + [f"{c}</w>" for c in letters] + [m.replace(" ", "") for m in merges]
    vocab = {e: i for i, e in enumerate([*entries, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocab, merges=[tuple(m.split()) for m in merges], pad_token=pad, model_max_length=length)


def model(name, seed, unet, act, scheduler, pad):
    torch.manual_seed(seed)
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    words = tokenizer(12, pad)
    words.save_pretrained(folder / "tokenizer")
    bos, eos = len(words) - 2, len(words) - 1
    text = CLIPTextConfig(vocab_size=len(words), hidden_size=8, intermediate_size=16, num_hidden_layers=2,
                          num_attention_heads=2, max_position_embeddings=12, hidden_act=act, bos_token_id=bos,
                          eos_token_id=eos, pad_token_id=words.pad_token_id)
    vae = dict(block_out_channels=(4, 8), down_block_types=("DownEncoderBlock2D",) * 2,
               up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=2, layers_per_block=1, latent_channels=4,
               sample_size=16)
    shared = dict(sample_size=8, in_channels=4, out_channels=4, block_out_channels=(4, 8), layers_per_block=1,
                  norm_num_groups=2, cross_attention_dim=8)
    randomize(CLIPTextModel(text)).save_pretrained(folder / "text_encoder")
    randomize(AutoencoderKL(**vae)).save_pretrained(folder / "vae")
    randomize(UNet2DConditionModel(**shared, **unet)).save_pretrained(folder / "unet")
    scheduler.save_pretrained(folder / "scheduler")
    index = {"_class_name": "StableDiffusionPipeline", "scheduler": ["diffusers", type(scheduler).__name__],
             "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
             "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))


def gold(folder, out, *options):
    subprocess.run([sys.executable, "verify_gold.py", OUT / folder, OUT / f"{out}.safetensors", *options], check=True)


model("sd1", 1, dict(down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), attention_head_dim=2,
                     up_block_types=("UpBlock2D", "CrossAttnUpBlock2D")),
      "quick_gelu", PNDMScheduler(**BETAS, skip_prk_steps=True), "<|endoftext|>")
model("sd2", 2, dict(down_block_types=("CrossAttnDownBlock2D",) * 2, attention_head_dim=(1, 2),
                     up_block_types=("CrossAttnUpBlock2D",) * 2, use_linear_projection=True),
      "gelu", DDIMScheduler(**BETAS, clip_sample=False, prediction_type="v_prediction"), "a")
gold("sd1", "sd1")
gold("sd2", "sd2", "--start-token", "kept")
# The whole UNet takes a tenth of the rate, as in the paper: at 1e-3 PyTorch's own float32 is 2e-3 off its float64.
for trains in ("kv", "attention", "unet", "token"):
    rate = "1e-4" if trains == "unet" else "1e-3"
    gold("sd1", f"sd1_{trains}", "--trains", trains, "--steps", "30", "--rate", rate, "--only-training")
