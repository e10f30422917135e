/**
 * DDPM (Ho et al. 2020, algorithm 2, on a walk that skips timesteps) and DDIM with η (Song et al. 2021, eq. 12 and 16).
 *
 * DDIM with η = 1 is DDPM too, but for how the walk ends and where strides are uneven: each follows its scheduler in
 * diffusers.
 */
import { type NoiseSchedule, noising } from "./schedule.ts";
import {
  readings,
  type SamplingStep,
  type Trajectory,
  type TrajectoryRequest,
} from "./trajectory.ts";
import { timesteps } from "./timesteps.ts";

/** @throws RangeError for a number of steps or an η that makes no sense */
export function ddim(schedule: NoiseSchedule, request: TrajectoryRequest): Trajectory {
  const { steps, skip, eta } = request;
  const stride = Math.floor(schedule.trainSteps / steps);
  const list = timesteps(schedule, steps).slice(skip);
  const before = (t: number) => alphaBarBefore(schedule, t - stride, true);
  return {
    noise: 1,
    picture: noising(schedule, list[0]),
    steps: list.map((t) => ddimStep(schedule, t, before(t), eta)),
  };
}

/** @throws RangeError for a number of steps that makes no sense */
export function ddpm(schedule: NoiseSchedule, request: TrajectoryRequest): Trajectory {
  const list = timesteps(schedule, request.steps).slice(request.skip);
  const steps = list.map((timestep, i): SamplingStep => {
    const a = schedule.alphaBars[timestep];
    const b = i + 1 < list.length ? schedule.alphaBars[list[i + 1]] : 1;
    const { clean } = readings(schedule.prediction, Math.sqrt(a), Math.sqrt(1 - a));
    const beta = 1 - a / b;
    const ofClean = Math.sqrt(b) * beta / (1 - a);
    const variance = schedule.sampling.variance === "fixed_large" ? beta : beta * (1 - b) / (1 - a);
    return {
      timestep,
      input: 1,
      x: Math.sqrt(a / b) * (1 - b) / (1 - a) + ofClean * clean.x,
      model: ofClean * clean.model,
      noise: timestep > 0 ? Math.sqrt(variance) : 0,
      history: [],
      clean,
    };
  });
  return { noise: 1, picture: noising(schedule, list[0]), steps };
}

/** The step of DDIM from timestep t to where ᾱ is `b`. */
export function ddimStep(
  schedule: NoiseSchedule,
  timestep: number,
  b: number,
  eta = 0,
): SamplingStep {
  const a = schedule.alphaBars[timestep];
  const { clean, epsilon } = readings(schedule.prediction, Math.sqrt(a), Math.sqrt(1 - a));
  const noise = eta * Math.sqrt((1 - b) / (1 - a)) * Math.sqrt(Math.max(0, 1 - a / b));
  const direction = Math.sqrt(Math.max(0, 1 - b - noise * noise));
  return {
    timestep,
    input: 1,
    x: Math.sqrt(b) * clean.x + direction * epsilon.x,
    model: Math.sqrt(b) * clean.model + direction * epsilon.model,
    noise,
    history: [],
    clean,
  };
}

/** ᾱ at a timestep, or what a walk ends on where that is before the first. */
export function alphaBarBefore(
  { alphaBars, sampling }: NoiseSchedule,
  timestep: number,
  toOne: boolean,
): number {
  if (timestep >= 0) return alphaBars[timestep];
  return sampling.setAlphaToOne ?? toOne ? 1 : alphaBars[0];
}
