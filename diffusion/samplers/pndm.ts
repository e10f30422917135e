/**
 * PNDM with linear multistep steps alone (PLMS): DDIM's step, on a mean of the last four answers.
 * Source: Liu et al. 2022, eq. 9 and 12; without the Runge-Kutta start (`skip_prk_steps`), as Stable Diffusion is
 * sampled: the second timestep is asked for twice, to correct the first step by the trapezoid rule.
 */
import { type NoiseSchedule, noising } from "./schedule.ts";
import type { SamplingStep, Trajectory, TrajectoryRequest } from "./trajectory.ts";
import { alphaBarBefore, ddimStep } from "./ddim.ts";
import { timesteps } from "./timesteps.ts";

/** Adams-Bashforth: factors of the answers, newest first, by how many there are. */
const MEANS: readonly (readonly number[])[] = [
  [1],
  [3 / 2, -1 / 2],
  [23 / 12, -16 / 12, 5 / 12],
  [55 / 24, -59 / 24, 37 / 24, -9 / 24],
];

/**
 * A walk of n steps asks the model n + 1 times.
 *
 * @throws RangeError for a number of steps that makes no sense
 */
export function pndm(schedule: NoiseSchedule, { steps, skip }: TrajectoryRequest): Trajectory {
  const stride = Math.floor(schedule.trainSteps / steps);
  const list = timesteps(schedule, steps).slice(skip);
  const plain = (t: number) => ddimStep(schedule, t, alphaBarBefore(schedule, t - stride, false));
  // What is remembered are answers as they are.
  const remember = { x: 0, model: 1 };
  const multistep = list.map((t, i): SamplingStep => {
    const step = plain(t);
    const [now, ...before] = MEANS[Math.min(i, 3)];
    const history = before.map((factor) => factor * step.model);
    return { ...step, model: now * step.model, history, remember };
  });
  return {
    noise: 1,
    picture: noising(schedule, list[0]),
    steps: list.length < 2
      ? multistep
      : [multistep[0], trapezoid(schedule, multistep[0], list[1], stride), ...multistep.slice(1)],
  };
}

/**
 * The first step taken again with the mean of both ends' answers. The sample that it started from is not kept: it is
 * solved for from where the first step went, (x − model·answer) / factor of x.
 */
function trapezoid(
  schedule: NoiseSchedule,
  first: SamplingStep,
  timestep: number,
  stride: number,
): SamplingStep {
  const again = ddimStep(schedule, timestep + stride, schedule.alphaBars[timestep]);
  const ratio = again.x / first.x;
  return {
    ...again,
    timestep,
    x: ratio,
    model: again.model / 2,
    history: [again.model / 2 - ratio * first.model],
    clean: ddimStep(schedule, timestep, 1).clean,
  };
}
