"""The miniature model's parts: Stable Diffusion's own classes at a smaller size, and nothing else."""
import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPConfig, CLIPModel, CLIPVisionConfig, CLIPVisionModel

SIZE, POSITIONS = 64, 32
LABELS = {
    "class": "mug house car boat cat bird toy gate chair flower balloon umbrella".split(),
    "colour": "red orange yellow green blue purple pink black".split(),
    "texture": "plain striped dotted checkered two-tone".split(),
    "place": "beach forest night snow desert table street meadow".split(),
    "style": "photo pencil watercolour cartoon".split(),
}


@dataclass
class Design:
    """Sizes of all parts, and what the classifier tells apart. The defaults are those of the first miniature."""

    latents: int = 12
    vae: list = field(default_factory=lambda: [16, 16, 40, 64])
    unet: list = field(default_factory=lambda: [64, 128])
    text_width: int = 96
    text_layers: int = 3
    vision_width: int = 128
    vision_layers: int = 4
    projection: int = 64
    labels: dict = field(default_factory=lambda: LABELS)

    @staticmethod
    def read(config, data=None):
        """From the "model" of a JSON file; labels from `world.json` beside the data, where `export_dataset.ts` wrote one."""
        values = json.loads(Path(config).read_text()).get("model", {}) if config else {}
        world = Path(data or "") / "world.json"
        labels = json.loads(world.read_text())["labels"] if data and world.exists() else LABELS
        return Design(**{"labels": labels, **values})

    @staticmethod
    def of(folder):
        """The design of a folder that `export.py` wrote."""
        read = lambda name: json.loads((Path(folder) / name / "config.json").read_text())
        vae, unet, text, eye = read("vae"), read("unet"), read("text_encoder"), read("classifier")
        return Design(
            latents=vae["latent_channels"], vae=vae["block_out_channels"], unet=unet["block_out_channels"],
            text_width=text["hidden_size"], text_layers=text["num_hidden_layers"], vision_width=eye["hidden_size"],
            vision_layers=eye["num_hidden_layers"], projection=read("clip")["projection_dim"],
            labels={k: v["labels"] for k, v in eye["heads"].items()},
        )

    def vision(self):
        return dict(hidden_size=self.vision_width, intermediate_size=4 * self.vision_width,
                    num_hidden_layers=self.vision_layers, num_attention_heads=4, image_size=SIZE, patch_size=8,
                    hidden_act="quick_gelu", projection_dim=self.projection)

    def make_vae(self):
        return AutoencoderKL(
            sample_size=SIZE,
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
            block_out_channels=list(self.vae),
            layers_per_block=1,
            latent_channels=self.latents,
            norm_num_groups=2,
            act_fn="silu",
            scaling_factor=1.0,
        )

    def make_unet(self):
        return UNet2DConditionModel(
            sample_size=SIZE // 8,
            in_channels=self.latents,
            out_channels=self.latents,
            down_block_types=["CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
            up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
            block_out_channels=list(self.unet),
            layers_per_block=1,
            attention_head_dim=4,  # in SD 1.x's sense: the number of heads
            cross_attention_dim=self.text_width,
            norm_num_groups=16,
            act_fn="silu",
        )

    def make_clip(self, tokenizer_folder):
        vocabulary = json.loads((Path(tokenizer_folder) / "vocab.json").read_text())
        text = dict(
            vocab_size=len(vocabulary),
            hidden_size=self.text_width,
            intermediate_size=4 * self.text_width,
            num_hidden_layers=self.text_layers,
            num_attention_heads=4,
            max_position_embeddings=POSITIONS,
            hidden_act="quick_gelu",
            projection_dim=self.projection,
            bos_token_id=vocabulary["<|startoftext|>"],
            eos_token_id=vocabulary["<|endoftext|>"],
            pad_token_id=vocabulary["<|endoftext|>"],
        )
        return CLIPModel(CLIPConfig(text_config=text, vision_config=self.vision(), projection_dim=self.projection))

    def make_heads(self):
        return torch.nn.ModuleDict({k: torch.nn.Linear(self.vision_width, len(v)) for k, v in self.labels.items()})


class Classifier(torch.nn.Module):
    """A CLIP vision tower with one linear head an attribute on its pooled output."""

    def __init__(self, design):
        super().__init__()
        self.vision_model = CLIPVisionModel(CLIPVisionConfig(**design.vision()))
        self.heads = design.make_heads()

    def forward(self, pixels):
        pooled = self.vision_model(pixels).pooler_output
        return {k: head(pooled) for k, head in self.heads.items()}
