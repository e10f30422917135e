/**
 * The vision transformer that DINO trained (`ViTModel` of transformers): features of pictures by which a thing is told
 * from others of its kind, where CLIP tells kinds (Ruiz et al. 2023, §4.1; Caron et al. 2021).
 */
import type { Tensor } from "../tensor/tensor.ts";
import { input } from "../ops/leaf.ts";
import { reshape, slice } from "../ops/movement.ts";
import { clipEncoder, type ClipEncoderConfig, type EncoderNames } from "./clip/encoder.ts";
import { ConfigReader } from "./config.ts";
import { layerNormLayer } from "./layers.ts";
import { embedPatches, patchTokens } from "./patches.ts";
import { declare, Parameters, type ParameterSpecs, type ParameterTree } from "./params.ts";

/** A vision transformer. */
export interface VitConfig extends ClipEncoderConfig {
  /** Tells configs apart. */
  readonly kind: "vit";
  /** Height and width of the pictures. */
  readonly imageSize: number;
  /** Height and width of a patch, in pixels. */
  readonly patchSize: number;
  /** Channels of the pictures: 3. */
  readonly inChannels: number;
}

/**
 * Reads the `config.json` of a `ViTModel`.
 *
 * @throws FileError naming the field that is wrong or asks for what is not supported
 */
export function vitConfig(config: unknown, file = "config.json"): VitConfig {
  const c = new ConfigReader(config, file);
  c.only("model_type", "vit");
  for (const field of ["attention_probs_dropout_prob", "hidden_dropout_prob"]) c.only(field, 0);
  c.only("qkv_bias", true);
  const read: VitConfig = {
    kind: "vit",
    width: c.count("hidden_size", 768),
    mlpWidth: c.count("intermediate_size", 3072),
    layers: c.count("num_hidden_layers", 12),
    heads: c.count("num_attention_heads", 12),
    activation: c.oneOf("hidden_act", ["gelu", "quick_gelu"], "gelu"),
    eps: c.number("layer_norm_eps", 1e-12),
    imageSize: c.count("image_size", 224),
    patchSize: c.count("patch_size", 16),
    inChannels: c.count("num_channels", 3),
  };
  c.demand(
    read.width % read.heads === 0,
    `has a hidden_size of ${read.width}, which ${read.heads} num_attention_heads do not divide`,
  );
  c.demand(
    read.imageSize % read.patchSize === 0,
    `has an image_size of ${read.imageSize}, no multiple of its patch_size ${read.patchSize}`,
  );
  return read;
}

const NAMES: EncoderNames = {
  blocks: "layer",
  norms: ["layernorm_before", "layernorm_after"],
  qkv: ["attention.attention.query", "attention.attention.key", "attention.attention.value"],
  out: "attention.output.dense",
  mlp: ["intermediate.dense", "output.dense"],
};

/**
 * Features of pictures, after the last norm.
 *
 * @param pixels NHWC `[B, imageSize, imageSize, inChannels]`, normalized as the preprocessor config says
 * @returns `[B, 1 + patches, width]`, the class token first
 * @throws ParameterError, ShapeError
 */
export function vit(
  config: VitConfig,
  params: ParameterTree | Parameters,
  pixels: Tensor,
): Tensor {
  const { width } = config, count = patchTokens(config);
  const p = Parameters.of(params, "vit");
  const tokens = embedPatches("vit", config, p.at("embeddings"), {
    ...{ projection: "patch_embeddings.projection", bias: true },
    ...{ start: "cls_token", startShape: [1, 1, width] },
    ...{ places: "position_embeddings", placesShape: [1, count, width] },
  }, pixels);
  const options = { causal: false, names: NAMES };
  const last = clipEncoder(p.at("encoder"), tokens, config, options).at(-1)!;
  return layerNormLayer(p.at("layernorm"), last, config.eps);
}

/** One vector a picture, that of the class token: `[B, width]`. Not normalized. */
export function vitFeatures(
  config: VitConfig,
  params: ParameterTree | Parameters,
  pixels: Tensor,
): Tensor {
  const hidden = vit(config, params, pixels);
  return reshape(slice(hidden, 1, 0, 1), [hidden.shape[0], config.width]);
}

/** Names and PyTorch shapes of a vision transformer's parameters; a pooler, which nothing here reads, is not among them. */
export function vitSpecs(config: VitConfig): ParameterSpecs {
  const { imageSize, inChannels } = config;
  const pixels = input({ shape: [1, imageSize, imageSize, inChannels], dtype: "f32" }, 0);
  return declare("vit", (p) => vit(config, p, pixels));
}
