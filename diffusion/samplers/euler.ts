/**
 * Euler's method on the probability-flow ODE, and its ancestral form, which takes a longer step and puts fresh noise in.
 * Samples are x₀ + σε here: the model is shown them scaled to unit variance.
 * Source: Karras et al. 2022, algorithm 1; k-diffusion for the ancestral step.
 */
import type { NoiseSchedule } from "./schedule.ts";
import {
  readings,
  type SamplingStep,
  type Trajectory,
  type TrajectoryRequest,
} from "./trajectory.ts";
import { finalSigma, karrasSigmas, sigmaAt, sigmaTable, timestepAt } from "./sigmas.ts";
import { timesteps } from "./timesteps.ts";

/** @throws RangeError for a number of steps that makes no sense */
export function euler(schedule: NoiseSchedule, request: TrajectoryRequest): Trajectory {
  const table = sigmaTable(schedule);
  let at = timesteps(schedule, request.steps, "linspace", true);
  let sigmas = at.map((t) => sigmaAt(table, t));
  if (schedule.sampling.karras) {
    sigmas = karrasSigmas(sigmas[0], sigmas[sigmas.length - 1], request.steps);
    at = sigmas.map((sigma) => timestepAt(table, sigma));
  }
  return walk(schedule, request, at, [...sigmas, finalSigma(schedule, table)], (to) => [to, 0]);
}

/** @throws RangeError for a number of steps that makes no sense */
export function eulerAncestral(schedule: NoiseSchedule, request: TrajectoryRequest): Trajectory {
  const table = sigmaTable(schedule);
  const at = timesteps(schedule, request.steps, "linspace", true);
  const sigmas = [...at.map((t) => sigmaAt(table, t)), 0];
  return walk(schedule, request, at, sigmas, (to, from) => {
    const up = to * Math.sqrt(Math.max(0, 1 - (to / from) ** 2));
    return [to * to / from, up];
  });
}

/** @param split how far the ODE is followed between two noise levels, and how much fresh noise comes then */
function walk(
  schedule: NoiseSchedule,
  { skip }: TrajectoryRequest,
  at: readonly number[],
  sigmas: readonly number[],
  split: (to: number, from: number) => [down: number, up: number],
): Trajectory {
  const steps = at.map((timestep, i): SamplingStep => {
    const sigma = sigmas[i];
    const signal = 1 / Math.sqrt(sigma * sigma + 1);
    const { clean, epsilon } = readings(schedule.prediction, signal, sigma * signal);
    const [down, noise] = split(sigmas[i + 1], sigma);
    return {
      timestep,
      input: signal,
      x: 1 + (down - sigma) * epsilon.x * signal,
      model: (down - sigma) * epsilon.model,
      noise,
      history: [],
      clean: { x: clean.x * signal, model: clean.model },
    };
  });
  const most = Math.max(...sigmas);
  // As diffusers has it: with "leading" the first level is below that of pure noise.
  const full = (schedule.sampling.spacing ?? "linspace") === "leading" ? Math.hypot(most, 1) : most;
  return { noise: full, picture: { signal: 1, noise: sigmas[skip] }, steps: steps.slice(skip) };
}
