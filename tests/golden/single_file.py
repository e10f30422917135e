"""Writes single_file/: whole small models in one file, as CompVis and Stability publish them, and names of full-size ones.

Run from this folder with torch, diffusers and transformers installed: python single_file.py

The CompVis names are written out by hand below; that they are right, diffusers' own converters say: from them they make
exactly the parameters of diffusers' and transformers' models, of the same shapes and numbers.

- sd1.ckpt, sd2.ckpt, sdxl.ckpt: a dictionary state_dict and global_step, f16, deflated. Parameter number n holds
  ((7 i + n) mod 97 - 48) / 512 at place i.
- names.json: of each file, name and shape of every tensor; and of each component, the parameters' numbers and shapes by
  diffusers name, and the config. full.json: the same of full-size Stable Diffusion 1 and 2, without the parameters
"""

import json
import pathlib
import re
import shutil
import zipfile

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint, convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint, convert_open_clip_checkpoint)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

torch.set_num_threads(1)
OUT = pathlib.Path("single_file")
shutil.rmtree(OUT, ignore_errors=True)
OUT.mkdir()

RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
          "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
ENDS = {"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2", "conv_in": "input_blocks.0.0",
        "conv_norm_out": "out.0", "conv_out": "out.2", "add_embedding.linear_1": "label_emb.0.0",
        "add_embedding.linear_2": "label_emb.0.2"}
OPEN = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "self_attn.out_proj": "attn.out_proj", "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj"}


def ldm_unet(name, layers, attends):
    module, kind = name.rsplit(".", 1)
    if module in ENDS:
        return f"{ENDS[module]}.{kind}"
    m = re.match(r"mid_block\.(resnets|attentions)\.(\d)\.(.+)", module)
    if m:
        return f"middle_block.1.{m[3]}.{kind}" if m[1] == "attentions" else f"middle_block.{2 * int(m[2])}.{RESNET[m[3]]}.{kind}"
    m = re.match(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.+)", module)
    block = int(m[2]) * (layers + 1)
    down = m[1] == "down"
    side = "input_blocks" if down else "output_blocks"
    if m[3] == "downsamplers":
        return f"{side}.{block + layers + 1}.0.op.{kind}"
    if m[3] == "upsamplers":
        return f"{side}.{block + layers}.{2 if attends[int(m[2])] else 1}.conv.{kind}"
    at = block + int(m[4]) + down
    return f"{side}.{at}.1.{m[5]}.{kind}" if m[3] == "attentions" else f"{side}.{at}.0.{RESNET[m[5]]}.{kind}"


def ldm_vae(name, levels):
    name = name.replace("conv_norm_out", "norm_out")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    name = name.replace("mid_block.attentions.0", "mid.attn_1")
    for new, old in (("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")):
        name = name.replace(f"attn_1.{new}.", f"attn_1.{old}.")
    name = re.sub(r"up_blocks\.(\d)", lambda m: f"up.{levels - 1 - int(m[1])}", name)
    name = re.sub(r"down_blocks\.(\d)", r"down.\1", name)
    name = re.sub(r"resnets\.(\d)", r"block.\1", name).replace("conv_shortcut", "nin_shortcut")
    return re.sub(r"(down|up)samplers\.0\.conv", r"\1sample.conv", name)


def open_clip(state, layers, extra):
    """A text encoder with fused matrices; with a last layer more, which diffusers leaves out of Stable Diffusion 2."""
    held = {"positional_embedding": state["text_model.embeddings.position_embedding.weight"],
            "token_embedding.weight": state["text_model.embeddings.token_embedding.weight"]}
    for kind in ("weight", "bias"):
        held[f"ln_final.{kind}"] = state[f"text_model.final_layer_norm.{kind}"]
        for i in range(layers + extra):
            ours = f"text_model.encoder.layers.{min(i, layers - 1)}"
            theirs = f"transformer.resblocks.{i}"
            held[f"{theirs}.attn.in_proj_{kind}"] = torch.cat([state[f"{ours}.self_attn.{n}_proj.{kind}"] for n in "qkv"])
            for new, old in OPEN.items():
                held[f"{theirs}.{old}.{kind}"] = state[f"{ours}.{new}.{kind}"]
    width, device = held["positional_embedding"].shape[1], held["positional_embedding"].device
    projection = torch.zeros(width, width, device=device, dtype=torch.float16)
    if "text_projection.weight" in state:
        projection = state["text_projection.weight"].T.contiguous()
    return held | {"text_projection": projection, "logit_scale": torch.tensor(1.0, device=device)}


def models(size, family):
    xl, second = family == "sdxl", family != "sd1"
    if size == "small":
        unet = dict(block_out_channels=(64, 64) if second else (32, 64), layers_per_block=1, cross_attention_dim=128 if xl else 64,
                    down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))
        vae = dict(block_out_channels=(32, 64), layers_per_block=1)
        text = dict(vocab_size=96, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=1,
                    max_position_embeddings=12)
    else:
        unet = dict(cross_attention_dim=1024 if second else 768)
        vae = dict(block_out_channels=(128, 256, 512, 512), layers_per_block=2)
        width, layers = (1024, 23) if second else (768, 12)
        text = dict(hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, num_attention_heads=width // 64)
    if xl:
        unet |= dict(down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
                     transformer_layers_per_block=(1, 2), addition_embed_type="text_time", addition_time_embed_dim=256,
                     projection_class_embeddings_input_dim=64 + 6 * 256)
        vae |= dict(scaling_factor=0.13025, force_upcast=True)
    channels = unet.get("block_out_channels", (320, 640, 1280, 1280))
    sample = {"sd1": 64, "sd2": 96, "sdxl": 128}[family]
    unet |= dict(attention_head_dim=[c // 64 for c in channels] if second else 8, use_linear_projection=second, sample_size=sample)
    levels = len(vae["block_out_channels"])
    vae |= dict(down_block_types=["DownEncoderBlock2D"] * levels, up_block_types=["UpDecoderBlock2D"] * levels,
                sample_size=sample * 2 ** (levels - 1), latent_channels=4)
    text |= dict(hidden_act="gelu" if family == "sd2" else "quick_gelu", projection_dim=text["hidden_size"],
                 eos_token_id=text.get("vocab_size", 49408) - 1, bos_token_id=text.get("vocab_size", 49408) - 2)
    configs = {"unet": unet, "vae": vae, "text_encoder": text}
    with torch.device("cpu" if size == "small" else "meta"):
        made = {"unet": UNet2DConditionModel(**unet), "vae": AutoencoderKL(**vae), "text_encoder": CLIPTextModel(CLIPTextConfig(**text))}
        if xl:
            configs["text_encoder_2"] = text | dict(hidden_act="gelu")
            made["text_encoder_2"] = CLIPTextModelWithProjection(CLIPTextConfig(**configs["text_encoder_2"]))
    return made, configs


def full_name(name):
    """As transformers 4 has it."""
    return name if name.startswith("text_projection.") else f"text_model.{name.removeprefix('text_model.')}"


golden = {}
for family, size in (("sd1", "small"), ("sd1", "full"), ("sd2", "small"), ("sd2", "full"), ("sdxl", "small")):
    made, configs = models(size, family)
    unet, vae, text = made["unet"], made["vae"], made["text_encoder"]
    states = {c: {full_name(k) if c.startswith("text") else k: v for k, v in m.state_dict().items()} for c, m in made.items()}
    numbers = {}
    for component, state in states.items():
        for n, name in enumerate(state):
            numbers.setdefault(component, {})[name] = [n, list(state[name].shape)]
            i = torch.arange(state[name].numel(), device=state[name].device)
            state[name] = (((7 * i + n) % 97 - 48) / 512).half().reshape(state[name].shape)
    attends = [t.startswith("CrossAttn") for t in unet.config.up_block_types]
    held = {f"model.diffusion_model.{ldm_unet(k, unet.config.layers_per_block, attends)}": v for k, v in states["unet"].items()}
    for k, v in states["vae"].items():
        square = ".attentions." in k and v.ndim == 2
        held[f"first_stage_model.{ldm_vae(k, len(vae.config.block_out_channels))}"] = v[:, :, None, None] if square else v
    layers, length = text.config.num_hidden_layers, text.config.max_position_embeddings
    opened = {"sd2": ("text_encoder", "cond_stage_model.model."), "sdxl": ("text_encoder_2", "conditioner.embedders.1.model.")}
    clip = {"sd1": "cond_stage_model.transformer.", "sdxl": "conditioner.embedders.0.transformer."}
    if family in opened:
        component, prefix = opened[family]
        held |= {prefix + k: v for k, v in open_clip(states[component], layers, family == "sd2").items()}
    if family in clip:
        held |= {clip[family] + k: v for k, v in states["text_encoder"].items()}
        held[f"{clip[family]}text_model.embeddings.position_ids"] = torch.arange(length)[None]
    # What else training leaves there.
    held |= {"alphas_cumprod": torch.linspace(1, 0, 1000), "model_ema.decay": torch.tensor(0.9999),
             "model_ema.diffusion_modelinput_blocks00weight": torch.zeros(1)}

    # diffusers makes of it what it was.
    again = {"unet": convert_ldm_unet_checkpoint(dict(held), unet.config), "vae": convert_ldm_vae_checkpoint(dict(held), vae.config)}
    if family in clip:
        again["text_encoder"] = convert_ldm_clip_checkpoint(dict(held), remove_prefix=clip[family])
    if family in opened:
        component, prefix = opened[family]
        again[component] = convert_open_clip_checkpoint(made[component], dict(held), prefix=prefix)
    for component, state in states.items():
        ours = {k: v for k, v in again[component].items() if not k.endswith("position_ids")}
        if family == "sd2":
            ours.pop("text_projection.weight", None)
        # diffusers leaves out the layer of number 23 only, which in a small model is another.
        ours = {k: v for k, v in ours.items() if f".layers.{text.config.num_hidden_layers}." not in k}
        ours = {full_name(k) if component.startswith("text") else k: v for k, v in ours.items()}
        assert ours.keys() == state.keys(), (component, ours.keys() ^ state.keys())
        for k, v in state.items():
            assert ours[k].numel() == v.numel(), (component, k, ours[k].shape, v.shape)
            assert size == "full" or torch.equal(ours[k].reshape(v.shape), v), (component, k)
    name = family + ("" if size == "small" else " full")
    golden[name] = {"tensors": {k: list(v.shape) for k, v in held.items()}, "components": numbers, "configs": configs}
    print("diffusers agrees:", name, len(held))
    if size == "full":
        # Shapes by diffusers name follow from the configs, which the tests compare.
        del golden[name]["components"]
        continue
    torch.save({"state_dict": held, "global_step": 840000}, OUT / "plain.ckpt")
    with zipfile.ZipFile(OUT / "plain.ckpt") as old, zipfile.ZipFile(OUT / f"{name}.ckpt", "w", zipfile.ZIP_DEFLATED) as new:
        for item in old.infolist():
            info = zipfile.ZipInfo(item.filename, (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            new.writestr(info, old.read(item))
    (OUT / "plain.ckpt").unlink()
for file, chosen in (("names", False), ("full", True)):
    part = {name.removesuffix(" full"): of for name, of in golden.items() if name.endswith(" full") == chosen}
    (OUT / f"{file}.json").write_text(json.dumps(part, separators=(",", ":")))
