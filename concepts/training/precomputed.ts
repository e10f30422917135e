/**
 * What of a training run is known before its first step, and batches that make use of it: posteriors of pictures that
 * are always seen whole, and features of captions through which no new word trains.
 */
import type { Pipeline } from "../../diffusion/pipeline.ts";
import { tensor } from "../../ops/leaf.ts";
import { foldIn, keyFromSeed } from "../../ops/random.ts";
import {
  type BatchOptions,
  type CaptionedPicture,
  type Concept,
  type HostBatch,
  knownPictures,
  makeBatch,
} from "../data/batches.ts";
import {
  encodeCaptions,
  type FeatureSet,
  knownCaptions,
  knownFeatures,
} from "./caption_features.ts";
import { encodePictures, type LatentSet, latentsOf } from "./posteriors.ts";
import type { StepBatch } from "./step.ts";

/** What batches are made of. */
export interface TrainingData {
  /** What is taught. */
  readonly concepts: readonly Concept[];
  /** Pictures of the classes; may be none. */
  readonly regularization: readonly CaptionedPicture[];
  /** How a batch is made. */
  readonly options: BatchOptions;
  /** How many captions of a batch, from the first, are encoded in the step. */
  readonly encoded: number;
  /** Whether the model reads a caption to its new words. Default: every one. */
  readonly reads?: (caption: string) => boolean;
}

/** What is known before training. */
export interface Known {
  readonly latents: LatentSet;
  readonly features: FeatureSet;
}

/** Hears how many pictures or captions are encoded. */
export type Preparing = (what: "pictures" | "captions", done: number, total: number) => void;

/** Computes it. */
export async function knownBefore(
  pipeline: Pipeline,
  data: TrainingData,
  onPrepare?: Preparing,
): Promise<Known> {
  const { concepts, regularization, options, encoded } = data;
  const pictures = knownPictures(concepts, regularization, options);
  const captions = knownCaptions(concepts, regularization, encoded, options);
  return {
    latents: await encodePictures(
      pipeline,
      pictures,
      options.size,
      options.flip ?? true,
      (done, total) => onPrepare?.("pictures", done, total),
    ),
    features: await encodeCaptions(
      pipeline,
      captions,
      (done, total) => onPrepare?.("captions", done, total),
    ),
  };
}

/** The batches of a step, one after the other, each made when it is asked for. */
export function* stepBatches(
  pipeline: Pipeline,
  data: TrainingData,
  known: Known,
  step: number,
): Generator<StepBatch> {
  const { concepts, regularization, reads } = data;
  const options = { ...data.options, reads };
  for (let piece = 0; piece < (options.accumulate ?? 1); piece++) {
    const host = makeBatch(concepts, regularization, step, options, piece);
    yield stepBatch(pipeline, host, known, data, step);
  }
}

/** Makes the tensors of a host batch. */
function stepBatch(
  model: Pipeline,
  host: HostBatch,
  { latents, features }: Known,
  { options, encoded }: TrainingData,
  step: number,
): StepBatch {
  const { size, factor, batch, seed, accumulate = 1 } = options;
  const cells = size / factor;
  const own = host.captions.slice(0, encoded), others = host.captions.slice(encoded);
  const targets = batch - host.known.length;
  return {
    ...(targets && { pixels: tensor(host.pixels, [targets, size, size, 3]) }),
    ...(host.known.length ? latentsOf(latents, host.known) : {}),
    ...(own.length && { ids: model.tokenize(own) }),
    ...knownFeatures(model.config, features, others),
    mask: tensor(host.mask, [batch, cells, cells]),
    key: tensor(Uint32Array.from(foldIn(keyFromSeed(seed), step)), [2]),
    ...(accumulate > 1 && { rows: tensor(host.rows, [batch]) }),
  };
}
