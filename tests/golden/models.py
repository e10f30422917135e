"""Writes clip, clip_text, clip_vision, vit, vae, unet_conv, unet_linear, unet_added and sampling .safetensors: small
models with random weights, what they answer, and gradients, by transformers and diffusers in float64.

Run from this folder: python models.py [name…] (torch 2.15.0, diffusers 0.42.1, transformers 5.24.0)

Which architecture is which: unet_conv is like Stable Diffusion 1's, unet_linear like 2's, unet_added like XL's; clip's
text half like Stable Diffusion 1's, clip_text like 2's and XL's second; vit like DINO's.

Names in each file: `params.…` the checkpoint, `in.…` inputs, `out.…` results, `grad.…` gradients of Σ u·result with the
given `in.u…`. The metadata holds the config as its `config.json` would.
"""

import json
import sys

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import (CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModelWithProjection, CLIPVisionConfig,
                          CLIPVisionModel, ViTConfig, ViTModel)

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)


def randomize(model):
    """Every parameter random, scales near 1, and of float32 precision, so that both sides compute from the same."""
    model.double().eval()
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape)
        if p.ndim > 1:
            value = noise * (2.0 if "embedding.weight" in name else 1.2) / p[0].numel() ** 0.5
        elif "norm" in name and name.endswith("weight"):
            value = 1 + 0.3 * noise
        else:
            value = 0.3 * noise
        p.data = value.float().double()


def rand(*shape):
    return torch.randn(*shape).float().double()


def save(name, config, **groups):
    tensors = {f"{g}.{k}": v.detach() for g, ts in groups.items() for k, v in ts.items()}
    tensors = {k: (v.float() if v.is_floating_point() else v.int()).contiguous() for k, v in tensors.items()}
    save_file(tensors, f"{name}.safetensors", {"config": json.dumps(config)})


def gradients(loss, leaves):
    found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    return {k: g for k, g in zip(leaves, found) if g is not None}


def plain(config):
    return {k: v for k, v in dict(config).items() if not k.startswith("_")}


def clip():
    torch.manual_seed(1)
    text = dict(vocab_size=24, hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=3,
                max_position_embeddings=9, hidden_act="quick_gelu", bos_token_id=22, eos_token_id=23, pad_token_id=23)
    vision = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=12,
                  patch_size=4, hidden_act="gelu")
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=10))
    randomize(model)
    config = {"model_type": "clip", "projection_dim": 10, "text_config": {**text, "model_type": "clip_text_model"},
              "vision_config": {**vision, "model_type": "clip_vision_model"}}
    ids = torch.tensor([[22, 3, 7, 7, 1, 23, 23, 23, 23], [22, 5, 0, 21, 19, 2, 4, 8, 23]])
    pixels, u, uv = rand(2, 3, 12, 12), rand(2, 9, 12), rand(2, 10)
    out = model.text_model(ids)
    image = model.visual_projection(model.vision_model(pixels).pooler_output)
    params = {k: p for k, p in model.named_parameters()}
    grads = gradients((u * out.last_hidden_state).sum() + (uv * image).sum(), params)
    save("clip", config, params=params, grad=grads,
         **{"in": dict(ids=ids, pixels=pixels, u=u, u_image=uv),
            "out": dict(hidden=out.last_hidden_state, pooled=out.pooler_output,
                        text=model.text_projection(out.pooler_output), image=image)})


def clip_text():
    """With gelu and a projection; what Stable Diffusion XL takes is the state before the last block."""
    torch.manual_seed(5)
    config = dict(vocab_size=24, hidden_size=12, intermediate_size=20, num_hidden_layers=3, num_attention_heads=2,
                  max_position_embeddings=9, hidden_act="gelu", projection_dim=7, bos_token_id=22, eos_token_id=23)
    model = CLIPTextModelWithProjection(CLIPTextConfig(**config))
    randomize(model)
    ids = torch.tensor([[22, 3, 7, 7, 1, 23, 0, 0, 0], [22, 5, 0, 21, 19, 2, 4, 8, 23]])
    u, up = rand(2, 9, 12), rand(2, 7)
    out = model(ids, output_hidden_states=True)
    penultimate = out.hidden_states[-2]
    grads = gradients((u * penultimate).sum() + (up * out.text_embeds).sum(), dict(model.named_parameters()))
    save("clip_text", {**config, "architectures": ["CLIPTextModelWithProjection"]},
         params=dict(model.named_parameters()), grad=grads,
         **{"in": dict(ids=ids, u=u, u_pooled=up),
            "out": dict(hidden=out.last_hidden_state, penultimate=penultimate, projected=out.text_embeds)})


def clip_vision():
    """With quick_gelu, as OpenAI's."""
    torch.manual_seed(6)
    config = dict(hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=3, image_size=8,
                  patch_size=4, hidden_act="quick_gelu")
    model = CLIPVisionModel(CLIPVisionConfig(**config))
    randomize(model)
    pixels, u = rand(2, 3, 8, 8), rand(2, 12)
    out = model(pixels).pooler_output
    params = {k if k.startswith("vision_model.") else f"vision_model.{k}": p for k, p in model.named_parameters()}
    save("clip_vision", config, params=params, grad=gradients((u * out).sum(), params),
         **{"in": dict(pixels=pixels, u=u), "out": dict(pooled=out)})


VIT = {"layers.": "encoder.layer.", "attention.o_proj": "attention.output.dense", "mlp.fc1": "intermediate.dense",
       "mlp.fc2": "output.dense", "attention.q_proj": "attention.attention.query",
       "attention.k_proj": "attention.attention.key", "attention.v_proj": "attention.attention.value"}


def vit_name(name):
    """As files have it; transformers 5 renames a ViT's parameters in memory."""
    for now, then in VIT.items():
        name = name.replace(now, then)
    return name


def vit():
    torch.manual_seed(7)
    config = dict(hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=3, image_size=8,
                  patch_size=4, hidden_act="gelu", layer_norm_eps=1e-12)
    model = ViTModel(ViTConfig(**config), add_pooling_layer=False)
    randomize(model)
    pixels, u = rand(2, 3, 8, 8), rand(2, 5, 12)
    out = model(pixels).last_hidden_state
    params = {vit_name(k): p for k, p in model.named_parameters()}
    save("vit", {**config, "model_type": "vit"}, params=params, grad=gradients((u * out).sum(), params),
         **{"in": dict(pixels=pixels, u=u), "out": dict(hidden=out)})


def vae():
    torch.manual_seed(2)
    model = AutoencoderKL(block_out_channels=(8, 12), down_block_types=("DownEncoderBlock2D",) * 2,
                          up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=4, layers_per_block=1,
                          latent_channels=3, sample_size=8)
    randomize(model)
    x, z, u = rand(2, 3, 8, 12), rand(2, 3, 4, 6), rand(2, 3, 8, 12)
    posterior = model.encode(x).latent_dist
    y = model.decode(z).sample
    u_mean, u_logvar = rand(2, 3, 4, 6), rand(2, 3, 4, 6)
    leaves = {**dict(model.named_parameters()), "in.x": x, "in.z": z}
    for t in leaves.values():
        t.requires_grad_()
    dist = model.encode(x).latent_dist
    loss = (u * model.decode(z).sample).sum() + (u_mean * dist.mean).sum() + (u_logvar * dist.logvar).sum()
    save("vae", plain(model.config), params=dict(model.named_parameters()), grad=gradients(loss, leaves),
         **{"in": dict(x=x, z=z, u=u, u_mean=u_mean, u_logvar=u_logvar),
            "out": dict(mean=posterior.mean, logvar=posterior.logvar, y=y)})


def unet_of(**options):
    model = UNet2DConditionModel(sample_size=4, in_channels=3, out_channels=3, cross_attention_dim=10,
                                 **{"norm_num_groups": 4, **options})
    randomize(model)
    return model


def cut_start(model):
    """Keys and values of the prompt without gradient at position 0, as Custom Diffusion trains them."""
    for name, module in model.named_modules():
        if name.endswith(("attn2.to_k", "attn2.to_v")):
            module.register_forward_hook(lambda _m, _i, y: torch.cat([y[:, :1].detach(), y[:, 1:]], 1))


def unet(name, **options):
    torch.manual_seed(3)
    model = unet_of(**options)
    sample, timesteps, context, u = rand(2, 3, 4, 8), torch.tensor([981.0, 37.0]), rand(2, 5, 10), rand(2, 3, 4, 8)
    leaves = {**dict(model.named_parameters()), "in.sample": sample, "in.context": context}
    added = {}
    if model.config.addition_embed_type:
        pooled, sizes = rand(2, 7), torch.tensor([[48.0, 1023.0, 0.0, 17.0, 32.0, 64.0], [512.0, 512.0, 3.0, 0.0, 32.0, 64.0]])
        leaves["in.pooled"] = pooled
        added = dict(pooled=pooled, sizes=sizes)
    for t in leaves.values():
        t.requires_grad_()

    def ask():
        conditions = dict(text_embeds=added["pooled"], time_ids=added["sizes"]) if added else None
        return model(sample, timesteps, context, added_cond_kwargs=conditions).sample

    out = ask()
    grads = gradients((u * out).sum(), leaves)
    cut_start(model)
    kv = {k: v for k, v in leaves.items() if k.endswith(("attn2.to_k.weight", "attn2.to_v.weight", "in.context"))}
    cut = gradients((u * ask()).sum(), kv)
    save(name, plain(model.config), params=dict(model.named_parameters()), grad=grads, cut=cut,
         **{"in": dict(sample=sample, timesteps=timesteps, context=context, u=u, **added), "out": dict(y=out)})


@torch.no_grad()
def sampling():
    """Five steps of DDIM with guidance from given noise, through diffusers' own scheduler."""
    torch.manual_seed(4)
    scheduler = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
                     num_train_timesteps=1000, set_alpha_to_one=False, steps_offset=1)
    model = unet_of(block_out_channels=(8,), down_block_types=("CrossAttnDownBlock2D",),
                    up_block_types=("CrossAttnUpBlock2D",), layers_per_block=1, attention_head_dim=2)
    steps = DDIMScheduler(**scheduler)
    steps.set_timesteps(5)
    noise, context, empty = rand(2, 3, 4, 4), rand(2, 5, 10), rand(1, 5, 10)
    x = noise
    for t in steps.timesteps:
        both = model(torch.cat([x, x]), t.double(), torch.cat([empty.expand(2, 5, 10), context])).sample
        without, given = both.chunk(2)
        x = steps.step(without + 3.0 * (given - without), t, x).prev_sample
    save("sampling", {"unet": plain(model.config), "scheduler": scheduler}, params=dict(model.named_parameters()),
         **{"in": dict(noise=noise, context=context, empty=empty), "out": dict(x=x)})


def unet_conv():
    unet("unet_conv", block_out_channels=(8, 16), down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
         up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), layers_per_block=1, attention_head_dim=2)


def unet_linear():
    unet("unet_linear", block_out_channels=(8, 12), down_block_types=("CrossAttnDownBlock2D",) * 2,
         up_block_types=("CrossAttnUpBlock2D",) * 2, layers_per_block=2, attention_head_dim=(2, 3),
         use_linear_projection=True)


def unet_added():
    unet("unet_added", norm_num_groups=2, block_out_channels=(4, 8), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
         up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), layers_per_block=1, attention_head_dim=(1, 2),
         transformer_layers_per_block=(1, 2), use_linear_projection=True, addition_embed_type="text_time",
         addition_time_embed_dim=4, projection_class_embeddings_input_dim=31)


ALL = [clip, clip_text, clip_vision, vit, vae, unet_conv, unet_linear, unet_added, sampling]
for make in ALL:
    if make.__name__ in sys.argv[1:] or len(sys.argv) == 1:
        make()
