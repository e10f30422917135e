"""Lets moongate read LoRA files of every layer, with ranks and alphas that differ, and write them as `lora` and as `kohya`;
diffusers loads what it wrote, and its weights are compared with the definition.

Run from this folder with deno and what adapters.py needs: python adapters_check.py
Ends with "all right", or with an error that says what differs.
"""

import pathlib
import subprocess
import tempfile

import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import load_file, save_file

torch.set_num_threads(1)
HERE = pathlib.Path(__file__).parent
OUT = pathlib.Path(tempfile.mkdtemp())
PARTS = ("unet", "text_encoder", "text_encoder_2")


def pipeline(folder):
    xl = folder == "sdxl"
    kind, more = (StableDiffusionXLPipeline, {}) if xl else (StableDiffusionPipeline, {"safety_checker": None})
    pipe = kind.from_pretrained(HERE / folder, dtype=torch.float64, local_files_only=True, **more)
    return pipe, {p: getattr(pipe, p).to(torch.float64) for p in PARTS if getattr(pipe, p, None) is not None}


def states(models):
    return {f"{p}.{k.replace('.base_layer', '')}": v.clone() for p, m in models.items() for k, v in m.state_dict().items()
            if "lora_" not in k}


def check(folder, dora):
    """Every layer that diffusers loads adapters for."""
    _, models = pipeline(folder)
    base, wanted, tensors = states(models), {}, {}
    for i, part in enumerate(models):
        for j, (name, module) in enumerate(models[part].named_modules()):
            if not isinstance(module, (torch.nn.Linear, torch.nn.Conv2d)) or name == "text_projection" or dora and j % 9:
                continue
            rank, alpha = 1 + j % 3, 0.5 + j % 4
            out, into, *window = module.weight.shape
            down, up = torch.randn(rank, into, *window) * 0.3, torch.randn(out, rank, *[1] * len(window)) * 0.3
            te = "te" if folder != "sdxl" else f"te{i}"
            layer = (name if part == "unet" else f"text_model.{name.removeprefix('text_model.')}").replace(".", "_")
            key = f"lora_{'unet' if part == 'unet' else te}_{layer}"
            tensors |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up, f"{key}.alpha": torch.tensor(alpha)}
            change = alpha / rank * (up.double().flatten(1) @ down.double().flatten(1)).reshape(module.weight.shape)
            path = f"{part}.{name}.weight"
            if dora:
                m = 0.5 + torch.rand(out)
                tensors[f"{key}.dora_scale"] = m.reshape(-1, *[1] * (len(window) + 1))
                v = base[path] + change
                change = v / v.flatten(1).norm(dim=1).reshape(m.shape[0], *[1] * (v.ndim - 1)) * m.double().reshape(
                    -1, *[1] * (v.ndim - 1)) - base[path]
            wanted[path] = change
    if dora:
        tensors = {k: v for k, v in tensors.items() if "_te" not in k}
        wanted = {k: v for k, v in wanted.items() if k.startswith("unet.")}
    save_file(tensors, OUT / "source.safetensors")
    for to, file in (("lora", "pytorch_lora_weights"), ("kohya", "moongate_lora")):
        if dora and to == "kohya":
            continue  # diffusers leaves lengths in kohya's spelling out.
        target = OUT / f"{folder.replace('/', '_')}_{to}_{dora}"
        subprocess.run(["deno", "run", "-A", str(HERE / "../../cli.ts"), "convert", str(OUT / "source.safetensors"), "--to", to,
                        "--out", str(target), "--model", str(HERE / folder), "--quiet"], check=True, stdout=subprocess.DEVNULL)
        written = load_file(target / f"{file}.safetensors")
        assert len({v.item() for k, v in written.items() if k.endswith(".alpha")}) < 2, "alphas differ"
        pipe, models = pipeline(folder)
        pipe.load_lora_weights(str(target), weight_name=f"{file}.safetensors")
        for model in models.values():
            model.to(torch.float64)
            for module in model.modules():
                if hasattr(module, "merge"):
                    module.merge()
        worst = 0
        for path, w in states(models).items():
            change = w - base[path]
            if path not in wanted:
                assert change.abs().max() == 0, path
                continue
            error = ((change - wanted[path]).norm() / wanted[path].norm()).item()
            assert error < 1e-5, f"{folder} {to} {path}: {error}"
            worst = max(worst, error)
        print(f"diffusers with {to} of {folder}{', DoRA' if dora else ''}: {len(wanted)} weights within {worst:.1e}")


torch.manual_seed(1)
for folder in ("verify/sd1", "sdxl"):
    for dora in (False, True):
        check(folder, dora)
print("all right")
