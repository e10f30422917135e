/**
 * The noise schedule, from a model folder's `scheduler_config.json`: how much noise a picture carries at each timestep.
 *
 * Why plain float64 numbers on the host: a schedule is a thousand numbers, computed once; what a training or sampling
 * step needs of it is two or three of them, which go to the device as data.
 * Source: Ho et al. 2020, eq. 4 (DDPM); Nichol & Dhariwal 2021, eq. 17 (cosine); the config is that of diffusers.
 */
import { ConfigReader } from "../../models/config.ts";
import { alphaBarsOf, betasOf } from "./betas.ts";
import { type SamplingConfig, samplingConfig } from "./config.ts";

/**
 * What the model was trained to predict: the noise ε, v = √ᾱ ε − √(1−ᾱ) x₀ (Salimans & Ho 2022), or x₀ itself, which
 * the files call "sample".
 */
export type Prediction = "epsilon" | "v_prediction" | "sample";

/** The noise schedule of a model. */
export interface NoiseSchedule {
  /** Number of timesteps N in training; a timestep is an integer in [0, N). */
  readonly trainSteps: number;
  /** β, of length N: variance of the noise added at each timestep. */
  readonly betas: Float64Array;
  /** ᾱ, of length N: running product of 1 − β, the share of the picture's variance that is left. */
  readonly alphaBars: Float64Array;
  /** What the model answers. */
  readonly prediction: Prediction;
  /** How pictures are sampled unless someone asks for something else. */
  readonly sampling: SamplingConfig;
}

/**
 * Builds the schedule that a `scheduler_config.json` describes.
 *
 * @param config the parsed file
 * @param file its path, for messages
 * @throws FileError naming the entry that is missing, wrong, or asks for what isn't supported
 */
export function noiseSchedule(config: unknown, file = "scheduler_config.json"): NoiseSchedule {
  const c = new ConfigReader(config, file);
  const sampling = samplingConfig(c);
  const trainSteps = c.count("num_train_timesteps");
  c.demand(trainSteps <= 1e6, `its num_train_timesteps is ${trainSteps}, over a million`);
  const betas = betasOf(c, trainSteps);
  const alphaBars = alphaBarsOf(betas);
  const prediction = c.oneOf("prediction_type", ["epsilon", "v_prediction", "sample"], "epsilon");
  c.demand(
    alphaBars[trainSteps - 1] > 0 || prediction !== "epsilon",
    "has rescale_betas_zero_snr with a prediction_type of epsilon: pure noise says nothing of the picture",
  );
  return { trainSteps, betas, alphaBars, prediction, sampling };
}

/**
 * How a noisy sample is made at timestep `t`: x_t = `signal`·x₀ + `noise`·ε.
 *
 * @throws RangeError if `t` is no timestep of the schedule
 */
export function noising(schedule: NoiseSchedule, t: number): { signal: number; noise: number } {
  const a = schedule.alphaBars[t];
  if (a === undefined) {
    throw new RangeError(`timestep ${t} is not a whole number in [0, ${schedule.trainSteps})`);
  }
  return { signal: Math.sqrt(a), noise: Math.sqrt(1 - a) };
}

/**
 * What the model should answer at timestep `t`: `clean`·x₀ + `noise`·ε.
 *
 * @throws RangeError if `t` is no timestep of the schedule
 */
export function target(schedule: NoiseSchedule, t: number): { clean: number; noise: number } {
  const { signal, noise } = noising(schedule, t);
  switch (schedule.prediction) {
    case "epsilon":
      return { clean: 0, noise: 1 };
    case "v_prediction":
      return { clean: -noise, noise: signal };
    case "sample":
      return { clean: 1, noise: 0 };
  }
}
