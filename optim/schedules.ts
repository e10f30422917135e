/**
 * Schedules: how a number, mostly a learning rate, runs over the steps. They are plain data, so that a run's settings can be
 * written down, compared and read again; what they give is computed on the host for a number of steps, and within a program for
 * a tensor of them, by the same formulas. Names and formulas are optax's.
 */
import { Tensor } from "../tensor/tensor.ts";
import { expectNumber, expectOptions } from "../tensor/arguments.ts";
import { calledAs } from "../tensor/called.ts";
import { what } from "../tensor/what.ts";
import { cast } from "../ops/elementwise/cast.ts";
import { greaterEqual, where } from "../ops/elementwise/compare.ts";
import * as ops from "../ops/elementwise/arithmetic.ts";
import type { Operand } from "../ops/elementwise/map.ts";
import { cos } from "../ops/elementwise/trigonometry.ts";

/** One number throughout. */
export interface ConstantSchedule {
  /** Which schedule it is. */
  readonly kind: "constant";
  /** The number. */
  readonly value: number;
}

/** From one number to another within some steps, along a straight line or half a cosine; that one from there on. */
export interface RampSchedule {
  /** Which schedule it is. */
  readonly kind: "linear" | "cosine";
  /** The number at step 0. */
  readonly from: number;
  /** The number from step `steps` on. */
  readonly to: number;
  /** How many steps it takes. */
  readonly steps: number;
}

/** `from`·`factor`^(step / `steps`), or by whole powers only; no further than `to`. */
export interface ExponentialSchedule {
  /** Which schedule it is. */
  readonly kind: "exponential";
  /** The number at step 0. */
  readonly from: number;
  /** What it is multiplied by every `steps` steps. */
  readonly factor: number;
  /** See {@linkcode ExponentialSchedule.factor}. */
  readonly steps: number;
  /** All at once, every `steps` steps. Default false: a share at every step. */
  readonly staircase?: boolean;
  /** The number that is not passed. Default none. */
  readonly to?: number;
}

/** Several, one after the other: the next begins at each boundary, and counts its steps from there. */
export interface JoinedSchedule {
  /** Which schedule it is. */
  readonly kind: "join";
  /** One more than boundaries. */
  readonly schedules: readonly Schedule[];
  /** At which step each but the first begins. */
  readonly boundaries: readonly number[];
}

/** The product of several, all from the first step on. */
export interface ProductSchedule {
  /** Which schedule it is. */
  readonly kind: "product";
  /** Of none it is 1. */
  readonly schedules: readonly Schedule[];
}

/** How a number runs over the steps: plain data. */
export type Schedule =
  | ConstantSchedule
  | RampSchedule
  | ExponentialSchedule
  | JoinedSchedule
  | ProductSchedule;

/** One number throughout. */
export const constantSchedule = (value: number): Schedule =>
  checked("constantSchedule", { kind: "constant", value });

/** A straight line from `from` to `to` in `steps` steps. */
export const linearSchedule = (from: number, to: number, steps: number): Schedule =>
  checked("linearSchedule", { kind: "linear", from, to, steps });

/** Half a cosine from `from` to `to` (default 0) in `steps` steps. */
export const cosineSchedule = (from: number, steps: number, to = 0): Schedule =>
  checked("cosineSchedule", { kind: "cosine", from, to, steps });

/**
 * `from`·`factor`^(step / `steps`).
 *
 * @param options `staircase`: by whole powers, at every `steps` steps; `to`: the number that is not passed
 */
export const exponentialSchedule = (
  from: number,
  steps: number,
  factor: number,
  options: { readonly staircase?: boolean; readonly to?: number } = {},
): Schedule => {
  expectOptions("exponentialSchedule", 3, options, { staircase: "true or false", to: "number" });
  return checked("exponentialSchedule", { kind: "exponential", from, factor, steps, ...options });
};

/** `value`, multiplied by a factor at each of some steps: `piecewiseSchedule(1, { 100: 0.5, 200: 0.1 })` ends at 0.05. */
export function piecewiseSchedule(
  value: number,
  factors: Readonly<Record<number, number>>,
): Schedule {
  if (factors === null || typeof factors !== "object") {
    throw new TypeError(
      `piecewiseSchedule: argument 2 (factors) is ${
        what(factors)
      }, not factors by step, { 100: 0.5 }`,
    );
  }
  for (const [step, factor] of Object.entries(factors)) {
    if (typeof factor === "number" && Number(step) >= 0) continue;
    throw new TypeError(
      `piecewiseSchedule: the factor at step "${step}" is ${what(factor)}, not a number at a step`,
    );
  }
  const at = Object.keys(factors).map(Number).sort((a, b) => a - b);
  let now = value;
  const values = [now, ...at.map((step) => now *= factors[step])];
  return calledAs("piecewiseSchedule", () => joinSchedules(values.map(constantSchedule), at));
}

/** Schedules one after the other: schedule i + 1 begins at step `boundaries[i]`, and counts its steps from there. */
export const joinSchedules = (
  schedules: readonly Schedule[],
  boundaries: readonly number[],
): Schedule => checked("joinSchedules", { kind: "join", schedules, boundaries });

/** The product of schedules, all from the first step on. */
export const productSchedule = (...schedules: readonly Schedule[]): Schedule =>
  checked("productSchedule", { kind: "product", schedules });

/** A straight line from 0 to `peak` in `steps` steps, then what follows (default `peak` throughout). */
export const warmUpSchedule = (peak: number, steps: number, then?: Schedule): Schedule =>
  calledAs(
    "warmUpSchedule",
    () => joinSchedules([linearSchedule(0, peak, steps), then ?? constantSchedule(peak)], [steps]),
  );

/** Numbers of {@linkcode oneCycleSchedule}. */
export interface OneCycleOptions {
  /** Share of the steps in which it rises. Default 0.3. */
  readonly rise?: number;
  /** The peak is so many times where it starts. Default 25. */
  readonly startDivisor?: number;
  /** The start is so many times where it ends. Default 1e4. */
  readonly endDivisor?: number;
}

/** One cycle (Smith & Topin 2018): half a cosine up to `peak`, and half a cosine down to nearly 0. */
export function oneCycleSchedule(
  steps: number,
  peak: number,
  options: OneCycleOptions = {},
): Schedule {
  const op = "oneCycleSchedule";
  expectNumber(op, 0, "steps", steps);
  expectNumber(op, 1, "peak", peak);
  expectOptions(op, 2, options, { rise: "number", startDivisor: "number", endDivisor: "number" });
  const { rise = 0.3, startDivisor = 25, endDivisor = 1e4 } = options;
  const up = Math.floor(rise * steps), start = peak / startDivisor;
  return calledAs(op, () =>
    joinSchedules(
      [cosineSchedule(start, up, peak), cosineSchedule(peak, steps - up, start / endDivisor)],
      [up],
    ));
}

/**
 * What a schedule gives at a step: a number for a number of finished steps, a scalar f32 for a scalar tensor of them.
 *
 * @throws TypeError when it is no schedule, RangeError when a number in it is out of its range
 */
export function valueAt(schedule: Schedule, step: number): number;
/** The same within a program. */
export function valueAt(schedule: Schedule, step: Tensor): Tensor;
export function valueAt(schedule: Schedule, step: number | Tensor): number | Tensor {
  checked("valueAt", schedule);
  if (step instanceof Tensor) {
    const value = evaluated(TRACED, schedule, cast(step, "f32"));
    // A number that depends on no step is one tensor all the same.
    return value instanceof Tensor ? value : ops.add(ops.mul(cast(step, "f32"), 0), value);
  }
  if (typeof step !== "number" || !(step >= 0)) {
    throw new RangeError(`valueAt: step ${what(step)} is no number of at least 0`);
  }
  return evaluated(HOST, schedule, step) as number;
}

/** What formulas are written with: on the host numbers, within a program tensors and numbers. */
interface Arithmetic<V> {
  readonly add: (a: V, b: V | number) => V;
  readonly mul: (a: V, b: V | number) => V;
  readonly min: (a: V, b: number) => V;
  readonly max: (a: V, b: number) => V;
  readonly cos: (a: V) => V;
  readonly exp: (a: V) => V;
  readonly floor: (a: V) => V;
  /** `yes` from step `at` on. */
  readonly from: (step: V, at: number, yes: V | number, no: V | number) => V;
}

const HOST: Arithmetic<number> = {
  add: (a, b) => a + b,
  mul: (a, b) => a * b,
  min: Math.min,
  max: Math.max,
  cos: Math.cos,
  exp: Math.exp,
  floor: Math.floor,
  from: (step, at, yes, no) => step >= at ? yes : no,
};

const TRACED: Arithmetic<Tensor> = {
  add: ops.add,
  mul: ops.mul,
  min: ops.minimum,
  max: ops.maximum,
  cos,
  exp: ops.exp,
  floor: ops.floor,
  from: (step, at, yes, no) => where(greaterEqual(step, at), yes as Operand, no as Operand),
};

function evaluated<V>(m: Arithmetic<V>, schedule: Schedule, step: V): V | number {
  const { add, mul } = m;
  switch (schedule.kind) {
    case "constant":
      return schedule.value;
    case "linear":
    case "cosine": {
      const { from, to, steps, kind } = schedule;
      if (steps === 0) return to;
      const done = m.min(mul(step, 1 / steps), 1);
      if (kind === "linear") return add(mul(done, to - from), from);
      return add(mul(add(m.cos(mul(done, Math.PI)), 1), (from - to) / 2), to);
    }
    case "exponential": {
      const { from, factor, steps, staircase, to } = schedule;
      const turns = mul(step, 1 / steps);
      const value = mul(m.exp(mul(staircase ? m.floor(turns) : turns, Math.log(factor))), from);
      const falls = (factor < 1) === (from > 0);
      return to === undefined ? value : falls ? m.max(value, to) : m.min(value, to);
    }
    case "join": {
      const { schedules, boundaries } = schedule;
      return boundaries.reduce<V | number>((before, at, i) => {
        // Counted from the boundary on; before that, a step that every schedule has.
        const own = m.max(add(step, -at), 0);
        return m.from(step, at, evaluated(m, schedules[i + 1], own), before);
      }, evaluated(m, schedules[0], step));
    }
    case "product":
      return schedule.schedules.reduce<V | number>((product, one) => {
        const value = evaluated(m, one, step);
        if (typeof product === "number") {
          return typeof value === "number" ? value * product : mul(value, product);
        }
        return mul(product, value);
      }, 1);
  }
}

const KINDS = ["constant", "linear", "cosine", "exponential", "join", "product"];

/** Whether a value says that it is a schedule. */
export const isSchedule = (x: unknown): x is Schedule =>
  x !== null && typeof x === "object" && KINDS.includes((x as Schedule).kind);

/** Refuses what is no schedule, as data from elsewhere may be. */
function checked(op: string, schedule: Schedule): Schedule {
  if (!isSchedule(schedule)) {
    const kind = (schedule as { kind?: unknown } | undefined)?.kind;
    throw new TypeError(
      `${op}: a schedule is ${what(kind === undefined ? schedule : kind)}, not one of ${
        KINDS.join(", ")
      }`,
    );
  }
  const who = `${op}: schedule "${schedule.kind}"`, each = (one: Schedule) => checked(op, one);
  const number = (
    name: string,
    value: unknown,
    fits: (x: number) => boolean,
    range: string,
  ) => {
    if (typeof value !== "number") throw new TypeError(`${who}: ${name} is ${what(value)}`);
    if (!fits(value)) throw new RangeError(`${who}: ${name} is ${value}, not ${range}`);
  };
  const finite = (name: string, value: number) =>
    number(name, value, (x) => Number.isFinite(Math.fround(x)), "a finite f32");
  switch (schedule.kind) {
    case "constant":
      finite("value", schedule.value);
      break;
    case "linear":
    case "cosine":
      finite("from", schedule.from);
      finite("to", schedule.to);
      number("steps", schedule.steps, (x) => x >= 0, "a number of at least 0");
      break;
    case "exponential":
      finite("from", schedule.from);
      number("steps", schedule.steps, (x) => x > 0, "a number above 0");
      number("factor", schedule.factor, (x) => x > 0, "a number above 0");
      if (schedule.to !== undefined) finite("to", schedule.to);
      break;
    case "join": {
      const { schedules, boundaries } = schedule;
      listed(who, "schedules", schedules).forEach(each);
      listed(who, "boundaries", boundaries);
      if (schedules.length !== boundaries.length + 1) {
        throw new RangeError(
          `${who}: ${schedules.length} schedules, and ${boundaries.length} boundaries between them`,
        );
      }
      boundaries.forEach((at, i) =>
        number(
          `boundary ${i}`,
          at,
          (x) => x >= (boundaries[i - 1] ?? 0),
          "a step, none before the last",
        )
      );
      break;
    }
    case "product":
      listed(who, "schedules", schedule.schedules).forEach(each);
  }
  return schedule;
}

function listed<T>(who: string, name: string, list: readonly T[]): readonly T[] {
  if (Array.isArray(list)) return list;
  throw new TypeError(`${who}: ${name} is ${what(list)}, not a list`);
}
