/**
 * The methods that the paper compares (§4.1, table 1), as presets of one trainer: what trains, how fast, and how long.
 * Rates and steps are the paper's for Stable Diffusion with batches of 8 (appendix C).
 */
import { INITIALIZERS, TRAINING, type TrainingDefaults } from "../defaults.ts";

/**
 * What trains, beside the rows of the new tokens: the cross-attention's keys and values, all of its parameters, the
 * whole UNet, or nothing.
 */
export type Trains = "kv" | "attention" | "unet" | "token";

/** All choices. */
export const TRAINS: readonly Trains[] = ["kv", "attention", "unet", "token"];

/** A method: Custom Diffusion, the same with the whole UNet, DreamBooth, or Textual Inversion. */
export type Method = "custom" | "custom-all" | "dreambooth" | "textual-inversion";

/** What a method is beside its numbers. */
export interface MethodChoices {
  /** What trains beside the rows of new tokens. */
  readonly trains: Trains;
  /** New tokens keep the rows that they start from: they are other names of rare words. */
  readonly freezeTokens: boolean;
  /** Keys and values get no gradient from the start token. */
  readonly cutStartToken: boolean;
  /** Regularization pictures that are generated for a class without any; 0: batches are of targets alone. */
  readonly priorImages: number;
}

/** A method's choices and numbers for Stable Diffusion. */
export interface MethodPreset extends MethodChoices {
  /** AdamW's rate as applied. */
  readonly rate: number;
  /** Optimizer steps for each concept. */
  readonly steps: number;
}

/** All methods. */
export const METHODS: Readonly<Record<Method, MethodPreset>> = {
  custom: {
    ...{ trains: "kv", freezeTokens: false, cutStartToken: true, priorImages: 200 },
    ...{ rate: TRAINING.rate, steps: TRAINING.steps },
  },
  "custom-all": {
    ...{ trains: "unet", freezeTokens: false, cutStartToken: true, priorImages: 200 },
    ...{ rate: 8e-6, steps: 500 },
  },
  dreambooth: {
    ...{ trains: "unet", freezeTokens: true, cutStartToken: false, priorImages: 200 },
    ...{ rate: 1e-6, steps: 2500 },
  },
  "textual-inversion": {
    ...{ trains: "token", freezeTokens: false, cutStartToken: false, priorImages: 0 },
    ...{ rate: 0.04, steps: 5000 },
  },
};

/** Their names. */
export const METHOD_NAMES = Object.keys(METHODS) as readonly Method[];

/**
 * A method's numbers for a model that has its own.
 *
 * @param training the model's numbers for Custom Diffusion
 * @param own what the model says of this method
 */
export function methodDefaults(
  method: Method,
  training: TrainingDefaults,
  own: Partial<TrainingDefaults> = {},
): TrainingDefaults {
  if (method === "custom") return { ...training, ...own };
  const { rate, steps, trains } = METHODS[method];
  // Weights of a smaller model take larger steps, and so do they here by as much; rows of a token table do not.
  const faster = trains === "token" ? 1 : training.rate / TRAINING.rate;
  const longer = training.steps / TRAINING.steps;
  const scaled = { rate: rate * faster, steps: Math.max(1, Math.round(steps * longer)) };
  return { ...training, ...scaled, ...own };
}

/**
 * The vocabulary entry that a method's new tokens start from, in order: rare words, but for Textual Inversion the last
 * word of the class (Gal et al. 2023, §4).
 *
 * @param known whether the vocabulary has an entry
 */
export function initializerOf(
  method: Method,
  className: string,
  order: number,
  known: (entry: string) => boolean,
): string {
  const word = `${className.trim().split(/\s+/).at(-1)!.toLowerCase()}</w>`;
  return method === "textual-inversion" && known(word) ? word : INITIALIZERS[order] ?? "";
}
