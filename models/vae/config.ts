/** The config of an `AutoencoderKL`, as diffusers writes it. */
import { ConfigReader } from "../config.ts";

/** An autoencoder, from the finest level to the coarsest. */
export interface VaeConfig {
  /** Tells configs apart. */
  readonly kind: "vae";
  /** Height and width of the pictures it was trained on. */
  readonly sampleSize: number;
  /** Channels of a picture. */
  readonly inChannels: number;
  /** Channels of a decoded picture. */
  readonly outChannels: number;
  /** Channels of a latent. */
  readonly latentChannels: number;
  /** Channels of each block, from the picture inwards. */
  readonly channels: readonly number[];
  /** Residual blocks of a level in the encoder; one more in the decoder. */
  readonly layersPerBlock: number;
  /** Groups of the group norms. */
  readonly groups: number;
  /** Factor that brings latents to about unit variance: what the UNet sees. */
  readonly scalingFactor: number;
  /** Whether a 1×1 convolution follows the encoder. */
  readonly quantConv: boolean;
  /** Whether a 1×1 convolution precedes the decoder. */
  readonly postQuantConv: boolean;
  /** Whether the middle block attends. */
  readonly midAttention: boolean;
  /** Whether f16 is too narrow for it (Stable Diffusion XL): weights and activations are f32 whatever the others are. */
  readonly forceUpcast: boolean;
  /** Element type of activations; f16 is stored only, arithmetic is f32. What goes in and comes out is f32. Default f32. */
  readonly activations?: "f32" | "f16";
}

/**
 * Reads an autoencoder's `config.json`.
 *
 * @throws FileError naming the field that is wrong or asks for what is not supported
 */
export function vaeConfig(config: unknown, file = "vae/config.json"): VaeConfig {
  const c = new ConfigReader(config, file);
  c.only("_class_name", "AutoencoderKL");
  const channels = c.counts("block_out_channels", [64]);
  const n = channels.length;
  const down = c.listOf("down_block_types", ["DownEncoderBlock2D"], ["DownEncoderBlock2D"]);
  const up = c.listOf("up_block_types", ["UpDecoderBlock2D"], ["UpDecoderBlock2D"]);
  c.demand(
    down.length === n && up.length === n,
    `has ${n} block_out_channels, ${down.length} down_block_types and ${up.length} up_block_types`,
  );
  c.demand(n <= 16, `has ${n} levels`);
  c.only("act_fn", "silu", "swish");
  for (const field of ["latents_mean", "latents_std"]) c.only(field);
  c.only("shift_factor", 0);
  const groups = c.count("norm_num_groups", 32);
  for (const width of channels) {
    c.demand(width % groups === 0, `has a level of ${width} channels, not in ${groups} groups`);
  }
  const read: VaeConfig = {
    kind: "vae",
    sampleSize: c.count("sample_size", 32),
    inChannels: c.count("in_channels", 3),
    outChannels: c.count("out_channels", 3),
    latentChannels: c.count("latent_channels", 4),
    channels,
    layersPerBlock: c.layers("layers_per_block", 1),
    groups,
    scalingFactor: c.number("scaling_factor", 0.18215),
    quantConv: c.flag("use_quant_conv", true),
    postQuantConv: c.flag("use_post_quant_conv", true),
    midAttention: c.flag("mid_block_add_attention", true),
    forceUpcast: c.flag("force_upcast", false),
  };
  c.refuseUnknown();
  return read;
}

/** Pixels that one latent cell covers along each side. */
export const vaeFactor = (config: VaeConfig): number => 2 ** (config.channels.length - 1);
