/**
 * Features of captions through which no new word trains, computed once. The text encoder is frozen, so such a caption
 * says the same in every step: all of them where no word trains at all, else those of the regularization pictures.
 */
import { compile } from "../../compile/compile.ts";
import { type Encoders, encodersOf, idsShape, promptFeatures } from "../../diffusion/conditions.ts";
import type { PipelineConfig } from "../../diffusion/pipeline.ts";
import type { Pipeline } from "../../diffusion/pipeline.ts";
import { tensor } from "../../ops/leaf.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { BatchOptions, CaptionedPicture, Concept } from "../data/batches.ts";
import { captionsSeen } from "../data/captions.ts";

/** Features by caption, on the host. */
export type FeatureSet = ReadonlyMap<string, Features>;

interface Features {
  /** `[T, contextWidth]`. */
  readonly context: Float32Array;
  /** `[pooledWidth]`, of models with two text encoders. */
  readonly pooled?: Float32Array;
}

/** The features of some captions as tensors of a batch: `[B, T, contextWidth]` and `[B, pooledWidth]`. */
export type KnownFeatures = { readonly context?: Tensor; readonly pooled?: Tensor };

/**
 * How many captions of a batch, from the first, a step must encode itself, since a new word may train through them: all,
 * or those of the targets, or none. Captions of regularization pictures count where one of them has a new word.
 *
 * @param words new words that train
 * @param captions of the regularization pictures
 */
export function encodedCaptions(
  words: readonly string[],
  captions: readonly string[],
  batch: number,
  targets: number,
): number {
  if (!words.length) return 0;
  const lower = words.map((word) => word.toLowerCase());
  const has = (text: string) => lower.some((word) => text.toLowerCase().includes(word));
  return captions.some(has) ? batch : targets;
}

/** The captions that occur in batches beyond the first `encoded` of each, every one once. */
export function knownCaptions(
  concepts: readonly Concept[],
  regularization: readonly CaptionedPicture[],
  encoded: number,
  options: Pick<BatchOptions, "batch" | "template" | "augment">,
): string[] {
  if (encoded === options.batch) return [];
  return captionsSeen(encoded ? [] : concepts, regularization, options);
}

/** Ids to features, of every caption by itself. */
export const featuresOf = (config: PipelineConfig) => (encoders: Encoders, ids: Tensor) => {
  const { context, pooled } = promptFeatures(config, encoders, ids);
  return { context, ...(pooled && { pooled }) };
};

/** Encodes captions, one by one: what a caption gives does not depend on its company. */
export async function encodeCaptions(
  { device, config, params, tokenize }: Pipeline,
  captions: readonly string[],
  onCaption?: (done: number, total: number) => void,
): Promise<FeatureSet> {
  const encode = compile(device, featuresOf(config));
  const set = new Map<string, Features>();
  if (captions.length) onCaption?.(0, captions.length);
  for (const caption of captions) {
    const found = encode(encodersOf(params), tokenize([caption]));
    const read = async (t: Tensor) => await device.read(t) as Float32Array;
    const context = await read(found.context);
    set.set(caption, { context, ...(found.pooled && { pooled: await read(found.pooled) }) });
    onCaption?.(set.size, captions.length);
  }
  encode.free();
  return set;
}

/** The features of the captions of a batch that are known. */
export function knownFeatures(
  config: PipelineConfig,
  set: FeatureSet,
  captions: readonly string[],
): KnownFeatures {
  if (!captions.length) return {};
  const parts = captions.map((caption) => set.get(caption)!);
  const stack = (rows: readonly Float32Array[], ...shape: number[]) => {
    const data = new Float32Array(rows.length * rows[0].length);
    rows.forEach((row, i) => data.set(row, i * row.length));
    return tensor(data, [rows.length, ...shape, rows[0].length / shape.reduce((a, b) => a * b, 1)]);
  };
  const pooled = parts.flatMap((p) => p.pooled ?? []);
  return {
    context: stack(parts.map((p) => p.context), idsShape(config, 1).at(-1)!),
    ...(pooled.length && { pooled: stack(pooled) }),
  };
}
