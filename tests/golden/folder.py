"""Writes folder/: a tiny model in the ways that diffusers and transformers save one: the UNet as PyTorch shards, the
autoencoder as fp16 shards of safetensors alone, the text encoder in bf16 by transformers 5, the tokenizer as tokenizer.json
alone. And folder_bin/: the text encoder as transformers 4 saved it, a PyTorch file with `text_model.` in its names.

Run from this folder with torch, diffusers 0.42 and transformers 5.24 installed: python folder.py
Parameter number n of a component (in the order of names.json) holds ((7 i + n) mod 97 - 48) / 512 at place i.
"""

import json
import pathlib
import shutil

import torch
from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

torch.set_num_threads(1)
OUT = pathlib.Path("folder")
OTHER = pathlib.Path("folder_bin")
for folder in (OUT, OTHER):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()

names = {}


def numbered(component, model, dtype):
    names[component] = list(model.state_dict())
    for n, p in enumerate(model.state_dict().values()):
        i = torch.arange(p.numel())
        p.copy_((((7 * i + n) % 97 - 48) / 512).reshape(p.shape))
    return model.to(dtype)


letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
merges = ["d o", "do g</w>", "c a", "ca t</w>"]
entries = letters + [f"{c}</w>" for c in letters] + [m.replace(" ", "") for m in merges]
vocab = {e: i for i, e in enumerate([*entries, "<|startoftext|>", "<|endoftext|>"])}
words = CLIPTokenizer(vocab=vocab, merges=[tuple(m.split()) for m in merges], model_max_length=12)
words.save_pretrained(OUT / "tokenizer")
assert sorted(p.name for p in (OUT / "tokenizer").iterdir()) == ["tokenizer.json", "tokenizer_config.json"]

unet = UNet2DConditionModel(
    sample_size=8, block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=2, cross_attention_dim=8,
    attention_head_dim=2, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))
numbered("unet", unet, torch.float32).save_pretrained(OUT / "unet", safe_serialization=False, max_shard_size="30KB")
vae = AutoencoderKL(block_out_channels=(4, 8), down_block_types=("DownEncoderBlock2D",) * 2, layers_per_block=1,
                    up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=2, latent_channels=4, sample_size=16)
numbered("vae", vae, torch.float16).save_pretrained(OUT / "vae", variant="fp16", max_shard_size="20KB")
config = CLIPTextConfig(vocab_size=len(words), hidden_size=8, intermediate_size=16, num_hidden_layers=2,
                        num_attention_heads=2, max_position_embeddings=12, bos_token_id=len(words) - 2,
                        eos_token_id=len(words) - 1, pad_token_id=len(words) - 1)
text = numbered("text_encoder", CLIPTextModel(config), torch.bfloat16)
text.save_pretrained(OUT / "text_encoder")
PNDMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", set_alpha_to_one=False, steps_offset=1,
              skip_prk_steps=True).save_pretrained(OUT / "scheduler")
index = {"_class_name": "StableDiffusionPipeline", "scheduler": ["diffusers", "PNDMScheduler"],
         "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
         "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]}
(OUT / "model_index.json").write_text(json.dumps(index, indent=2))
(OUT / "names.json").write_text(json.dumps(names))

# transformers 5 writes no such files any more: this is what save_pretrained(safe_serialization=False) of 4 did.
state = {f"text_model.{k.removeprefix('text_model.')}": v for k, v in text.state_dict().items()}
length = config.max_position_embeddings
torch.save({"text_model.embeddings.position_ids": torch.arange(length)[None], **state}, OTHER / "pytorch_model.bin")
shutil.copy(OUT / "text_encoder" / "config.json", OTHER / "config.json")
for path in sorted([*OUT.rglob("*"), *OTHER.rglob("*")]):
    if path.is_file():
        print(path, path.stat().st_size)
