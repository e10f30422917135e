/**
 * The noise schedule, from a model folder's `scheduler_config.json`: how much noise a picture carries at each timestep.
 *
 * Why plain float64 numbers on the host: a schedule is a thousand numbers, computed once; what a training or sampling
 * step needs of it is two or three of them, which go to the device as data.
 * Source: Ho et al. 2020, eq. 4 (DDPM); Nichol & Dhariwal 2021, eq. 17 (cosine); the config is that of diffusers.
 */
import { FileError } from "../files/errors.ts";

/** What the model was trained to predict: the noise ε, or v = √ᾱ ε − √(1−ᾱ) x₀ (Salimans & Ho 2022). */
export type Prediction = "epsilon" | "v_prediction";

/** How a short walk is laid over the training timesteps (Lin et al. 2024, table 2, names them). */
export type Spacing = "leading" | "trailing" | "linspace";

/** The noise schedule of a model. */
export interface NoiseSchedule {
  /** Number of timesteps N in training; a timestep is an integer in [0, N). */
  readonly trainSteps: number;
  /** β, of length N: variance of the noise added at each timestep. */
  readonly betas: Float64Array;
  /** ᾱ, of length N: running product of 1 − β, the share of the picture's variance that is left. */
  readonly alphaBars: Float64Array;
  /** ᾱ that a walk ends on: 1 (no noise), or ᾱ₀ as Stable Diffusion was sampled with. */
  readonly finalAlphaBar: number;
  /** What the model answers. */
  readonly prediction: Prediction;
  /** How a short walk is laid over the timesteps. */
  readonly spacing: Spacing;
  /** Added to every timestep of a "leading" walk; 1 for Stable Diffusion. */
  readonly stepsOffset: number;
}

/**
 * Builds the schedule that a `scheduler_config.json` describes.
 *
 * @param config the parsed file
 * @param file its path, for messages
 * @throws FileError naming the entry that is missing, wrong, or asks for what isn't supported
 */
export function noiseSchedule(config: unknown, file = "scheduler_config.json"): NoiseSchedule {
  const c = (typeof config === "object" && config !== null ? config : {}) as Record<
    string,
    unknown
  >;
  const fail = (fault: string, advice?: string): never => {
    throw new FileError(file, fault, advice);
  };
  const oneOf = <T extends string>(key: string, known: readonly T[], missing?: T): T => {
    const value = c[key] ?? missing;
    return known.find((k) => k === value) ??
      fail(`its ${key} is ${show(value)}`, `Supported are ${known.join(", ")}`);
  };
  const count = (key: string, least: number, missing?: number): number => {
    const value = c[key] ?? missing;
    if (
      typeof value === "number" && Number.isSafeInteger(value) && value >= least && value <= 1e6
    ) {
      return value;
    }
    return fail(`its ${key} is ${show(value)}, not a whole number from ${least} to 1000000`);
  };

  const kind = typeof c._class_name === "string" ? c._class_name : "";
  if (/Flow|EDM|LCM|TCD/.test(kind)) {
    fail(
      `describes a ${kind}, whose noise is of another kind`,
      "Supported are models trained with DDPM noise",
    );
  }
  for (const key of ["clip_sample", "thresholding", "rescale_betas_zero_snr"]) {
    if (c[key] === true) {
      fail(`asks for ${key}, which is not supported`, "It is for models that work on pixels");
    }
  }
  const trainSteps = count("num_train_timesteps", 1);
  const betas = betasOf(c, trainSteps, oneOf, fail);
  const alphaBars = new Float64Array(trainSteps);
  betas.reduce((product, beta, t) => alphaBars[t] = product * (1 - beta), 1);
  // diffusers' own default differs between the schedulers that a folder may name
  const toOne = c.set_alpha_to_one ?? !kind.startsWith("PNDM");
  if (typeof toOne !== "boolean") {
    return fail(`its set_alpha_to_one is ${show(toOne)}, not true or false`);
  }
  return {
    trainSteps,
    betas,
    alphaBars,
    finalAlphaBar: toOne ? 1 : alphaBars[0],
    prediction: oneOf("prediction_type", ["epsilon", "v_prediction"], "epsilon"),
    spacing: oneOf("timestep_spacing", ["leading", "trailing", "linspace"], "leading"),
    stepsOffset: count("steps_offset", 0, 0),
  };
}

function betasOf(
  c: Record<string, unknown>,
  n: number,
  oneOf: <T extends string>(key: string, known: readonly T[]) => T,
  fail: (fault: string, advice?: string) => never,
): Float64Array {
  const isBeta = (b: unknown): b is number => typeof b === "number" && b > 0 && b < 1;
  if (Array.isArray(c.trained_betas)) {
    if (c.trained_betas.length === n && c.trained_betas.every(isBeta)) {
      return Float64Array.from(c.trained_betas);
    }
    return fail(`its trained_betas are not ${n} numbers between 0 and 1`);
  }
  const kind = oneOf("beta_schedule", ["scaled_linear", "linear", "squaredcos_cap_v2"]);
  if (kind === "squaredcos_cap_v2") {
    const bar = (t: number) => Math.cos((t + 0.008) / 1.008 * Math.PI / 2) ** 2;
    return Float64Array.from(
      { length: n },
      (_, i) => Math.min(1 - bar((i + 1) / n) / bar(i / n), 0.999),
    );
  }
  const { beta_start: first, beta_end: last } = c;
  if (!isBeta(first)) return fail(`its beta_start is ${show(first)}, not a number between 0 and 1`);
  if (!isBeta(last)) return fail(`its beta_end is ${show(last)}, not a number between 0 and 1`);
  const line = (a: number, b: number, i: number) => n === 1 ? a : a + (b - a) * i / (n - 1);
  return kind === "linear"
    ? Float64Array.from({ length: n }, (_, i) => line(first, last, i))
    : Float64Array.from({ length: n }, (_, i) => line(Math.sqrt(first), Math.sqrt(last), i) ** 2);
}

const show = (value: unknown): string => value === undefined ? "missing" : JSON.stringify(value);

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
 * What the model should answer at timestep `t`: `clean`·x₀ + `noise`·ε. Always ε itself for epsilon models.
 *
 * @throws RangeError if `t` is no timestep of the schedule
 */
export function target(schedule: NoiseSchedule, t: number): { clean: number; noise: number } {
  const { signal, noise } = noising(schedule, t);
  return schedule.prediction === "epsilon"
    ? { clean: 0, noise: 1 }
    : { clean: -noise, noise: signal };
}
