/**
 * DPM-Solver++ 2M: a second-order multistep solver that works with guesses of the clean sample, on the training's own
 * noise levels or on those of Karras et al.
 * Source: Lu et al. 2022 (DPM-Solver++), algorithm 2 and eq. 13; the variant "heun" is that of diffusers.
 */
import type { NoiseSchedule } from "./schedule.ts";
import {
  readings,
  type SamplingStep,
  type Trajectory,
  type TrajectoryRequest,
} from "./trajectory.ts";
import { finalSigma, karrasSigmas, sigmaAt, sigmaTable, timestepAt } from "./sigmas.ts";
import { checkSteps, roundEven, spread } from "./timesteps.ts";

/** Walks shorter than this may end with a step of first order. */
const SHORT = 15;

/** @throws RangeError for a number of steps that makes no sense */
export function dpm2m(schedule: NoiseSchedule, request: TrajectoryRequest): Trajectory {
  return walk(schedule, request, schedule.sampling.karras);
}

/** @throws RangeError for a number of steps that makes no sense */
export function dpm2mKarras(schedule: NoiseSchedule, request: TrajectoryRequest): Trajectory {
  return walk(schedule, request, true);
}

function walk(
  schedule: NoiseSchedule,
  { steps: count, skip }: TrajectoryRequest,
  karras: boolean,
): Trajectory {
  const { at, sigmas } = levels(schedule, count, karras);
  const { solver, lowerOrderFinal, eulerAtFinal, finalSigma: end } = schedule.sampling;
  const simpleEnd = eulerAtFinal || (lowerOrderFinal && count < SHORT) || end === "zero";
  const steps = at.slice(skip).map((timestep, k): SamplingStep => {
    const i = k + skip;
    const now = level(sigmas[i]), next = level(sigmas[i + 1]);
    const { clean } = readings(schedule.prediction, now.signal, now.noise);
    const h = next.logSnr - now.logSnr;
    const first = -next.signal * Math.expm1(-h);
    // The slope is estimated from the guess of the step before.
    let slope = 0;
    if (k > 0 && !(i === count - 1 && simpleEnd)) {
      const ratio = (now.logSnr - level(sigmas[i - 1]).logSnr) / h;
      const second = solver === "midpoint" ? first / 2 : next.signal - first / h;
      slope = second / ratio;
    }
    return {
      timestep,
      input: 1,
      x: next.noise / now.noise + (first + slope) * clean.x,
      model: (first + slope) * clean.model,
      noise: 0,
      history: slope ? [-slope] : [],
      remember: clean,
      clean,
    };
  });
  return { noise: 1, picture: level(sigmas[skip]), steps };
}

/** Timesteps, and noise levels with one more at the end. */
function levels(schedule: NoiseSchedule, count: number, karras: boolean) {
  checkSteps(schedule, count);
  const table = sigmaTable(schedule);
  const end = finalSigma(schedule, table);
  if (karras) {
    const sigmas = karrasSigmas(table[table.length - 1], table[0], count);
    return { at: sigmas.map((s) => roundEven(timestepAt(table, s))), sigmas: [...sigmas, end] };
  }
  const spacing = schedule.sampling.spacing ?? "linspace";
  const at = spacing === "trailing"
    ? spread(schedule, count, spacing)
    : spread(schedule, count + 1, spacing).slice(0, -1);
  return { at, sigmas: [...at.map((t) => sigmaAt(table, t)), end] };
}

/** Signal and noise of a sample of unit variance, and λ, half the logarithm of their squares' ratio. */
function level(sigma: number) {
  const signal = 1 / Math.hypot(sigma, 1);
  return { signal, noise: sigma * signal, logSnr: -Math.log(sigma) };
}
