/** Well-known models by name: the configs that their folders hold, so that nothing has to be there to speak of them. */
import { clipTextConfig } from "./clip/text.ts";
import { clipConfig } from "./clip/vision.ts";
import type { ModelConfig } from "./specs.ts";
import { unetConfig } from "./unet/unet.ts";
import { vaeConfig } from "./vae/vae.ts";
import { vitConfig } from "./vit.ts";

/** The configs of a named architecture by component, called as the folders are. */
export type Architecture = Readonly<Record<string, ModelConfig>>;

/** `config.json` of each component, without what is a default. */
type Raw = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

const READERS: Readonly<Record<string, (config: unknown) => ModelConfig>> = {
  unet: unetConfig,
  vae: vaeConfig,
  text_encoder: clipTextConfig,
  text_encoder_2: clipTextConfig,
  clip: clipConfig,
  dino: vitConfig,
};

const vae = (sample_size: number) => ({
  block_out_channels: [128, 256, 512, 512],
  down_block_types: Array(4).fill("DownEncoderBlock2D"),
  up_block_types: Array(4).fill("UpDecoderBlock2D"),
  layers_per_block: 2,
  sample_size,
});

const transformer = (width: number, layers: number, heads: number, hidden_act: string) => ({
  hidden_size: width,
  intermediate_size: 4 * width,
  num_hidden_layers: layers,
  num_attention_heads: heads,
  hidden_act,
});

const SD1: Raw = {
  unet: { cross_attention_dim: 768, attention_head_dim: 8 },
  vae: vae(512),
  text_encoder: { ...transformer(768, 12, 12, "quick_gelu"), projection_dim: 768 },
};

/** Stable Diffusion 2: OpenCLIP's ViT-H without its last layer, and a UNet with heads of 64 channels. */
const sd2 = (sample_size: number): Raw => ({
  unet: {
    cross_attention_dim: 1024,
    attention_head_dim: [5, 10, 20, 20],
    use_linear_projection: true,
    sample_size,
  },
  vae: vae(sample_size * 8),
  text_encoder: transformer(1024, 23, 16, "gelu"),
});

const SDXL: Raw = {
  unet: {
    block_out_channels: [320, 640, 1280],
    down_block_types: ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    up_block_types: ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    transformer_layers_per_block: [1, 2, 10],
    attention_head_dim: [5, 10, 20],
    cross_attention_dim: 2048,
    use_linear_projection: true,
    addition_embed_type: "text_time",
    addition_time_embed_dim: 256,
    projection_class_embeddings_input_dim: 2816,
    sample_size: 128,
  },
  vae: { ...vae(1024), scaling_factor: 0.13025, force_upcast: true },
  text_encoder: { ...transformer(768, 12, 12, "quick_gelu"), projection_dim: 768 },
  text_encoder_2: {
    ...transformer(1280, 32, 20, "gelu"),
    projection_dim: 1280,
    architectures: ["CLIPTextModelWithProjection"],
  },
};

const CONFIGS: Readonly<Record<string, Raw>> = {
  sd14: SD1,
  sd15: SD1,
  sd20: sd2(96),
  "sd20-base": sd2(64),
  sd21: sd2(96),
  "sd21-base": sd2(64),
  sdxl: SDXL,
  "clip-vit-l-14": {
    clip: {
      projection_dim: 768,
      text_config: transformer(768, 12, 12, "quick_gelu"),
      vision_config: { ...transformer(1024, 24, 16, "quick_gelu"), patch_size: 14 },
    },
  },
  "clip-vit-b-32": {
    clip: {
      projection_dim: 512,
      text_config: transformer(512, 12, 8, "quick_gelu"),
      vision_config: { ...transformer(768, 12, 12, "quick_gelu"), patch_size: 32 },
    },
  },
  "clip-vit-h-14": {
    clip: {
      projection_dim: 1024,
      text_config: transformer(1024, 24, 16, "gelu"),
      vision_config: { ...transformer(1280, 32, 16, "gelu"), patch_size: 14 },
    },
  },
  "dino-vits16": { dino: transformer(384, 12, 6, "gelu") },
};

/** Names that {@linkcode architectureNamed} knows. */
export const architectureNames: readonly string[] = Object.keys(CONFIGS);

/** The configs of a named architecture; undefined where the name is not known. */
export function architectureNamed(name: string): Architecture | undefined {
  if (!Object.hasOwn(CONFIGS, name)) return undefined;
  return Object.fromEntries(
    Object.entries(CONFIGS[name]).map(([part, config]) => [part, READERS[part](config)]),
  );
}
