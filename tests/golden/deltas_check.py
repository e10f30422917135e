"""Lets moongate write the delta of deltas.py in every format, and the ecosystem read it: PyTorch, safetensors, diffusers.

Run from this folder with deno, torch, diffusers, peft and safetensors installed: python deltas_check.py
Ends with "all right", or with an error that says what differs. Writes deltas/outputs.safetensors: what the UNet answers
without the delta, with its weights put in place, and with moongate's LoRA files loaded by diffusers, whole and at half
strength; the tests compare moongate's own answers with those.
"""

import json
import pathlib
import subprocess
import tempfile
import types

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file

torch.set_num_threads(1)
HERE = pathlib.Path(__file__).parent
GOLDEN = HERE / "deltas"
OUT = pathlib.Path(tempfile.mkdtemp())

expected = load_file(GOLDEN / "expected.safetensors")
tokens = {k: expected[k] for k in ("<new1>", "<new2>")}
trained = {k: v for k, v in expected.items() if k.endswith(".weight")}


def convert(source, to, out, *more):
    command = ["deno", "run", "-A", str(HERE / "../../cli.ts"), "convert", str(GOLDEN / source), "--to", to,
               "--out", str(OUT / out), "--model", str(GOLDEN / "model"), "--quiet", *more]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return OUT / out


def model():
    return UNet2DConditionModel.from_pretrained(GOLDEN / "model" / "unet", torch_dtype=torch.float32).eval()


def equal(what, ours, theirs):
    assert ours.keys() == theirs.keys(), f"{what}: {ours.keys() ^ theirs.keys()}"
    for key, value in theirs.items():
        if isinstance(value, dict):
            equal(f"{what} {key}", ours[key], value)
        elif isinstance(value, list):
            equal(f"{what} {key}", dict(enumerate(ours[key])), dict(enumerate(value)))
        else:
            assert ours[key].dtype == value.dtype, f"{what}: {key} is {ours[key].dtype}"
            assert torch.equal(ours[key], value), f"{what}: {key} differs"
    print("equal:", what)


def both(what, ours, theirs):
    """A file of ours, as PyTorch reads it, beside one that the tool itself wrote."""
    mine, other = torch.load(ours, weights_only=True), torch.load(GOLDEN / theirs, weights_only=True)
    if what.startswith("compvis"):  # Ours says beside what the rows are called.
        equal(f"{what}, words", mine.pop("modifier_token"), dict(zip(tokens, mine["state_dict"]["embed"])))
    equal(what, mine, other)


# safetensors reads.
folder = convert("plain.safetensors", "diffusers-custom", "custom")
equal("diffusers custom", load_file(folder / "pytorch_custom_diffusion_weights.safetensors"),
      load_file(GOLDEN / "custom.safetensors"))
equal("diffusers token", load_file(folder / "<new1>.safetensors"), {"<new1>": tokens["<new1>"]})
equal("plain", load_file(convert("custom.safetensors", "diffusers", "plain.safetensors")), trained)
ours, theirs = convert("plain.safetensors", "a1111", "x.delta.safetensors"), GOLDEN / "a1111.safetensors"
equal("a1111", load_file(ours), load_file(theirs))
headers = [json.loads(safe_open(f, "pt").metadata()["json"]) for f in (ours, theirs)]
assert headers[0] == headers[1], headers

# What the UNet answers without the delta, and with its weights put in place.
torch.manual_seed(3)
x, t, context = torch.randn(2, 4, 8, 8), torch.tensor([7.0, 900.0]), torch.randn(2, 5, 12)


def answer(unet):
    with torch.no_grad():
        return unet(x, t, context).sample


def relative(a, b):
    return ((a - b).norm() / b.norm()).item()


base = answer(model())
tuned = model()
tuned.load_state_dict(load_file(OUT / "plain.safetensors"), strict=False)
whole = answer(tuned)
# diffusers loads the LoRA, in both spellings.
outputs = {"x": x, "t": t, "context": context, "base": base, "trained": whole}
for to, file in (("lora", "pytorch_lora_weights.safetensors"), ("kohya", "moongate_lora.safetensors")):
    for rank in (2, 4):
        folder = convert("plain.safetensors", to, f"{to}{rank}", "--rank", str(rank))
        unet = model()
        state, alphas = StableDiffusionPipeline.lora_state_dict(folder / file)
        StableDiffusionPipeline.load_lora_into_unet(state, alphas, unet, adapter_name="delta")
        for strength in (1.0, 0.5):
            unet.set_adapters("delta", strength)
            outputs[f"{to}.{rank}.{strength}"] = answer(unet)
        error = relative(outputs[f"{to}.{rank}.1.0"] - base, whole - base)
        print(f"diffusers with {to} of rank {rank}: change of the answer within {error:.1e}")
        assert error < 1e-3
equal("embedding beside the LoRA", load_file(folder / "new1.safetensors"), {"<new1>": tokens["<new1>"][None]})

save_file(outputs, GOLDEN / "outputs.safetensors")
# PyTorch reads, with weights_only.
both("compvis", convert("plain.safetensors", "compvis", "c.ckpt"), "compvis.ckpt")
both("compvis from flat", convert("compvis_flat.ckpt", "compvis", "f.ckpt"), "compvis.ckpt")
both("compvis compressed", convert("adobe_compressed.bin", "compvis", "cc.ckpt"), "compvis_compressed.ckpt")
both("adobe", convert("compvis.ckpt", "adobe", "a.bin"), "adobe.bin")
both("adobe compressed", convert("compvis_compressed.ckpt", "adobe", "ac.bin"), "adobe_compressed.bin")
both("adobe, two encoders", convert("adobe_two_encoders.bin", "adobe", "a2.bin"), "adobe_two_encoders.bin")
custom = convert("adobe.bin", "diffusers-custom", "custom.bin")
both("diffusers custom .bin", custom, "custom.bin")
both("diffusers token .bin", OUT / "<new2>.bin", "new2.bin")

# diffusers loads the custom weights. Its loader wants a pipeline, and the entries without weights of the .bin.
processed = model()
pipeline = types.SimpleNamespace(components={}, hf_device_map={}, _optionally_disable_offloading=lambda *_: (False, False, False))
processed.load_attn_procs(OUT, weight_name="custom.bin", use_safetensors=False, _pipeline=pipeline)
assert relative(answer(processed) - base, whole - base) < 1e-5, "diffusers with our custom .bin answers otherwise"
print("diffusers with the custom .bin: change of the answer within", relative(answer(processed) - base, whole - base))

print("all right")
