"""Writes attention.safetensors: the attention probabilities of every layer of unet_conv (see models.py), by an attention
processor of our own in diffusers, in float64, and what the model answers where they are changed.

Run from this folder: python attention.py (torch 2.15.0, diffusers 0.42.1)

`self.<layer>` and `cross.<layer>`: `[B, heads, T, S]`, layers named by their parameters' path. `injected`: the answer
for the same inputs where in every layer the second picture attends with the probabilities of the first.
"""

import json

import torch
from diffusers import UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import save_file

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)

seen = {}


class Watch:
    def __init__(self, path, inject):
        self.path, self.inject = path, inject

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, **_):
        source = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        split = lambda x: x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        q, k, v = split(attn.to_q(hidden_states)), split(attn.to_k(source)), split(attn.to_v(source))
        p = torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, dim=-1)
        if self.inject:
            p = p[:1].expand_as(p)
        else:
            seen[f"{'self' if encoder_hidden_states is None else 'cross'}.{self.path}"] = p
        return attn.to_out[0]((p @ v).transpose(1, 2).flatten(2))


with safe_open("unet_conv.safetensors", "pt") as file:
    config = json.loads(file.metadata()["config"])
    get = lambda name: file.get_tensor(name).double()
    model = UNet2DConditionModel(**config).double().eval()
    model.load_state_dict({k[7:]: get(k) for k in file.keys() if k.startswith("params.")})
    inputs = get("in.sample"), get("in.timesteps"), get("in.context")
    expected = get("out.y")


@torch.no_grad()
def ask(inject):
    model.set_attn_processor({name: Watch(name.removesuffix(".processor"), inject) for name in model.attn_processors})
    return model(*inputs).sample


assert (ask(False) - expected).abs().max() < 1e-5
out = {**seen, "injected": ask(True)}
save_file({k: v.float().contiguous() for k, v in out.items()}, "attention.safetensors", {"config": json.dumps(config)})
