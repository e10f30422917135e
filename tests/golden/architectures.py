"""Writes architectures.json: the configs of published models, and what parameters diffusers and transformers give them.

Run from this folder: python architectures.py (diffusers 0.42.1, transformers 5.24.0, torch 2.15.0)

The classes are built on the meta device: names and shapes, no numbers. Of each component: the number of tensors, of
parameters, and the SHA-256 of the sorted lines `name shape`. The configs are those in the models' folders, with what
notes their writers left; a CLIP's temperature (`logit_scale`), which no score reads, is left out.
"""

import hashlib
import json

import torch

torch.set_num_threads(1)
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import (CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, ViTConfig,
                          ViTModel)

CROSS, PLAIN = "CrossAttnDownBlock2D", "DownBlock2D"
UP_CROSS, UP_PLAIN = "CrossAttnUpBlock2D", "UpBlock2D"

SD1_UNET = dict(
    _class_name="UNet2DConditionModel", _diffusers_version="0.6.0", act_fn="silu", attention_head_dim=8,
    block_out_channels=[320, 640, 1280, 1280], center_input_sample=False, cross_attention_dim=768,
    down_block_types=[CROSS] * 3 + [PLAIN], downsample_padding=1, flip_sin_to_cos=True, freq_shift=0, in_channels=4,
    layers_per_block=2, mid_block_scale_factor=1, norm_eps=1e-05, norm_num_groups=32, out_channels=4, sample_size=64,
    up_block_types=[UP_PLAIN] + [UP_CROSS] * 3)


def sd2_unet(sample_size, **more):
    return {**SD1_UNET, "_diffusers_version": "0.8.0", "attention_head_dim": [5, 10, 20, 20], "cross_attention_dim": 1024,
            "dual_cross_attention": False, "use_linear_projection": True, "sample_size": sample_size, **more}


SD21_MORE = dict(num_class_embeds=None, only_cross_attention=False, upcast_attention=True)

SDXL_UNET = dict(
    _class_name="UNet2DConditionModel", _diffusers_version="0.19.0.dev0", act_fn="silu", addition_embed_type="text_time",
    addition_embed_type_num_heads=64, addition_time_embed_dim=256, attention_head_dim=[5, 10, 20],
    block_out_channels=[320, 640, 1280], center_input_sample=False, class_embed_type=None, class_embeddings_concat=False,
    conv_in_kernel=3, conv_out_kernel=3, cross_attention_dim=2048, cross_attention_norm=None,
    down_block_types=[PLAIN, CROSS, CROSS], downsample_padding=1, dual_cross_attention=False, encoder_hid_dim=None,
    encoder_hid_dim_type=None, flip_sin_to_cos=True, freq_shift=0, in_channels=4, layers_per_block=2,
    mid_block_only_cross_attention=None, mid_block_scale_factor=1, mid_block_type="UNetMidBlock2DCrossAttn",
    norm_eps=1e-05, norm_num_groups=32, num_attention_heads=None, num_class_embeds=None, only_cross_attention=False,
    out_channels=4, projection_class_embeddings_input_dim=2816, resnet_out_scale_factor=1.0, resnet_skip_time_act=False,
    resnet_time_scale_shift="default", sample_size=128, time_cond_proj_dim=None, time_embedding_act_fn=None,
    time_embedding_dim=None, time_embedding_type="positional", timestep_post_act=None,
    transformer_layers_per_block=[1, 2, 10], up_block_types=[UP_CROSS, UP_CROSS, UP_PLAIN], upcast_attention=None,
    use_linear_projection=True)


def vae(sample_size, **more):
    return dict(_class_name="AutoencoderKL", act_fn="silu", block_out_channels=[128, 256, 512, 512],
                down_block_types=["DownEncoderBlock2D"] * 4, in_channels=3, latent_channels=4, layers_per_block=2,
                norm_num_groups=32, out_channels=3, sample_size=sample_size, up_block_types=["UpDecoderBlock2D"] * 4, **more)


def text(width, layers, heads, act, cls="CLIPTextModel", **more):
    return dict(architectures=[cls], attention_dropout=0.0, bos_token_id=0, dropout=0.0, eos_token_id=2, hidden_act=act,
                hidden_size=width, initializer_factor=1.0, initializer_range=0.02, intermediate_size=4 * width,
                layer_norm_eps=1e-05, max_position_embeddings=77, model_type="clip_text_model",
                num_attention_heads=heads, num_hidden_layers=layers, pad_token_id=1, vocab_size=49408, **more)


def clip(projection, width, layers, heads, act, vision_width, vision_layers, vision_heads, patch):
    words = text(width, layers, heads, act, projection_dim=projection)
    vision = dict(attention_dropout=0.0, hidden_act=act, hidden_size=vision_width, image_size=224,
                  intermediate_size=4 * vision_width, layer_norm_eps=1e-05, model_type="clip_vision_model", num_channels=3,
                  num_attention_heads=vision_heads, num_hidden_layers=vision_layers, patch_size=patch,
                  projection_dim=projection)
    del words["architectures"]
    return dict(clip=dict(architectures=["CLIPModel"], initializer_factor=1.0, logit_scale_init_value=2.6592,
                          model_type="clip", projection_dim=projection, text_config=words, vision_config=vision))


SD1 = dict(unet=SD1_UNET, vae=vae(512), text_encoder=text(768, 12, 12, "quick_gelu", projection_dim=768))


def sd2(sample_size, vae_size, **more):
    return dict(unet=sd2_unet(sample_size, **more), vae=vae(vae_size, scaling_factor=0.18215),
                text_encoder=text(1024, 23, 16, "gelu", projection_dim=512))


MODELS = {
    "sd14": SD1,
    "sd15": SD1,
    "sd20": sd2(96, 768),
    "sd20-base": sd2(64, 512),
    "sd21": sd2(96, 768, **SD21_MORE),
    "sd21-base": sd2(64, 512, **SD21_MORE),
    "sdxl": dict(unet=SDXL_UNET, vae=vae(1024, scaling_factor=0.13025, force_upcast=True),
                 text_encoder=text(768, 12, 12, "quick_gelu", projection_dim=768),
                 text_encoder_2=text(1280, 32, 20, "gelu", "CLIPTextModelWithProjection", projection_dim=1280)),
    "clip-vit-l-14": clip(768, 768, 12, 12, "quick_gelu", 1024, 24, 16, 14),
    "clip-vit-b-32": clip(512, 512, 12, 8, "quick_gelu", 768, 12, 12, 32),
    "clip-vit-h-14": clip(1024, 1024, 24, 16, "gelu", 1280, 32, 16, 14),
    "dino-vits16": dict(dino=dict(
        architectures=["ViTModel"], attention_probs_dropout_prob=0.0, encoder_stride=16, hidden_act="gelu",
        hidden_dropout_prob=0.0, hidden_size=384, image_size=224, initializer_range=0.02, intermediate_size=1536,
        layer_norm_eps=1e-12, model_type="vit", num_attention_heads=6, num_channels=3, num_hidden_layers=12,
        patch_size=16, qkv_bias=True)),
}


def build(part, config):
    """Names as files have them, which transformers 5 no longer has in memory: it is asked for what it would save."""
    with torch.device("meta"):
        if part == "unet":
            return UNet2DConditionModel.from_config(config).state_dict()
        if part == "vae":
            return AutoencoderKL.from_config(config).state_dict()
        if part == "clip":
            return CLIPModel(CLIPConfig(**config)).state_dict()
        if part == "dino":
            return {vit_name(k): v for k, v in ViTModel(ViTConfig(**config), add_pooling_layer=False).state_dict().items()}
        if config["architectures"] == ["CLIPTextModelWithProjection"]:
            return CLIPTextModelWithProjection(CLIPTextConfig(**config)).state_dict()
        tensors = CLIPTextModel(CLIPTextConfig(**config)).state_dict()
        return {k if k.startswith("text_model.") else f"text_model.{k}": v for k, v in tensors.items()}


VIT = {"layers.": "encoder.layer.", "attention.o_proj": "attention.output.dense", "mlp.fc1": "intermediate.dense",
       "mlp.fc2": "output.dense", "attention.q_proj": "attention.attention.query",
       "attention.k_proj": "attention.attention.key", "attention.v_proj": "attention.attention.value"}


def vit_name(name):
    for now, then in VIT.items():
        name = name.replace(now, then)
    return name


def summary(part, config):
    tensors = {k: v for k, v in build(part, config).items() if k != "logit_scale" and "position_ids" not in k}
    lines = "".join(f"{k} {'x'.join(map(str, tensors[k].shape))}\n" for k in sorted(tensors))
    return dict(config=config, tensors=len(tensors), parameters=sum(v.numel() for v in tensors.values()),
                sha256=hashlib.sha256(lines.encode()).hexdigest())


found = {name: {part: summary(part, config) for part, config in parts.items()} for name, parts in MODELS.items()}
with open("architectures.json", "w") as f:
    json.dump(found, f, indent=1)
for name, parts in found.items():
    print(name, {part: (s["tensors"], s["parameters"]) for part, s in parts.items()})
