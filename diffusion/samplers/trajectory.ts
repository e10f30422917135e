/**
 * A walk from noise to a picture as a list of plain numbers.
 *
 * Why: every sampler here is linear in the sample, the model's answer, fresh noise and a few things remembered from
 * steps before. With the factors as data, all of them are one kernel, which is compiled once and replayed:
 *
 *     x' = `x`·x + `model`·model(`input`·x, `timestep`) + `noise`·z + Σ `history`ᵢ·hᵢ
 */
import type { Prediction } from "./schedule.ts";

/** A reading of a step: `x`·(the sample) + `model`·(the model's answer). */
export interface Reading {
  readonly x: number;
  readonly model: number;
}

/** One step of a walk: factors, float64. */
export interface SamplingStep {
  /** The timestep to ask the model at: a whole number for most samplers. */
  readonly timestep: number;
  /** Factor of the sample as the model is shown it. */
  readonly input: number;
  /** Factor of the current sample. */
  readonly x: number;
  /** Factor of the model's answer: ε, v or x₀. */
  readonly model: number;
  /** Factor of fresh noise z of unit variance; 0 where there is none. */
  readonly noise: number;
  /** Factors of what was remembered, newest first. */
  readonly history: readonly number[];
  /** What to remember for later steps, if anything. */
  readonly remember?: Reading;
  /** The model's guess of the clean sample. For previews. */
  readonly clean: Reading;
}

/** A whole walk. */
export interface Trajectory {
  /** A walk from noise starts from this times noise of unit variance. */
  readonly noise: number;
  /** A walk from a picture starts from `signal`·(its clean sample) + `noise`·(noise of unit variance). */
  readonly picture: { readonly signal: number; readonly noise: number };
  /** Its steps; the model is asked once in each. */
  readonly steps: readonly SamplingStep[];
}

/** What a sampler is asked for. */
export interface TrajectoryRequest {
  /** Steps of the whole walk. */
  readonly steps: number;
  /** How many of them to leave out at the start, where a walk begins with a picture; below `steps`. */
  readonly skip: number;
  /** How much of the noise is fresh, from 0 to 1; only DDIM asks. */
  readonly eta: number;
}

/**
 * What an answer means for a sample x = `signal`·x₀ + `noise`·ε: the guesses of x₀ and of ε.
 * Salimans & Ho 2022, appendix D, for v.
 */
export function readings(
  prediction: Prediction,
  signal: number,
  noise: number,
): { clean: Reading; epsilon: Reading } {
  switch (prediction) {
    case "epsilon":
      return { clean: { x: 1 / signal, model: -noise / signal }, epsilon: { x: 0, model: 1 } };
    case "v_prediction":
      return { clean: { x: signal, model: -noise }, epsilon: { x: noise, model: signal } };
    case "sample":
      return { clean: { x: 0, model: 1 }, epsilon: { x: 1 / noise, model: -signal / noise } };
  }
}
