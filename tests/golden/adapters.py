"""Writes adapters/: adapter files of many kinds for the models verify/sd1 and sdxl, each as its own tool writes or spells
it, and expected.safetensors, what each makes of the weights: `<file>|<path>`, W - W0 in f32 of what was computed in f64.

Run from this folder with torch, diffusers, transformers, peft (as new as that transformers asks for) and safetensors
installed: python adapters.py

What diffusers reads right is what diffusers (or PEFT) itself makes of the file. The rest follows the definitions, written
out here: alpha / rank * up @ down, Hadamard and Kronecker products, Tucker cores, and DoRA's lengths.
"""

import json
import pathlib
import shutil

import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoHaConfig, LoKrConfig, LoraConfig, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

torch.set_num_threads(1)
OUT = pathlib.Path("adapters")
shutil.rmtree(OUT, ignore_errors=True)
OUT.mkdir()
SD1, SDXL = "verify/sd1", "sdxl"
expected = {}

TO_K = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k"
TO_V = "up_blocks.1.attentions.1.transformer_blocks.0.attn2.to_v"
TO_OUT = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0"
FF = "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.0.proj"
PROJ = "down_blocks.0.attentions.0.proj_in"
CONV = "down_blocks.0.resnets.0.conv1"
SHORT = "up_blocks.0.resnets.0.conv_shortcut"
DOWN = "down_blocks.0.downsamplers.0.conv"
UP = "up_blocks.0.upsamplers.0.conv"
TIME = "mid_block.resnets.0.time_emb_proj"
LINEAR = [TO_K, TO_V, TO_OUT, FF, TIME]
CONVS = [PROJ, CONV, SHORT, DOWN, UP]
TEXT = ["encoder.layers.0.self_attn.q_proj", "encoder.layers.0.self_attn.out_proj", "encoder.layers.1.mlp.fc1"]

# The same in CompVis checkpoints with one layer in each block, by hand.
COMPVIS = {
    TO_K: "middle_block.1.transformer_blocks.0.attn2.to_k",
    TO_V: "output_blocks.3.1.transformer_blocks.0.attn2.to_v",
    TO_OUT: "input_blocks.1.1.transformer_blocks.0.attn1.to_out.0",
    FF: "input_blocks.1.1.transformer_blocks.0.ff.net.0.proj",
    PROJ: "input_blocks.1.1.proj_in",
    CONV: "input_blocks.1.0.in_layers.2",
    SHORT: "output_blocks.0.0.skip_connection",
    DOWN: "input_blocks.2.0.op",
    UP: "output_blocks.1.1.conv",
    TIME: "middle_block.0.emb_layers.1",
}


def pipeline(folder):
    kind = StableDiffusionXLPipeline if folder == SDXL else StableDiffusionPipeline
    more = {} if folder == SDXL else {"safety_checker": None}
    pipe = kind.from_pretrained(folder, dtype=torch.float64, local_files_only=True, **more)
    for part in ("unet", "text_encoder", "text_encoder_2"):
        if getattr(pipe, part, None) is not None:
            getattr(pipe, part).to(torch.float64)
    return pipe


def canonical(component, name):
    """A parameter's path in a delta."""
    name = name.replace(".base_layer", "")
    plain = name.removeprefix("text_model.")
    return f"{component}.{name if component == 'unet' or plain.startswith('text_projection') else 'text_model.' + plain}"


def states(pipe):
    parts = [p for p in ("unet", "text_encoder", "text_encoder_2") if getattr(pipe, p, None) is not None]
    return {canonical(p, k): v.clone() for p in parts for k, v in getattr(pipe, p).state_dict().items() if "lora_" not in k}


BASE = {SD1: states(pipeline(SD1)), SDXL: states(pipeline(SDXL))}


def expect(file, changes):
    for path, change in changes.items():
        if change.abs().max() > 0:
            expected[f"{file}|{path}"] = change.float().contiguous()
    assert any(k.startswith(f"{file}|") for k in expected), file


def by_diffusers(file, folder=SD1, load=None, **more):
    """What diffusers makes of a file: its weights with the adapter fused into them."""
    pipe = pipeline(folder)
    if load:
        load(pipe)
    else:
        pipe.load_lora_weights(str(OUT / file), **more)
    for part in ("unet", "text_encoder", "text_encoder_2"):
        model = getattr(pipe, part, None)
        if model is not None:
            model.to(torch.float64)
            for module in model.modules():
                if hasattr(module, "merge"):
                    module.merge()
    expect(file, {path: w - BASE[folder][path] for path, w in states(pipe).items()})


def shape(name, folder=SD1):
    path = name if name.startswith(("unet.", "text_encoder")) else f"unet.{name}"
    return BASE[folder][f"{path}.weight"].shape


def factors(name, rank, folder=SD1):
    """Random `down` and `up` for a layer."""
    out, into, *window = shape(name, folder)
    ones = [1] * len(window)
    return torch.randn(rank, into, *window) * 0.3, torch.randn(out, rank, *ones) * 0.3


def product(down, up):
    return (up.double().flatten(1) @ down.double().flatten(1)).reshape(up.shape[0], *down.shape[1:])


def lengths(path, change, m, axis=0, folder=SD1):
    """DoRA: W - W0, where each output (axis 0) or input (1) has the length m."""
    w0 = BASE[folder][f"{path}.weight"]
    v = w0 + change.reshape(w0.shape)
    others = [i for i in range(v.ndim) if i != axis]
    place = [1] * v.ndim
    place[axis] = -1
    return v / v.pow(2).sum(others, keepdim=True).sqrt() * m.double().reshape(place) - w0


def save(file, tensors, metadata=None):
    save_file({k: v.contiguous().clone() for k, v in tensors.items()}, OUT / file, metadata)


def config(rank=2, **more):
    return LoraConfig(r=rank, init_lora_weights=False, **more)


# 1 to 4: diffusers with PEFT: alphas in the header, patterns of ranks and alphas, the root of the rank, DoRA, biases.
torch.manual_seed(1)


def diffusers_now(file, unet_config, text_config=None, randomise=()):
    pipe = pipeline(SD1)
    pipe.unet.to(torch.float32).add_adapter(unet_config)
    layers = {"unet_lora_layers": get_peft_model_state_dict(pipe.unet), "unet_lora_adapter_metadata": unet_config.to_dict()}
    if text_config:
        pipe.text_encoder.to(torch.float32).add_adapter(text_config)
        layers["text_encoder_lora_layers"] = convert_state_dict_to_diffusers(
            get_peft_model_state_dict(pipe.text_encoder))
        layers["text_encoder_lora_adapter_metadata"] = text_config.to_dict()
    for key, value in layers["unet_lora_layers"].items():
        if any(part in key for part in randomise):
            value.data.mul_(1 + 0.3 * torch.rand_like(value)).add_(0.05 * torch.randn_like(value))
    StableDiffusionPipeline.save_lora_weights(OUT, weight_name=file, **layers)
    by_diffusers(file)


diffusers_now(
    "diffusers_patterns.safetensors",
    config(lora_alpha=8, target_modules=LINEAR + CONVS, rank_pattern={"attn2.to_k": 3, "conv1": 1},
           alpha_pattern={"attn2.to_k": 5, TO_V: 1}),
    config(lora_alpha=3, target_modules=TEXT))
diffusers_now("diffusers_rslora.safetensors", config(rank=4, lora_alpha=4, use_rslora=True, target_modules=[TO_K, TO_OUT]))
diffusers_now("diffusers_dora.safetensors", config(lora_alpha=4, use_dora=True, target_modules=[TO_K, FF, PROJ, CONV]),
              randomise=["magnitude"])
diffusers_now("diffusers_bias.safetensors", config(lora_alpha=1, lora_bias=True, target_modules=[TO_OUT, FF, CONV]))

# 5 to 8: diffusers before PEFT.
torch.manual_seed(2)
ATTENTION = [TO_K, TO_V, TO_OUT]
pieces = {name: factors(name, 2) for name in ATTENTION}
text = {name: factors(f"text_encoder.text_model.{name}", 2) for name in TEXT}


def processor(name):
    place, to = name.rsplit(".to_", 1)
    return f"{place}.processor.to_{to.removesuffix('.0')}_lora"


old = {f"unet.{processor(n)}.{k}.weight": t for n, pair in pieces.items() for k, t in zip(("down", "up"), pair)}
old |= {f"text_encoder.text_model.{n.replace('q_proj', 'to_q').replace('out_proj', 'to_out')}_lora.{k}.weight": t
        for n, pair in text.items() if "attn" in n for k, t in zip(("down", "up"), pair)}
save("diffusers_old.safetensors", old, {"format": "pt"})
by_diffusers("diffusers_old.safetensors")
save("attn_procs.safetensors", {k.removeprefix("unet."): v for k, v in old.items() if k.startswith("unet.")}, {"format": "pt"})
by_diffusers("attn_procs.safetensors",
             load=lambda pipe: pipe.unet.load_lora_adapter(load_file(OUT / "attn_procs.safetensors"), prefix=None))
middle = {f"unet.{n}.lora.{k}.weight": t for n, pair in pieces.items() for k, t in zip(("down", "up"), pair)}
middle |= {f"text_encoder.text_model.{n}.lora_linear_layer.{k}.weight": t
           for n, pair in text.items() for k, t in zip(("down", "up"), pair)}
save("diffusers_024.safetensors", middle, {"format": "pt"})
by_diffusers("diffusers_024.safetensors")
torch.save(middle, OUT / "diffusers_024.bin")
by_diffusers("diffusers_024.bin", use_safetensors=False)

# 9 to 12: PEFT alone, settings in a file beside; names of the model that it wrapped, without `unet.`.
torch.manual_seed(3)


def peft(folder, model, component, settings):
    wrapped = get_peft_model(model.to(torch.float32), settings)
    for name, p in wrapped.named_parameters():
        if p.requires_grad and name.endswith(".bias"):
            p.data.add_(torch.randn_like(p) * 0.1)
    wrapped.save_pretrained(OUT / folder)
    (OUT / folder / "README.md").unlink(missing_ok=True)
    merged = wrapped.to(torch.float64).merge_and_unload().state_dict()
    expect(folder, {canonical(component, k): w - BASE[SD1][canonical(component, k)] for k, w in merged.items()})


peft("peft_unet", pipeline(SD1).unet, "unet",
     config(lora_alpha=6, target_modules=[TO_K, TO_OUT, CONV], rank_pattern={"conv1": 3}, alpha_pattern={"to_k": 1}))
peft("peft_text", pipeline(SD1).text_encoder, "text_encoder", config(lora_alpha=1, target_modules=TEXT))
peft("peft_loha", pipeline(SD1).unet, "unet",
     LoHaConfig(r=2, alpha=3, target_modules=[TO_K, CONV, FF], init_weights=False, use_effective_conv2d=True,
                alpha_pattern={"to_k": 1}))
peft("peft_lokr", pipeline(SD1).unet, "unet",
     LoKrConfig(r=1, alpha=3, target_modules=[TO_K, CONV, FF, PROJ], init_weights=False, decompose_both=True,
                rank_pattern={"proj_in": 8}))

# 13 to 16: kohya. Alphas that are the same everywhere are read right by diffusers.
torch.manual_seed(4)


def flat(name):
    return name.replace(".", "_")


def kohya(layers, alpha, names=flat, prefix="lora_unet_"):
    made = {}
    for name, (down, up) in layers.items():
        key = prefix + names(name)
        made |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up}
        if alpha is not None:
            a = alpha[name] if isinstance(alpha, dict) else alpha
            made[f"{key}.alpha"] = torch.tensor(float(a))
    return made


unet = {name: factors(name, 2) for name in LINEAR + CONVS}
text = {name: factors(f"text_encoder.text_model.{name}", 2) for name in TEXT}
te = kohya(text, 1, lambda n: flat(f"text_model.{n}"), "lora_te_")
save("kohya.safetensors", kohya(unet, 1) | te, {"ss_network_module": "networks.lora", "ss_network_alpha": "7"})
by_diffusers("kohya.safetensors")

# Alphas and ranks that differ: the definition.
mixed = {name: factors(name, 1 + i % 3) for i, name in enumerate(LINEAR + CONVS)}
alphas = {name: 0.5 + i for i, name in enumerate(mixed)}
save("kohya_alphas.safetensors", kohya(mixed, alphas))
expect("kohya_alphas.safetensors",
       {f"unet.{n}.weight": alphas[n] / p[0].shape[0] * product(*p) for n, p in mixed.items()})

# Alpha in kohya's header alone, another for windows larger than 1x1.
save("kohya_header.safetensors", kohya({n: unet[n] for n in (TO_K, PROJ, CONV)}, None),
     {"ss_network_alpha": "3.0", "ss_network_dim": "2", "ss_network_args": json.dumps({"conv_dim": "2", "conv_alpha": "1"})})
expect("kohya_header.safetensors",
       {f"unet.{n}.weight": a / 2 * product(*unet[n]) for n, a in ((TO_K, 3), (PROJ, 3), (CONV, 1))})

# 17: kohya for SDXL: CompVis names, two text encoders.
torch.manual_seed(5)
XL = {
    "down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_k": "input_blocks.3.1.transformer_blocks.1.attn2.to_k",
    "mid_block.attentions.0.proj_in": "middle_block.1.proj_in",
    "up_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0": "output_blocks.0.1.transformer_blocks.0.attn1.to_out.0",
    "up_blocks.0.attentions.1.transformer_blocks.0.ff.net.2": "output_blocks.1.1.transformer_blocks.0.ff.net.2",
    "down_blocks.0.resnets.0.conv1": "input_blocks.1.0.in_layers.2",
    "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op",
    "up_blocks.0.upsamplers.0.conv": "output_blocks.1.2.conv",
}
xl = {name: factors(name, 2, SDXL) for name in XL}
two = {p: {n: factors(f"{p}.text_model.{n}", 2, SDXL) for n in TEXT} for p in ("text_encoder", "text_encoder_2")}
sdxl = kohya(xl, 1, lambda n: flat(XL[n]))
for i, part in enumerate(two):
    sdxl |= kohya(two[part], 1, lambda n: flat(f"text_model.{n}"), f"lora_te{i + 1}_")
save("kohya_sdxl.safetensors", sdxl)
by_diffusers("kohya_sdxl.safetensors", SDXL)

# 18: DoRA of kohya's and LyCORIS's: lengths of outputs, or (older) of inputs.
torch.manual_seed(6)
dora, wanted = {}, {}
for name, axis in ((TO_K, 0), (FF, 1), (CONV, 0), (DOWN, 1)):
    down, up = factors(name, 2)
    n = shape(name)[axis]
    m = 0.5 + torch.rand(n)
    place = [1] * len(shape(name))
    place[axis] = n
    dora |= kohya({name: (down, up)}, 1) | {f"lora_unet_{flat(name)}.dora_scale": m.reshape(place)}
    wanted[f"unet.{name}.weight"] = lengths(f"unet.{name}", product(down, up) / 2, m, axis)
save("kohya_dora.safetensors", dora, {"ss_network_module": "lycoris.kohya"})
expect("kohya_dora.safetensors", wanted)

# 19 to 21: LyCORIS: LoCon with a core, LoHa, LoKr, each for layers, convolutions and convolutions with a core.
torch.manual_seed(7)
key = f"lora_unet_{flat(CONV)}"
out, into, *window = shape(CONV)
down, up, mid = torch.randn(2, into, 1, 1), torch.randn(out, 3, 1, 1), torch.randn(3, 2, *window)
save("locon_core.safetensors", {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up, f"{key}.lora_mid.weight": mid,
                                f"{key}.alpha": torch.tensor(1.0)})
core = torch.einsum("mnhw,om,ni->oihw", mid.double(), up[..., 0, 0].double(), down[..., 0, 0].double())
expect("locon_core.safetensors", {f"unet.{CONV}.weight": core / 2})

loha, wanted = {}, {}
for name, cored in ((TO_K, False), (FF, False), (CONV, False), (DOWN, True)):
    key, (out, into, *window) = f"lora_unet_{flat(name)}", shape(name)
    taps = 9 if window else 1
    parts = {"hada_w1_a": (out, 2), "hada_w1_b": (2, into * taps), "hada_w2_a": (out, 2), "hada_w2_b": (2, into * taps)}
    if cored:
        parts = {"hada_w1_a": (2, out), "hada_w1_b": (2, into), "hada_w2_a": (2, out), "hada_w2_b": (2, into),
                 "hada_t1": (2, 2, *window), "hada_t2": (2, 2, *window)}
    t = {k: torch.randn(s) for k, s in parts.items()}
    loha |= {f"{key}.{k}": v for k, v in t.items()} | {f"{key}.alpha": torch.tensor(1.0)}
    t = {k: v.double() for k, v in t.items()}
    halves = [torch.einsum("ijhw,jr,ip->prhw", t[f"hada_t{i}"], t[f"hada_w{i}_b"], t[f"hada_w{i}_a"]) if cored
              else t[f"hada_w{i}_a"] @ t[f"hada_w{i}_b"] for i in (1, 2)]
    wanted[f"unet.{name}.weight"] = (halves[0] * halves[1] / 2).reshape(out, into, *window)
save("loha.safetensors", loha)
expect("loha.safetensors", wanted)

lokr, wanted = {}, {}
TABLE = {  # Shapes of w1 and w2, either whole or as two factors, and whether w2 has a core.
    TO_K: ([(2, 4)], [(4, 1), (1, 2)], False),
    FF: ([(2, 2)], [(16, 2)], False),
    TO_OUT: ([(2, 1), (1, 2)], [(2, 1), (1, 2)], False),
    CONV: ([(2, 2)], [(2, 2, 3, 3)], False),
    UP: ([(2, 2)], [(4, 2), (2, 4 * 9)], False),
    DOWN: ([(2, 2)], [(3, 2), (3, 2)], True),
}
for name, (one, other, cored) in TABLE.items():
    key, full = f"lora_unet_{flat(name)}", shape(name)
    t = {}
    for i, pieces_ in ((1, one), (2, other)):
        names = [f"lokr_w{i}"] if len(pieces_) == 1 else [f"lokr_w{i}_a", f"lokr_w{i}_b"]
        t |= {k: torch.randn(s) for k, s in zip(names, pieces_)}
    if cored:
        t["lokr_t2"] = torch.randn(3, 3, 3, 3)
    lokr |= {f"{key}.{k}": v for k, v in t.items()} | {f"{key}.alpha": torch.tensor(1.5)}
    t = {k: v.double() for k, v in t.items()}
    w1 = t["lokr_w1"] if "lokr_w1" in t else t["lokr_w1_a"] @ t["lokr_w1_b"]
    if cored:
        w2 = torch.einsum("ijhw,jr,ip->prhw", t["lokr_t2"], t["lokr_w2_b"], t["lokr_w2_a"])
    else:
        w2 = t["lokr_w2"] if "lokr_w2" in t else t["lokr_w2_a"] @ t["lokr_w2_b"]
    rank = next((t[k].shape[0] for k in ("lokr_w2_b", "lokr_w1_b") if k in t), None)
    whole = torch.kron(w1.reshape(*w1.shape, *[1] * (w2.ndim - 2)), w2.contiguous()) * (1.5 / rank if rank else 1)
    wanted[f"unet.{name}.weight"] = whole.reshape(full)
save("lokr.safetensors", lokr)
expect("lokr.safetensors", wanted)

# 22: differences of whole weights, biases and norms, and weights that replace; kohya's names.
torch.manual_seed(8)
NORM = "down_blocks.0.resnets.0.norm1"
full, wanted = {}, {}
for name, part, kind in ((TO_K, "diff", "weight"), (CONV, "diff", "weight"), (CONV, "diff_b", "bias"), (NORM, "w_norm", "weight"),
                         (NORM, "b_norm", "bias"), (FF, "set_weight", "weight")):
    w0 = BASE[SD1][f"unet.{name}.{kind}"]
    change = torch.randn(w0.shape)
    full[f"lora_unet_{flat(name)}.{part}"] = change
    wanted[f"unet.{name}.{kind}"] = change.double() - (w0 if part == "set_weight" else 0)
save("full.safetensors", full)
expect("full.safetensors", wanted)

# 23, 24: ComfyUI: CompVis names with dots, text encoders by their own names; for one encoder and for two.
torch.manual_seed(9)


def dotted(layers, prefix, alpha):
    return {f"{prefix}{n}.{k}": t for n, pair in layers.items()
            for k, t in zip(("lora_down.weight", "lora_up.weight", "alpha"), (*pair, torch.tensor(float(alpha))))}


bias = torch.randn(BASE[SD1][f"unet.{TO_OUT}.bias"].shape)
comfy = dotted({COMPVIS[n]: p for n, p in unet.items()}, "diffusion_model.", 4)
comfy |= dotted({f"text_model.{n}": p for n, p in text.items()}, "text_encoders.clip_l.transformer.", 1)
save("comfy.safetensors", comfy | {f"diffusion_model.{COMPVIS[TO_OUT]}.diff_b": bias})
expect("comfy.safetensors",
       {f"unet.{n}.weight": 2 * product(*p) for n, p in unet.items()} |
       {f"text_encoder.text_model.{n}.weight": product(*p) / 2 for n, p in text.items()} | {f"unet.{TO_OUT}.bias": bias.double()})
comfy = dotted({XL[n]: p for n, p in xl.items()}, "diffusion_model.", 2)
for name, part in (("clip_l", "text_encoder"), ("clip_g", "text_encoder_2")):
    comfy |= dotted({f"text_model.{n}": p for n, p in two[part].items()}, f"text_encoders.{name}.transformer.", 2)
projection = factors("text_encoder_2.text_projection", 2, SDXL)
comfy |= dotted({"text_projection": projection}, "text_encoders.clip_g.transformer.", 2)
save("comfy_sdxl.safetensors", comfy)
expect("comfy_sdxl.safetensors",
       {f"unet.{n}.weight": product(*p) for n, p in xl.items()} |
       {f"{part}.text_model.{n}.weight": product(*p) for part in two for n, p in two[part].items()} |
       {"text_encoder_2.text_projection.weight": product(*projection)})

# 25: LyCORIS's own names, in bf16.
save("lycoris.safetensors", {k: v.bfloat16() for k, v in kohya(unet, 1, prefix="lycoris_").items()})
expect("lycoris.safetensors", {f"unet.{n}.weight": product(*(t.bfloat16() for t in p)) / 2 for n, p in unet.items()})

# 26: kohya's suffixes under diffusers' names.
save("mixed.safetensors", dotted({n: unet[n] for n in (TO_K, CONV)}, "unet.", 3))
expect("mixed.safetensors", {f"unet.{n}.weight": 1.5 * product(*unet[n]) for n in (TO_K, CONV)})

# 27: dots and counted encoders, a word in the file, and a projection that Stable Diffusion does not compute.
trainer = dotted({n: unet[n] for n in (TO_K, PROJ)}, "lora_unet.", 2)
trainer |= dotted({f"text_model.{n}": p for n, p in text.items()}, "lora_te1.", 2)
trainer |= dotted({"text_projection": (torch.randn(2, 8), torch.randn(8, 2))}, "lora_te1.", 2)
save("trainer.safetensors", trainer | {"bundle_emb.a.cat.string_to_param.*": torch.arange(8.0).reshape(1, 8)})
expect("trainer.safetensors", {f"unet.{n}.weight": product(*unet[n]) for n in (TO_K, PROJ)} |
       {f"text_encoder.text_model.{n}.weight": product(*p) for n, p in text.items()})

# 28: the same adapter by two names.
twice = kohya({TO_K: unet[TO_K]}, 2)
save("twice.safetensors", twice | kohya({TO_K: unet[TO_K]}, 2, lambda n: flat(COMPVIS[n])))
expect("twice.safetensors", {f"unet.{TO_K}.weight": product(*unet[TO_K])})

# 29: whole weights that trained beside an adapter, as PEFT saves them.
peft("peft_whole", pipeline(SD1).unet, "unet", config(lora_alpha=1, target_modules=[TO_K, TO_OUT], bias="lora_only"))
whole = load_file(OUT / "peft_whole" / "adapter_model.safetensors")
extra = torch.randn(4, 4, 3, 3)
save_file(whole | {"base_model.model.conv_in.weight": extra}, OUT / "peft_whole" / "adapter_model.safetensors")
expect("peft_whole", {"unet.conv_in.weight": extra.double() - BASE[SD1]["unet.conv_in.weight"]})

save_file(expected, OUT / "expected.safetensors")
print("written:", *sorted({k.split("|")[0] for k in expected}), sep="\n  ")
