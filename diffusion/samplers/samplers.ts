/** All samplers by name, and the one door to them: from options to the plain numbers of a walk. */
import type { NoiseSchedule } from "./schedule.ts";
import type { SamplerName } from "./names.ts";
import { ddim, ddpm } from "./ddim.ts";
import { dpm2m, dpm2mKarras } from "./dpm.ts";
import { euler, eulerAncestral } from "./euler.ts";
import { pndm } from "./pndm.ts";
import type { Trajectory, TrajectoryRequest } from "./trajectory.ts";

/** What a sampler is: the factors of a walk on a schedule. */
export type SamplingMethod = (schedule: NoiseSchedule, request: TrajectoryRequest) => Trajectory;

/** The samplers. */
export const SAMPLERS: Readonly<Record<SamplerName, SamplingMethod>> = {
  ddpm,
  ddim,
  pndm,
  euler,
  "euler-ancestral": eulerAncestral,
  "dpm++2m": dpm2m,
  "dpm++2m-karras": dpm2mKarras,
};

/** Names of the samplers. */
export const SAMPLER_NAMES = Object.keys(SAMPLERS) as readonly SamplerName[];

/** How a walk is chosen. */
export interface SamplerChoice {
  /** The sampler; the one that the model's `scheduler_config.json` names by default, or DDIM where `eta` is given. */
  readonly sampler?: SamplerName;
  /**
   * How much of DDIM's noise is fresh: 0 none, 1 as in DDPM. Default 0 where "ddim" is asked for; 1, the method's, where
   * it is merely the model's.
   */
  readonly eta?: number;
}

/** How a walk is laid out. */
export interface TrajectoryOptions extends SamplerChoice {
  /** Steps of a whole walk. */
  readonly steps: number;
  /** Where a walk begins with a picture: how much of it to go, from 0 to 1. Default: begin with noise. */
  readonly strength?: number;
}

/**
 * The sampler that options choose.
 *
 * @throws RangeError for an unknown one, or an η that makes no sense
 */
export function chosenSampler(
  schedule: NoiseSchedule,
  { sampler, eta }: SamplerChoice,
): { readonly sampler: SamplerName; readonly eta: number } {
  const name = sampler ?? (eta === undefined ? schedule.sampling.sampler : "ddim");
  if (!Object.hasOwn(SAMPLERS, name)) {
    throw new RangeError(`no sampler is called ${name}: there are ${SAMPLER_NAMES.join(", ")}`);
  }
  if (eta !== undefined && name !== "ddim") {
    throw new RangeError(`eta is ${eta}, with the sampler ${name}: only ddim takes one`);
  }
  const value = eta ?? (sampler === undefined ? 1 : 0);
  if (!(value >= 0 && value <= 1)) throw new RangeError(`eta is ${eta}: it must be from 0 to 1`);
  return { sampler: name, eta: value };
}

/**
 * The factors of a walk.
 *
 * @throws RangeError for options that make no sense
 */
export function trajectory(schedule: NoiseSchedule, options: TrajectoryOptions): Trajectory {
  const { sampler, eta } = chosenSampler(schedule, options);
  const { steps, strength } = options;
  if (strength !== undefined && !(strength > 0 && strength <= 1)) {
    throw new RangeError(`strength is ${strength}: it must be more than 0, at most 1`);
  }
  const taken = strength === undefined ? steps : Math.floor(steps * strength);
  if (strength !== undefined && taken < 1) {
    throw new RangeError(`strength ${strength} of ${steps} steps is less than one step`);
  }
  const walk = SAMPLERS[sampler](schedule, { steps, skip: steps - taken, eta });
  for (const { timestep, input, x, model, noise, history } of walk.steps) {
    if (![timestep, input, x, model, noise, ...history].every(Number.isFinite)) {
      throw new RangeError(
        `${sampler} cannot take ${steps} steps on this model's noise: two of them fall together at timestep ${timestep}. Take fewer`,
      );
    }
  }
  return walk;
}
