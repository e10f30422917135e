/**
 * Deltas: everything that fine-tuning changed, and nothing else. This is the one form in which the library holds them;
 * `concepts/deltas/formats/` reads it from and writes it to files, our own and those of others.
 */
import { expectKinds, having, type Kind, TEXT } from "../../tensor/kinds.ts";
import { PATH } from "../../files/given.ts";
import { FileError } from "../../files/errors.ts";

/** A new token V* and what it was taught as. */
export interface DeltaToken {
  /** As written in prompts, `<new1>`. */
  readonly token: string;
  /** The class word(s) it specialises, "gate"; empty for a style or a token without class. */
  readonly className: string;
  /** Vocabulary entry whose row it started from. */
  readonly initializer: string;
}

/**
 * What became of one parameter, in one of four forms. All numbers are row-major and in the layout of checkpoints: a
 * linear layer is `[out, in]`, a convolution `[out, in, height, width]`.
 */
export type DeltaWeight = TrainedWeight | WeightChange | FactoredChange | ScaledChange;

/** The trained values themselves, W. */
export interface TrainedWeight {
  /** Extents. */
  readonly shape: readonly number[];
  /** W. */
  readonly data: Float32Array;
}

/** What was added to the base model's values: W − W0. */
export interface WeightChange {
  /** Extents. */
  readonly shape: readonly number[];
  /** W − W0. */
  readonly change: Float32Array;
}

/** A change of low rank: W − W0 = u v. */
export interface FactoredChange {
  /** Extents of the product, `[out, in]`, or `[out, in, height, width]` of a convolution. */
  readonly shape: readonly number[];
  /** How many columns of u and rows of v there are; 0 for no change at all. */
  readonly rank: number;
  /** `[out, rank]`. */
  readonly u: Float32Array;
  /** `[rank, in]`, or `[rank, in · height · width]`. */
  readonly v: Float32Array;
}

/**
 * A change of direction with lengths of its own (DoRA): W = m · V / ‖V‖ with V = W0 + ΔV, where every output (or every
 * input) of the layer has one length m, and ‖V‖ is taken over all else.
 */
export interface ScaledChange {
  /** Extents. */
  readonly shape: readonly number[];
  /** ΔV. */
  readonly direction: WeightChange | FactoredChange;
  /** m. */
  readonly magnitude: Float32Array;
  /** What has a length each: 0 for the outputs, 1 for the inputs. */
  readonly axis: 0 | 1;
}

/** What fine-tuning changed. */
export interface Delta {
  /** Fingerprint of the base model (`files/models/fingerprint.ts`); empty where the file did not say. */
  readonly base: string;
  /** The new tokens, in the order of `embeddings`. */
  readonly tokens: readonly DeltaToken[];
  /** Embedding of each token, in the order of `tokens`: `[d]`. */
  readonly embeddings: readonly Float32Array[];
  /** The same in the second text encoder, of models that have two (SDXL). */
  readonly embeddings2?: readonly Float32Array[];
  /** What was trained by path, `unet.….attn2.to_k.weight`. */
  readonly weights: ReadonlyMap<string, DeltaWeight>;
  /** Hyper-parameters, captions, and how the file came to be (trained, merged, converted): for people and reports. */
  readonly notes: Readonly<Record<string, unknown>>;
}

/** A delta as an argument. */
export const DELTA: Kind = having(
  "a delta, as loadDelta gives it",
  "tokens",
  "embeddings",
  "weights",
  "notes",
);

/** What it changed of a weight, as an argument. */
export const WEIGHT: Kind = having("one of a delta's weights", "shape");

/** Name of the file inside an output folder. */
export const DELTA_FILE = "delta.safetensors";

/** What is said of a base model that a file does not name. */
const UNKNOWN = "";

/** Refuses a delta that was trained on another model. One that does not say on which (`base` is empty) passes. */
export function checkBase(path: string, delta: Delta, fingerprint: string): void {
  expectKinds("checkBase", {
    path: [path, PATH],
    delta: [delta, DELTA],
    fingerprint: [fingerprint, TEXT],
  });
  if (delta.base !== UNKNOWN && delta.base !== fingerprint) {
    throw new FileError(
      path,
      `was trained on another model (${short(delta.base)}, this one is ${short(fingerprint)})`,
      "Use it with the model that its notes name",
    );
  }
}

const short = (hash: string): string => hash.slice(0, 12);
