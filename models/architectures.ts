/** Well-known models by name: the configs that their folders hold, so that nothing has to be there to speak of them. */
import { type ClipTextConfig, clipTextConfig } from "./clip_text.ts";
import { type UNetConfig, unetConfig } from "./unet.ts";
import { type VaeConfig, vaeConfig } from "./vae.ts";

/** The parts of a named architecture, called as the folders are. */
export interface Architecture {
  /** The denoiser's config. */
  readonly unet: UNetConfig;
  /** The autoencoder's config. */
  readonly vae: VaeConfig;
  /** The text encoder's config. */
  readonly text_encoder: ClipTextConfig;
}

/** Stable Diffusion 1.x: `config.json` of its parts, without what is a default. */
const SD1 = {
  unet: { cross_attention_dim: 768, attention_head_dim: 8 },
  vae: {
    block_out_channels: [128, 256, 512, 512],
    down_block_types: Array(4).fill("DownEncoderBlock2D"),
    up_block_types: Array(4).fill("UpDecoderBlock2D"),
    layers_per_block: 2,
    sample_size: 512,
  },
  text_encoder: {
    hidden_size: 768,
    intermediate_size: 3072,
    num_hidden_layers: 12,
    num_attention_heads: 12,
    hidden_act: "quick_gelu",
    projection_dim: 768,
  },
};

const CONFIGS: Readonly<Record<string, typeof SD1>> = { sd14: SD1, sd15: SD1 };

/** Names that {@linkcode architectureNamed} knows. */
export const architectureNames: readonly string[] = Object.keys(CONFIGS);

/** The configs of a named architecture; undefined where the name is not known. */
export function architectureNamed(name: string): Architecture | undefined {
  if (!Object.hasOwn(CONFIGS, name)) return undefined;
  const { unet, vae, text_encoder } = CONFIGS[name];
  return {
    unet: unetConfig(unet),
    vae: vaeConfig(vae),
    text_encoder: clipTextConfig(text_encoder),
  };
}
