/** The config of a `UNet2DConditionModel` of the Stable Diffusion 1, 2 and XL families, as diffusers writes it. */
import { ConfigReader } from "../config.ts";

/** A UNet, level by level from the finest to the coarsest. */
export interface UNetConfig {
  /** Tells configs apart. */
  readonly kind: "unet";
  /** Height and width of the latents it was trained on. */
  readonly sampleSize: number;
  /** Channels of the latents that go in. */
  readonly inChannels: number;
  /** Channels of the answer. */
  readonly outChannels: number;
  /** Channels of each level. */
  readonly channels: readonly number[];
  /** Whether each level attends to the prompt, on the way down and (coarsest first) on the way up. */
  readonly downAttention: readonly boolean[];
  /** Whether each block on the way up attends. */
  readonly upAttention: readonly boolean[];
  /** Residual blocks of a level on the way down; one more on the way up. */
  readonly layersPerBlock: number;
  /** Attention heads of each level. */
  readonly heads: readonly number[];
  /** Transformer blocks of each level. */
  readonly depth: readonly number[];
  /** Width of the prompt's features. */
  readonly contextWidth: number;
  /** Groups of the group norms. */
  readonly groups: number;
  /** Added to the variance in group norms. */
  readonly eps: number;
  /** Whether attention blocks project by linear layers instead of 1×1 convolutions. */
  readonly linearProjection: boolean;
  /** What it is told besides the prompt's features; only Stable Diffusion XL. */
  readonly added?: AddedConfig;
  /** Element type of activations; f16 is stored only, arithmetic is f32. What goes in and comes out is f32. Default f32. */
  readonly activations?: "f32" | "f16";
}

/** Conditions that are added to the time embedding (`addition_embed_type: "text_time"`). */
export interface AddedConfig {
  /** Width of the prompt's pooled feature. */
  readonly pooledWidth: number;
  /** Width of the sinusoids of each of the {@linkcode SIZE_NUMBERS}. */
  readonly sizeWidth: number;
}

/** Numbers that say how a picture was cut: height and width before, top and left of the cut, height and width after. */
export const SIZE_NUMBERS = 6;

/** Fields that must be off: what they switch on is not computed here. */
const OFF = [
  "encoder_hid_dim",
  "encoder_hid_dim_type",
  "class_embed_type",
  "num_class_embeds",
  "time_embedding_dim",
  "time_embedding_act_fn",
  "timestep_post_act",
  "time_cond_proj_dim",
  "cross_attention_norm",
  "num_attention_heads",
  "reverse_transformer_layers_per_block",
];

/** Transformer blocks in all that a model may have; Stable Diffusion XL has 70. */
const MOST_TRANSFORMERS = 1000;

/**
 * Reads a UNet's `config.json`.
 *
 * @param config the parsed file
 * @param file its path, for messages
 * @throws FileError naming the field that is wrong or asks for what is not supported
 */
export function unetConfig(config: unknown, file = "unet/config.json"): UNetConfig {
  const c = new ConfigReader(config, file);
  c.only("_class_name", "UNet2DConditionModel");
  const downTypes = ["CrossAttnDownBlock2D", "DownBlock2D"] as const;
  const upTypes = ["UpBlock2D", "CrossAttnUpBlock2D"] as const;
  const [cross, plain] = downTypes;
  const [upPlain, upCross] = upTypes;
  const down = c.listOf("down_block_types", downTypes, [cross, cross, cross, plain]);
  const up = c.listOf("up_block_types", upTypes, [upPlain, upCross, upCross, upCross]);
  const channels = c.counts("block_out_channels", [320, 640, 1280, 1280]);
  const n = channels.length;
  c.demand(
    down.length === n && up.length === n,
    `has ${n} block_out_channels, ${down.length} down_block_types and ${up.length} up_block_types`,
  );
  refuseUnsupported(c);
  const groups = c.count("norm_num_groups", 32);
  // In this family `attention_head_dim` has always meant the number of heads.
  const heads = c.countPerLevel("attention_head_dim", n, 8);
  const layersPerBlock = c.layers("layers_per_block", 2);
  const depth = c.countPerLevel("transformer_layers_per_block", n, 1);
  const transformers = depth.reduce((sum, d) => sum + d * (2 * layersPerBlock + 1), 0);
  c.demand(
    n <= 16 && transformers <= MOST_TRANSFORMERS,
    `has ${n} levels with ${transformers} transformer blocks, which no model has`,
  );
  channels.forEach((width, i) => {
    c.demand(width % 2 === 0, `has ${width} channels in level ${i}, an odd number`);
    c.demand(width % groups === 0, `has ${width} channels in level ${i}, not in ${groups} groups`);
    c.demand(
      width % heads[i] === 0,
      `has ${width} channels in level ${i}, which ${
        heads[i]
      } attention heads (attention_head_dim) do not divide`,
    );
  });
  const read: UNetConfig = {
    kind: "unet",
    sampleSize: c.count("sample_size", 64),
    inChannels: c.count("in_channels", 4),
    outChannels: c.count("out_channels", 4),
    channels,
    downAttention: down.map((t) => t === cross),
    upAttention: up.map((t) => t === upCross),
    layersPerBlock,
    heads,
    depth,
    contextWidth: c.count("cross_attention_dim", 1280),
    groups,
    eps: c.number("norm_eps", 1e-5),
    linearProjection: c.flag("use_linear_projection", false),
    ...addedConfig(c),
  };
  c.refuseUnknown();
  return read;
}

function addedConfig(c: ConfigReader): { added?: AddedConfig } {
  c.only("addition_embed_type", "text_time");
  if (c.raw("addition_embed_type") === undefined) {
    c.only("addition_time_embed_dim");
    c.only("projection_class_embeddings_input_dim");
    return {};
  }
  const sizeWidth = c.count("addition_time_embed_dim");
  const whole = c.count("projection_class_embeddings_input_dim");
  const pooledWidth = whole - SIZE_NUMBERS * sizeWidth;
  c.demand(
    pooledWidth > 0 && sizeWidth % 2 === 0,
    `has projection_class_embeddings_input_dim ${whole}, which is to hold ${SIZE_NUMBERS} sinusoids of ` +
      `addition_time_embed_dim ${sizeWidth} (an even number) and a feature of the prompt`,
  );
  return { added: { pooledWidth, sizeWidth } };
}

function refuseUnsupported(c: ConfigReader): void {
  for (const field of OFF) c.only(field);
  c.only("mid_block_type", "UNetMidBlock2DCrossAttn");
  c.only("act_fn", "silu", "swish");
  c.only("flip_sin_to_cos", true);
  c.only("freq_shift", 0);
  c.only("downsample_padding", 1);
  c.only("mid_block_scale_factor", 1);
  c.only("dropout", 0);
  c.only("conv_in_kernel", 3);
  c.only("conv_out_kernel", 3);
  c.only("resnet_time_scale_shift", "default");
  c.only("resnet_out_scale_factor", 1);
  c.only("time_embedding_type", "positional");
  c.only("attention_type", "default");
  for (
    const field of [
      "center_input_sample",
      "only_cross_attention",
      "mid_block_only_cross_attention",
      "dual_cross_attention",
      "resnet_skip_time_act",
      "class_embeddings_concat",
    ]
  ) c.only(field, false);
  // Attention is always computed in f32; the other only matters to embeddings that are refused above.
  c.ignore("upcast_attention", "addition_embed_type_num_heads");
}
