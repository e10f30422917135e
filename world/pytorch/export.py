"""Writes the folder that ships: diffusers' layout, float16 weights, configs as Stable Diffusion 1.x has them.

    python export.py WORK OUT [--config CONFIG --data DATA] [--only configs]

Takes the tokenizer from WORK where there is one, and else from OUT.

Keys are those of transformers 4 (`text_model.…`), which is what every published Stable Diffusion checkpoint holds.
"""
import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from data import load
from models import SIZE, Design

EYE = {
    "crop_size": SIZE, "do_center_crop": True, "do_convert_rgb": True, "do_normalize": True, "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor", "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
    "resample": 3, "size": SIZE,
}


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def diffusers_config(model, name):
    values = {k: v for k, v in model.config.items() if not k.startswith("_") and v is not None}
    return {"_class_name": name, "_diffusers_version": "0.6.0", **values}


def clip_config(config, kind):
    keys = ("vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads max_position_embeddings "
            "image_size patch_size num_channels hidden_act projection_dim bos_token_id eos_token_id pad_token_id "
            "layer_norm_eps attention_dropout initializer_range initializer_factor").split()
    values = {k: getattr(config, k) for k in keys if hasattr(config, k)}
    return {"model_type": kind, **values}


def configs(out, clip, unet, vae, labels):
    text, vision = clip.config.text_config, clip.config.vision_config
    dtype = {"torch_dtype": "float16"}
    write(out / "model_index.json", {
        "_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.6.0",
        "feature_extractor": [None, None], "safety_checker": [None, None], "requires_safety_checker": False,
        "scheduler": ["diffusers", "DDIMScheduler"], "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"], "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    })
    write(out / "scheduler/scheduler_config.json", {
        "_class_name": "DDIMScheduler", "_diffusers_version": "0.6.0", "beta_start": 0.00085, "beta_end": 0.012,
        "beta_schedule": "scaled_linear", "clip_sample": False, "num_train_timesteps": 1000,
        "prediction_type": "v_prediction", "set_alpha_to_one": False, "steps_offset": 1, "trained_betas": None,
    })
    write(out / "unet/config.json", diffusers_config(unet, "UNet2DConditionModel"))
    write(out / "vae/config.json", diffusers_config(vae, "AutoencoderKL"))
    write(out / "text_encoder/config.json", {"architectures": ["CLIPTextModel"], **clip_config(text, "clip_text_model"), **dtype})
    write(out / "clip/config.json", {
        "architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": clip.config.projection_dim, "logit_scale_init_value": 2.6592,
        "initializer_factor": 1.0, "text_config": clip_config(text, "clip_text_model"),
        "vision_config": clip_config(vision, "clip_vision_model"), **dtype,
    })
    write(out / "clip/preprocessor_config.json", EYE)
    write_classifier(out / "classifier", clip, labels)


def write_classifier(folder, clip, labels, **own):
    write(folder / "config.json", {
        "architectures": ["CLIPVisionModel"], **clip_config(clip.config.vision_config, "clip_vision_model"), **own, "torch_dtype": "float16",
        "heads": {k: {"labels": v} for k, v in labels.items()},
    })
    write(folder / "preprocessor_config.json", EYE)


def weights(path, state):
    half = {k: v.detach().to(torch.float16).contiguous() for k, v in state.items() if not k.endswith("position_ids")}
    save_file(half, f"{path}.partial", metadata={"format": "pt"})
    Path(f"{path}.partial").chmod(0o644)
    Path(f"{path}.partial").replace(path)


def under(state, prefix):
    return {k: v for k, v in state.items() if k.startswith(prefix)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("work")
    parser.add_argument("out")
    parser.add_argument("--config")
    parser.add_argument("--data")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    out = Path(args.out)
    design = Design.read(args.config, args.data)
    if (made := Path(args.work) / "tokenizer").exists():
        shutil.copytree(made, out / "tokenizer", dirs_exist_ok=True)
    clip, vae, unet = design.make_clip(out / "tokenizer"), design.make_vae(), design.make_unet()
    configs(out, clip, unet, vae, design.labels)
    if args.only == "configs":
        return
    if state := load(f"{args.work}/clip.pt"):
        weights(out / "clip/model.safetensors", state["clip"])
        weights(out / "text_encoder/model.safetensors", under(state["clip"], "text_model."))
        heads = {f"heads.{k}": v for k, v in state["heads"].items()}
        weights(out / "classifier/model.safetensors", {**under(state["clip"], "vision_model."), **heads})
    if state := load(f"{args.work}/concepts.pt"):
        heads = {name: ["absent", "present"] for name in state["concepts"]}
        write_classifier(out / "concept_classifier", clip, heads, num_hidden_layers=state["layers"])
        weights(out / "concept_classifier/model.safetensors", state["model"])
    if state := load(f"{args.work}/sharp.pt") or load(f"{args.work}/vae.pt"):
        weights(out / "vae/diffusion_pytorch_model.safetensors", state["model"])
    if state := load(f"{args.work}/unet.pt"):
        weights(out / "unet/diffusion_pytorch_model.safetensors", state["ema"])
        if "ema_text" in state:  # It may have gone on learning with the UNet.
            text = {f"text_model.{k.removeprefix('text_model.')}": v for k, v in state["ema_text"].items()}
            weights(out / "text_encoder/model.safetensors", text)


if __name__ == "__main__":
    main()
