/**
 * CLIP's text encoder: the prompt features that the UNet attends to, and (with a projection) a vector to compare with
 * pictures. Parameters are named as in every published Stable Diffusion checkpoint, under `text_model.`.
 */
import type { Tensor } from "../../tensor/tensor.ts";
import { ShapeError, show } from "../../tensor/shape.ts";
import { add, mul, neg } from "../../ops/elementwise/arithmetic.ts";
import { cast } from "../../ops/elementwise/cast.ts";
import { equal, where } from "../../ops/elementwise/compare.ts";
import { embedding } from "../../ops/embedding/embedding.ts";
import { input, tensor } from "../../ops/leaf.ts";
import { reshape, slice } from "../../ops/movement.ts";
import { sum } from "../../ops/broadcast.ts";
import { max } from "../../ops/reduce.ts";
import { clipEncoder, type ClipEncoderConfig, clipEncoderConfig } from "./encoder.ts";
import { ConfigReader } from "../config.ts";
import { layerNormLayer, linearLayer } from "../layers.ts";
import { declare, Parameters, type ParameterSpecs, type ParameterTree } from "../params.ts";

/** A CLIP text encoder. */
export interface ClipTextConfig extends ClipEncoderConfig {
  /** Tells configs apart. */
  readonly kind: "clip_text";
  /** Rows of the token table. */
  readonly vocabulary: number;
  /** The longest prompt, in tokens. */
  readonly positions: number;
  /** The token at whose first occurrence a prompt is pooled. */
  readonly endToken: number;
  /** Width of the projection, in models that have one. */
  readonly projection: number;
  /** Whether the projection is among the encoder's own parameters (`CLIPTextModelWithProjection`). */
  readonly projects: boolean;
  /** Element type of activations; f16 is stored only, arithmetic is f32. What goes in and comes out is f32. Default f32. */
  readonly activations?: "f32" | "f16";
}

/**
 * Reads the `config.json` of a text encoder.
 *
 * @throws FileError naming the field that is wrong or asks for what is not supported
 */
export function clipTextConfig(
  config: unknown,
  file = "text_encoder/config.json",
): ClipTextConfig {
  const c = new ConfigReader(config, file);
  c.only("model_type", "clip_text_model");
  const vocabulary = c.count("vocab_size", 49408);
  const end = c.count("eos_token_id", vocabulary - 1, 0);
  const width = { width: 512, mlpWidth: 2048, heads: 8 };
  const read: ClipTextConfig = {
    ...clipEncoderConfig(c, width),
    kind: "clip_text",
    vocabulary,
    positions: c.count("max_position_embeddings", 77),
    // Configs written by transformers before 4.31 say 2 and mean the last entry of the vocabulary.
    endToken: end === 2 ? vocabulary - 1 : end,
    projection: c.count("projection_dim", 512),
    projects: isProjecting(c.raw("architectures")),
  };
  c.demand(
    read.endToken < vocabulary,
    `has eos_token_id ${end}, beyond its vocab_size ${vocabulary}`,
  );
  return read;
}

const isProjecting = (classes: unknown): boolean =>
  Array.isArray(classes) && classes.includes("CLIPTextModelWithProjection");

/** Features of prompts. */
export interface TextFeatures {
  /** After the final layer norm, at every position: `[B, T, width]`. */
  readonly hidden: Tensor;
  /** Before the last block, without norm, at every position: `[B, T, width]`. */
  readonly penultimate: Tensor;
  /** `hidden` at the first end token: `[B, width]`; zeros for a row without one. */
  readonly pooled: Tensor;
}

/**
 * @param ids token numbers, u32 `[B, T]`, T at most `config.positions`
 * @throws ParameterError, ShapeError
 */
export function clipText(
  config: ClipTextConfig,
  params: ParameterTree | Parameters,
  ids: Tensor,
): TextFeatures {
  const [, t] = ids.shape;
  if (ids.shape.length !== 2 || ids.dtype !== "u32" || t > config.positions) {
    throw new ShapeError(
      "clipText",
      `the tokens are ${show(ids.spec)}; expected u32[B,T] with T ≤ ${config.positions}`,
    );
  }
  const p = Parameters.of(params, "text_encoder").at("text_model");
  const table = p.take("embeddings.token_embedding.weight", [config.vocabulary, config.width]);
  const places = p.take("embeddings.position_embedding.weight", [config.positions, config.width]);
  const tokens = add(cast(embedding(table, ids), "f32"), cast(slice(places, 0, 0, t), "f32"));
  const inside = cast(tokens, config.activations ?? "f32");
  const [penultimate, last] = clipEncoder(p.at("encoder"), inside, config, { causal: true })
    .slice(-2).map((x) => cast(x, "f32"));
  const hidden = layerNormLayer(p.at("final_layer_norm"), last, config.eps);
  return { hidden, penultimate, pooled: atFirst(hidden, ids, config.endToken) };
}

/** The row of `hidden` `[B, T, C]` at which `ids` `[B, T]` first equals `token`. */
function atFirst(hidden: Tensor, ids: Tensor, token: number): Tensor {
  const [b, t] = ids.shape;
  const index = tensor(Float32Array.from({ length: t }, (_, i) => i), [1, t]);
  const candidates = where(equal(ids, token), index, t);
  const first = neg(max(neg(candidates), [1], { keep: true }));
  const chosen = cast(equal(index, first), hidden.dtype);
  return sum(mul(hidden, reshape(chosen, [b, t, 1])), [1]);
}

/** The vector that CLIP compares with pictures, not normalized: `[B, width]` → `[B, projection]`. */
export function projectText(
  config: ClipTextConfig,
  params: ParameterTree | Parameters,
  pooled: Tensor,
): Tensor {
  const p = Parameters.of(params, "clip").at("text_projection");
  return linearLayer(p, pooled, config.projection, { bias: false });
}

/** Names and PyTorch shapes of a text encoder's parameters, with its projection where it has one of its own. */
export function clipTextSpecs(config: ClipTextConfig): ParameterSpecs {
  return declare("text_encoder", (p) => {
    const { pooled } = clipText(config, p, input({ shape: [1, 1], dtype: "u32" }, 0));
    if (config.projects) projectText(config, p, pooled);
  });
}
