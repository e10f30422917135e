"""The miniature model's parts: Stable Diffusion's own classes at a smaller size, and nothing else."""
import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPConfig, CLIPModel, CLIPVisionConfig, CLIPVisionModel

SIZE, LATENT, POSITIONS = 64, 12, 32
LABELS = {
    "class": "mug house car boat cat bird toy gate chair flower balloon umbrella".split(),
    "colour": "red orange yellow green blue purple pink black".split(),
    "texture": "plain striped dotted checkered two-tone".split(),
    "place": "beach forest night snow desert table street meadow".split(),
    "style": "photo pencil watercolour cartoon".split(),
}
VISION = dict(
    hidden_size=128,
    intermediate_size=512,
    num_hidden_layers=4,
    num_attention_heads=4,
    image_size=SIZE,
    patch_size=8,
    hidden_act="quick_gelu",
    projection_dim=64,
)


def make_vae(channels=(16, 16, 40, 64), latents=LATENT):
    return AutoencoderKL(
        sample_size=SIZE,
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=list(channels),
        layers_per_block=1,
        latent_channels=latents,
        norm_num_groups=2,
        act_fn="silu",
        scaling_factor=1.0,
    )


def make_unet(width):
    return UNet2DConditionModel(
        sample_size=SIZE // 8,
        in_channels=LATENT,
        out_channels=LATENT,
        down_block_types=["CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
        block_out_channels=[64, 128],
        layers_per_block=1,
        attention_head_dim=4,  # in SD 1.x's sense: the number of heads
        cross_attention_dim=width,
        norm_num_groups=16,
        act_fn="silu",
    )


def make_clip(tokenizer_folder):
    vocabulary = json.loads((Path(tokenizer_folder) / "vocab.json").read_text())
    text = dict(
        vocab_size=len(vocabulary),
        hidden_size=96,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=POSITIONS,
        hidden_act="quick_gelu",
        projection_dim=64,
        bos_token_id=vocabulary["<|startoftext|>"],
        eos_token_id=vocabulary["<|endoftext|>"],
        pad_token_id=vocabulary["<|endoftext|>"],
    )
    return CLIPModel(CLIPConfig(text_config=text, vision_config=VISION, projection_dim=64))


class Classifier(torch.nn.Module):
    """A CLIP vision tower with one linear head an attribute on its pooled output."""

    def __init__(self):
        super().__init__()
        self.vision_model = CLIPVisionModel(CLIPVisionConfig(**VISION))
        self.heads = torch.nn.ModuleDict({k: torch.nn.Linear(128, len(v)) for k, v in LABELS.items()})

    def forward(self, pixels):
        pooled = self.vision_model(pixels).pooler_output
        return {k: head(pooled) for k, head in self.heads.items()}
