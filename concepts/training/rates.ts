/**
 * How the learning rate runs over the steps. Names and values are those of diffusers' `get_scheduler`, so that a rate
 * that is known from there does the same here; what a step is given is data, so no schedule compiles anything anew. The
 * formulas are those of `optim/schedules.ts`.
 */
import { calledAs } from "../../tensor/called.ts";
import { expectKinds, NUMBER, RECORD } from "../../tensor/kinds.ts";
import {
  constantSchedule,
  cosineSchedule,
  linearSchedule,
  type Schedule,
  valueAt,
  warmUpSchedule,
} from "../../optim/schedules.ts";

/** A schedule by its name in diffusers. */
export type RateSchedule = "constant" | "constant_with_warmup" | "linear" | "cosine";

/** All of them. */
export const RATE_SCHEDULES: readonly RateSchedule[] = [
  "constant",
  "constant_with_warmup",
  "linear",
  "cosine",
];

/** A schedule and its numbers. */
export interface RateOptions {
  /** Default "constant", or "constant_with_warmup" where there is a warm-up. */
  readonly schedule?: RateSchedule;
  /** Steps in which the rate rises from 0, by equal amounts. Default 0. */
  readonly warmUp?: number;
}

/** The schedule that options name. @throws RangeError where they do not go together */
export function scheduleOf(options: RateOptions): RateSchedule {
  expectKinds("scheduleOf", { options: [options, RECORD] });
  const { schedule, warmUp = 0 } = options;
  if (!Number.isInteger(warmUp) || warmUp < 0) {
    throw new RangeError(
      `scheduleOf: a warm-up of ${warmUp} steps: it must be a whole number, 0 or more`,
    );
  }
  if (schedule === "constant" && warmUp) {
    throw new RangeError(
      `scheduleOf: the schedule "constant" has no warm-up, and one of ${warmUp} steps is asked for: ` +
        `take "constant_with_warmup"`,
    );
  }
  return schedule ?? (warmUp ? "constant_with_warmup" : "constant");
}

/** Whether a schedule runs differently when a run is made longer. */
export const endsInTime = (schedule: RateSchedule): boolean =>
  schedule === "linear" || schedule === "cosine";

/**
 * What the rate is multiplied by: 1 throughout; or, once it has risen, 1 from there on, a straight line or half a cosine down
 * to 0. As in diffusers, a warm-up's first step has the factor 0.
 *
 * @param steps of the whole run
 */
export function factorSchedule(options: RateOptions, steps: number): Schedule {
  const schedule = scheduleOf(options), { warmUp = 0 } = options;
  const left = Math.max(0, steps - warmUp);
  const then = schedule === "linear"
    ? linearSchedule(1, 0, left)
    : schedule === "cosine"
    ? cosineSchedule(1, left)
    : constantSchedule(1);
  return warmUp ? warmUpSchedule(1, warmUp, then) : then;
}

/**
 * The factor of one step: see {@linkcode factorSchedule}.
 *
 * @param done finished steps
 * @param steps of the whole run
 */
export function rateFactor(options: RateOptions, done: number, steps: number): number {
  expectKinds("rateFactor", {
    options: [options, RECORD],
    done: [done, NUMBER],
    steps: [steps, NUMBER],
  });
  return calledAs("rateFactor", () => valueAt(factorSchedule(options, steps), done));
}
