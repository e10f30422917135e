"""Writes sd2/ and sdxl/, a tiny StableDiffusionPipeline and StableDiffusionXLPipeline with random weights as diffusers
saves them, and sd2.safetensors and sdxl.safetensors, what these pipelines make of given noise.

Run from this folder: python pipelines.py (torch 2.15.0, diffusers 0.42.1, transformers 5.24.0)

In the files: `noise`; `embeds` of PROMPTS; `zeros`, latents after 4 steps without a negative prompt; `negative`, with one;
`new.embeds` of NEW once <new1> is a row in each token table, a copy of that of "dog</w>". Of XL also `pooled` and
`new.pooled`; its `negative` is with another cut; `picture` is `zeros` decoded, in 0…1. SD 2 predicts v, and takes DDIM's
steps without fresh noise.
"""

import json
import os
import tempfile

import torch
from diffusers import (AutoencoderKL, DDIMScheduler, EulerDiscreteScheduler, StableDiffusionPipeline,
                       StableDiffusionXLPipeline, UNet2DConditionModel)
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

torch.set_num_threads(1)
PROMPTS = ["photo of a dog", "a cat, a dog"]
NEGATIVE = "a photo"
NEW = ["photo of a <new1> dog"]
CUT = dict(original_size=(40, 24), crops_coords_top_left=(3, 5), target_size=(16, 16))


def randomize(model):
    model.eval()
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape)
        if p.ndim > 1:
            p.data = noise * (2.0 if "embedding.weight" in name else 1.2) / p[0].numel() ** 0.5
        else:
            p.data = noise * 0.3 + (1 if "norm" in name and name.endswith("weight") else 0)
    return model


def tokenizer(pad):
    letters = ["!", ",", *(chr(c) for c in range(ord("a"), ord("z") + 1))]
    merges = ["d o", "do g</w>", "c a", "ca t</w>", "o f</w>", "p h", "ph o", "t o</w>", "pho to</w>"]
    entries = letters + [f"{c}</w>" for c in letters] + [m.replace(" ", "") for m in merges]
    entries += ["<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/vocab.json", "w") as f:
            json.dump({e: i for i, e in enumerate(entries)}, f)
        with open(f"{folder}/merges.txt", "w") as f:
            f.write("#version: 0.2\n" + "\n".join(merges) + "\n")
        return CLIPTokenizer.from_pretrained(folder, pad_token=pad, model_max_length=14)


SIZE = len(tokenizer("!"))


def text(width, act, **more):
    special = dict(bos_token_id=SIZE - 2, eos_token_id=SIZE - 1, pad_token_id=SIZE - 1)
    return CLIPTextConfig(vocab_size=SIZE, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2,
                          num_attention_heads=2, max_position_embeddings=14, hidden_act=act, **{**special, **more})


def vae(**more):
    return randomize(AutoencoderKL(
        block_out_channels=(4, 8), down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=2, layers_per_block=1, sample_size=16, **more))


def unet(**more):
    return randomize(UNet2DConditionModel(
        sample_size=8, norm_num_groups=2, block_out_channels=(4, 8), layers_per_block=1, attention_head_dim=(1, 2),
        use_linear_projection=True, **more))


def sd2():
    return StableDiffusionPipeline(
        unet=unet(cross_attention_dim=12, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
                  up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), upcast_attention=True),
        vae=vae(), tokenizer=tokenizer("!"),
        # As the published configs have them.
        text_encoder=randomize(CLIPTextModel(text(12, "gelu", bos_token_id=0, eos_token_id=2, pad_token_id=1))),
        scheduler=DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
                                set_alpha_to_one=False, steps_offset=1, prediction_type="v_prediction"),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False)


def sdxl():
    return StableDiffusionXLPipeline(
        unet=unet(cross_attention_dim=20, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                  up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), transformer_layers_per_block=(1, 2),
                  addition_embed_type="text_time", addition_time_embed_dim=4, projection_class_embeddings_input_dim=30),
        vae=vae(scaling_factor=0.13025, force_upcast=True),
        text_encoder=randomize(CLIPTextModel(text(8, "quick_gelu"))),
        text_encoder_2=randomize(CLIPTextModelWithProjection(text(12, "gelu", projection_dim=6))),
        tokenizer=tokenizer("<|endoftext|>"), tokenizer_2=tokenizer("!"),
        scheduler=EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
                                         timestep_spacing="leading", steps_offset=1))


@torch.no_grad()
def embeds(pipe, prompts, prefix=""):
    if isinstance(pipe, StableDiffusionXLPipeline):
        hidden, _, pooled, _ = pipe.encode_prompt(prompts, do_classifier_free_guidance=False)
        return {f"{prefix}embeds": hidden, f"{prefix}pooled": pooled}
    return {f"{prefix}embeds": pipe.encode_prompt(prompts, "cpu", 1, False)[0]}


@torch.no_grad()
def add_word(tok, model):
    assert tok.add_tokens("<new1>") == 1
    model.resize_token_embeddings(SIZE + 1)
    table = model.get_input_embeddings().weight
    table[SIZE] = table[tok.convert_tokens_to_ids("dog</w>")]


@torch.no_grad()
def write(name, pipe, cut):
    pipe.set_progress_bar_config(disable=True)
    pipe.save_pretrained(name)
    for top, _, files in os.walk(name):
        for file in files:
            os.chmod(os.path.join(top, file), 0o644)
    noise = torch.randn(2, 4, 8, 8)

    def run(**options):
        return pipe(PROMPTS, latents=noise.clone(), num_inference_steps=4, guidance_scale=4.0, height=16, width=16,
                    output_type="latent", **options).images

    zeros = run()
    out = dict(noise=noise, zeros=zeros, negative=run(negative_prompt=[NEGATIVE] * 2, **cut), **embeds(pipe, PROMPTS))
    if cut:
        out["picture"] = pipe.vae.decode(zeros / pipe.vae.config.scaling_factor).sample.div(2).add(0.5).clamp(0, 1)
        add_word(pipe.tokenizer_2, pipe.text_encoder_2)
    add_word(pipe.tokenizer, pipe.text_encoder)
    out.update(embeds(pipe, NEW, "new."))
    save_file({k: v.float().contiguous() for k, v in out.items()}, f"{name}.safetensors")
    os.chmod(f"{name}.safetensors", 0o644)


for make, cut in ((sd2, {}), (sdxl, CUT)):
    torch.manual_seed(8)
    write(make.__name__, make(), cut)
