/**
 * Every default of the method, in one place (§3, §4.1 and appendix of the paper; where implementations differ,
 * `docs/design.md` says why this one was taken). A model folder may override some in `moongate.json`.
 */

import type { RateSchedule } from "./training/rates.ts";

/** Hyper-parameters of training one or several concepts. */
export interface TrainingDefaults {
  /** Optimizer steps for one concept; joint training of n takes n times as many. */
  readonly steps: number;
  /** AdamW's rate as it is applied: 1e-5 × batch for Stable Diffusion. */
  readonly rate: number;
  /** How the rate runs over the steps: evenly unless it is said. */
  readonly schedule?: RateSchedule;
  /** Pictures a step: half of them targets, half regularization. */
  readonly batch: number;
  /** Decoupled weight decay on the trained parameters. */
  readonly decay: number;
  /** Caption around "<new1> dog". */
  readonly template: string;
}

/** Values for Stable Diffusion. */
export const TRAINING: TrainingDefaults = {
  steps: 250,
  rate: 8e-5,
  batch: 8,
  decay: 0.01,
  template: "photo of a {}",
};

/**
 * Optimizer steps where none are asked for: so many for each concept, and half of that without regularization pictures,
 * after which the concept is learnt and the model drifts on (§4.2, "no regularization").
 */
export const defaultSteps = (each: number, concepts: number, regularized: boolean): number =>
  Math.ceil(each * concepts / (regularized ? 1 : 2));

/**
 * The rate of steps that see so many pictures: each picture has its share, as in the authors' runs (1e-5 for each), so
 * that twice as many allow twice the rate.
 */
export const scaledRate = (
  { rate, batch }: Pick<TrainingDefaults, "rate" | "batch">,
  pictures: number,
): number => rate / batch * pictures;

/** Vocabulary entries that V* tokens start from, in order: rare in captions, alphabetic, no part of another word. */
export const INITIALIZERS: readonly string[] = ["ktn", "pll", "ucd"];

/** Hyper-parameters of sampling. The sampler is the model's; where that is DDIM, with η = 1, which makes it DDPM. */
export const SAMPLING = { steps: 50, guidance: 6 } as const;

/** Ridge of the merge: none, as in the paper. */
export const MERGING = { ridge: 0 } as const;

/** Name of the optional file in a model folder that overrides these defaults for that model. */
export const OVERRIDES_FILE = "moongate.json";
