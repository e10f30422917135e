/**
 * A walk from noise to a picture as a list of plain numbers: one sampling step is three of them.
 *
 * Why: with the coefficients as data, DDIM, DDPM (which is DDIM with η = 1), ε- and v-models are one kernel,
 * x' = x·`x` + model·`model` + z·`noise`, that is compiled once and replayed.
 * Source: Song et al. 2021 (DDIM), eq. 12 and 16; Salimans & Ho 2022, appendix D, for v.
 */
import type { NoiseSchedule } from "./schedule.ts";

/** One step: x' = `x`·x + `model`·(what the model answers) + `noise`·z with z of unit variance, float64. */
export interface SamplingStep {
  /** The timestep to ask the model at. */
  readonly timestep: number;
  /** Factor of the current sample. */
  readonly x: number;
  /** Factor of the model's answer, ε or v. */
  readonly model: number;
  /** σ, the factor of fresh noise; 0 when η = 0. */
  readonly noise: number;
  /** The model's guess of the clean sample: x₀ = `clean.x`·x + `clean.model`·(the model's answer). For previews. */
  readonly clean: { readonly x: number; readonly model: number };
  /** The model's guess of the noise: ε = `epsilon.x`·x + `epsilon.model`·(the model's answer). */
  readonly epsilon: { readonly x: number; readonly model: number };
}

/**
 * The timesteps of a walk of `steps` steps, from the noisiest on.
 *
 * @throws RangeError if the schedule has fewer timesteps than that
 */
export function timesteps(schedule: NoiseSchedule, steps: number): number[] {
  const { trainSteps: n, spacing, stepsOffset } = schedule;
  if (!Number.isSafeInteger(steps) || steps < 1 || steps > n) {
    throw new RangeError(`a walk of ${steps} steps: it must be a whole number from 1 to ${n}`);
  }
  const list = Array.from({ length: steps }, (_, i) => {
    if (spacing === "leading") return (steps - 1 - i) * Math.floor(n / steps) + stepsOffset;
    if (spacing === "linspace") {
      return roundEven((steps - 1 - i) * ((n - 1) / Math.max(1, steps - 1)));
    }
    // the stride as numpy's arange sees it, so that ties fall the same way
    const stride = n - (n - n / steps);
    return roundEven(n - i * stride) - 1;
  });
  if (list[0] >= n) {
    throw new RangeError(
      `a walk of ${steps} steps with steps_offset ${stepsOffset} starts at timestep ${
        list[0]
      } of ${n}: take fewer steps`,
    );
  }
  return list;
}

/**
 * The coefficients of a walk.
 *
 * @param options.steps number of steps
 * @param options.eta 0 for DDIM (no fresh noise), 1 for DDPM, or between
 * @throws RangeError for options that make no sense
 */
export function samplingSteps(
  schedule: NoiseSchedule,
  options: { steps: number; eta?: number },
): SamplingStep[] {
  const { steps, eta = 0 } = options;
  if (!(eta >= 0 && eta <= 1)) throw new RangeError(`eta is ${eta}: it must be from 0 to 1`);
  const stride = Math.floor(schedule.trainSteps / steps);
  return timesteps(schedule, steps).map((timestep) => {
    const before = timestep - stride;
    const a = schedule.alphaBars[timestep];
    const b = before >= 0 ? schedule.alphaBars[before] : schedule.finalAlphaBar;
    const signal = Math.sqrt(a), sd = Math.sqrt(1 - a);
    const clean = schedule.prediction === "epsilon"
      ? { x: 1 / signal, model: -sd / signal }
      : { x: signal, model: -sd };
    const epsilon = schedule.prediction === "epsilon"
      ? { x: 0, model: 1 }
      : { x: sd, model: signal };
    const noise = eta * Math.sqrt((1 - b) / (1 - a)) * Math.sqrt(Math.max(0, 1 - a / b));
    const direction = Math.sqrt(Math.max(0, 1 - b - noise * noise));
    return {
      timestep,
      x: Math.sqrt(b) * clean.x + direction * epsilon.x,
      model: Math.sqrt(b) * clean.model + direction * epsilon.model,
      noise,
      clean,
      epsilon,
    };
  });
}

/** Rounds to the nearest whole number, ties to even, as numpy does. */
function roundEven(x: number): number {
  const down = Math.floor(x), rest = x - down;
  if (rest !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
}
