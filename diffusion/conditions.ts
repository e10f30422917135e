/**
 * Prompts as a denoiser takes them: the features of one text encoder, or of two side by side with what Stable Diffusion
 * XL adds to the time embedding.
 */
import type { Tensor } from "../tensor/tensor.ts";
import { type Shape, ShapeError, show } from "../tensor/shape.ts";
import { tensor } from "../ops/leaf.ts";
import { concat } from "../ops/concat.ts";
import { reshape, slice } from "../ops/movement.ts";
import { clipText, projectText } from "../models/clip/text.ts";
import type { ParameterTree } from "../models/params.ts";
import { type AddedConditions, SIZE_NUMBERS, type UNetConfig } from "../models/unet/unet.ts";
import type { PipelineConfig, PipelineParams } from "./pipeline.ts";

/** Text encoders by name. */
export type Encoders = { readonly [component: string]: ParameterTree };

/** The text encoders among a model's components. */
export const encodersOf = (params: PipelineParams): Encoders =>
  Object.fromEntries(Object.entries(params).filter(([part]) => part.startsWith("text_encoder")));

/** Extents of the token ids of so many prompts: `[prompts, T]`, or `[prompts, 2, T]` for two encoders. */
export function idsShape({ text_encoder, text_encoder_2 }: PipelineConfig, prompts: number): Shape {
  const length = Math.min(text_encoder.positions, text_encoder_2?.positions ?? Infinity);
  return [prompts, ...(text_encoder_2 ? [2] : []), length];
}

/** What prompts say. */
export interface PromptFeatures {
  /** At every position: `[B, T, contextWidth]`. */
  readonly context: Tensor;
  /** In one vector `[B, pooledWidth]`, of models with two text encoders. */
  readonly pooled?: Tensor;
}

/**
 * Features of prompts. One encoder gives what its final norm gives; two (Stable Diffusion XL, Podell et al. 2023, §2.1)
 * give their states before the last block, the first's features before the second's, and the second's projection.
 *
 * @param ids u32 `[B, T]`, or `[B, 2, T]` for two encoders, each with its own tokenizer's ids
 * @throws ShapeError when the ids are not of that shape
 */
export function promptFeatures(
  config: Pick<PipelineConfig, "text_encoder" | "text_encoder_2">,
  params: Encoders,
  ids: Tensor,
): PromptFeatures {
  const second = config.text_encoder_2;
  if (!second) return { context: clipText(config.text_encoder, params.text_encoder, ids).hidden };
  const [b, two, t] = ids.shape;
  if (ids.shape.length !== 3 || two !== 2) {
    throw new ShapeError("promptFeatures", `the tokens are ${show(ids.spec)}; expected u32[B,2,T]`);
  }
  const part = (i: number) => reshape(slice(ids, 1, i, i + 1), [b, t]);
  const one = clipText(config.text_encoder, params.text_encoder, part(0));
  const other = clipText(second, params.text_encoder_2, part(1));
  return {
    context: concat([one.penultimate, other.penultimate], 2),
    pooled: projectText(second, params.text_encoder_2, other.pooled),
  };
}

/** How a picture was cut out of a larger one, in pixels: what Stable Diffusion XL is told of it. */
export interface Cut {
  /** Height and width before. */
  readonly original: readonly [height: number, width: number];
  /** Where the cut began. */
  readonly topLeft: readonly [top: number, left: number];
  /** Height and width after. */
  readonly target: readonly [height: number, width: number];
}

/** What is added for prompts whose pictures were all cut alike; undefined for models that are told nothing. */
export function addedConditions(
  config: UNetConfig,
  { pooled }: PromptFeatures,
  { original, topLeft, target }: Cut,
): AddedConditions | undefined {
  if (!config.added || !pooled) return undefined;
  const numbers = [...original, ...topLeft, ...target];
  const [b] = pooled.shape;
  const rows = Float32Array.from(
    { length: b * SIZE_NUMBERS },
    (_, i) => numbers[i % SIZE_NUMBERS],
  );
  return { pooled, sizes: tensor(rows, [b, SIZE_NUMBERS]) };
}

/** A picture that is all there ever was of it. */
export const uncut = (height: number, width: number): Cut => ({
  original: [height, width],
  topLeft: [0, 0],
  target: [height, width],
});
