"""Writes deltas/: one fine-tuned tiny UNet in every format of the ecosystem, each written in that tool's own way.

Run from this folder with torch, diffusers and safetensors installed: python deltas.py

- model/: the base, as diffusers saves it (the UNet alone, with a model_index.json that names nothing else)
- expected.safetensors: the trained weights by their diffusers names, `<new1>`, `<new2>`, and the factors u, v of the
  compressed files (of rank 2)
- the other files: the formats. Those that diffusers calls `<new1>.bin` are `new1.bin` here, since some systems know no
  such names; the tests put them where they belong.

The CompVis names of the parameters are taken from a table that is written out by hand for this UNet.
"""

import json
import pathlib
import shutil

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import CustomDiffusionAttnProcessor
from safetensors.torch import save_file

torch.set_num_threads(1)
OUT = pathlib.Path("deltas")
shutil.rmtree(OUT, ignore_errors=True)
OUT.mkdir()

torch.manual_seed(11)
unet = UNet2DConditionModel(
    sample_size=8, in_channels=4, out_channels=4, block_out_channels=(8, 16), layers_per_block=2,
    down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    cross_attention_dim=12, attention_head_dim=2, norm_num_groups=4)
for p in unet.parameters():
    if p.ndim > 1:
        p.data = torch.randn(p.shape) * 1.2 / p[0].numel() ** 0.5
unet.half().save_pretrained(OUT / "model" / "unet")
unet.float()
index = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}
(OUT / "model" / "model_index.json").write_text(json.dumps(index, indent=2))

COMPVIS = {
    "down_blocks.0.attentions.0": "input_blocks.1.1",
    "down_blocks.0.attentions.1": "input_blocks.2.1",
    "mid_block.attentions.0": "middle_block.1",
    "up_blocks.1.attentions.0": "output_blocks.3.1",
    "up_blocks.1.attentions.1": "output_blocks.4.1",
    "up_blocks.1.attentions.2": "output_blocks.5.1",
}


def compvis(name):
    place, rest = name.split(".transformer_blocks.")
    return f"model.diffusion_model.{COMPVIS[place]}.transformer_blocks.{rest}"


base = {k: v for k, v in unet.state_dict().items() if "attn2.to_k" in k or "attn2.to_v" in k}
# Changes of rank 2 and a little noise: what fine-tuning gives, in small.
trained, change, factors = {}, {}, {}
for name, w in base.items():
    low = torch.randn(w.shape[0], 2) @ torch.randn(2, w.shape[1])
    noise = torch.randn(w.shape)
    trained[name] = w + 0.1 * low / low.norm() * w.norm() + 1e-5 * noise
    change[name] = trained[name] - w
    u, s, vh = torch.linalg.svd(change[name], full_matrices=False)
    factors[name] = {"u": (u[:, :2] @ torch.diag(s[:2])).contiguous(), "v": vh[:2].contiguous()}
tokens = {"<new1>": torch.randn(12), "<new2>": torch.randn(12)}
save_file({**trained, **tokens, **{f"{n}.{k}": f for n, fs in factors.items() for k, f in fs.items()}},
          OUT / "expected.safetensors")

# CompVis: what their get_deltas, compress and convert tools leave.
state = {compvis(k): v for k, v in trained.items()}
embed = torch.stack(list(tokens.values()))
torch.save({"state_dict": {**state, "embed": embed}}, OUT / "compvis.ckpt")
torch.save({"state_dict": {**state, "embed": embed.reshape(-1)}}, OUT / "compvis_flat.ckpt")
torch.save({"state_dict": state}, OUT / "compvis_bare.ckpt")
torch.save({"state_dict": {**{compvis(k): v for k, v in factors.items()}, "embed": embed}},
           OUT / "compvis_compressed.ckpt")

# Adobe's diffusers trainer; the periodic files are of the training's type, and a module's tensors are Parameters.
parameters = {k: torch.nn.Parameter(v) for k, v in trained.items()}
torch.save({"unet": parameters, "modifier_token": tokens}, OUT / "adobe.bin")
torch.save({"unet": {k: v.bfloat16() for k, v in trained.items()}, "modifier_token": {}}, OUT / "adobe_bf16.bin")
torch.save({"unet": factors, "modifier_token": tokens}, OUT / "adobe_compressed.bin")
two = {"<new1>": [torch.ones(12), torch.full((20,), 2.0)]}
torch.save({"unet": trained, "modifier_token": two}, OUT / "adobe_two_encoders.bin")

# diffusers: by its own save_attn_procs, from its own attention processors; a token's .bin is a view of the whole table.
processors = {}
for name in unet.attn_processors:
    weight = unet.state_dict().get(name.replace(".processor", ".to_k.weight"))
    cross = "attn2" in name
    processors[name] = CustomDiffusionAttnProcessor(
        train_kv=cross, train_q_out=False, hidden_size=weight.shape[0] if cross else None,
        cross_attention_dim=12 if cross else None)
    if cross:
        for which in ("to_k", "to_v"):
            getattr(processors[name], f"{which}_custom_diffusion").weight.data = trained[
                name.replace("processor", f"{which}.weight")]
unet.set_attn_processor(processors)
unet.save_attn_procs(OUT, weight_name="custom.bin", safe_serialization=False)
unet.save_attn_procs(OUT, weight_name="custom.safetensors")
table = torch.nn.Parameter(torch.cat([torch.zeros(5, 12), embed]))
for i, token in enumerate(tokens):
    torch.save({token: table[5 + i]}, OUT / f"new{i + 1}.bin")
    save_file({token: tokens[token]}, OUT / f"new{i + 1}.safetensors")

save_file(trained, OUT / "plain.safetensors")

# The AUTOMATIC1111 extension: differences under CompVis names, the kinds in the header.
def extension(kind):
    return {"json": json.dumps({"meta": {"version": "0.2.0"}, "entries": {compvis(k): kind for k in trained}})}


save_file({compvis(k): v for k, v in change.items()}, OUT / "a1111.safetensors", extension("delta"))
parts = {f"{compvis(k)}.{n}": f[p].half() for k, f in factors.items() for n, p in (("US", "u"), ("Vh", "v"))}
save_file(parts, OUT / "a1111_factors.safetensors", extension("delta_factors"))

# AUTOMATIC1111's textual inversion, apart from the deltas, which it would be a word of.
(OUT / "webui").mkdir()
torch.save({"string_to_token": {"*": 265}, "string_to_param": {"*": torch.nn.Parameter(embed[:1])}, "name": "new1",
            "step": 500, "sd_checkpoint": None, "sd_checkpoint_name": None}, OUT / "webui" / "webui_embedding.pt")
