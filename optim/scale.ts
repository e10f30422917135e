/** Transformations that rescale, cut and add: what optimizers are chained of, beside their averages. */
import type { Tensor } from "../tensor/tensor.ts";
import { flatten, mapTree, refill, type Tree, zipTrees } from "../tensor/tree.ts";
import { expectOptions } from "../tensor/arguments.ts";
import { calledAs } from "../tensor/called.ts";
import { add, clamp, div, mul, neg } from "../ops/elementwise/arithmetic.ts";
import type { Operand } from "../ops/elementwise/map.ts";
import { cast } from "../ops/elementwise/cast.ts";
import { zeros } from "../ops/create/create.ts";
import { scalar } from "../ops/leaf.ts";
import { average, clipByGlobalNorm as clipped, isDecay } from "../autograd/optimizer.ts";
import { expectRange, expectSize, rateOf } from "../autograd/named.ts";
import { isSchedule, type Schedule, valueAt } from "./schedules.ts";
import {
  chosen,
  type Leaves,
  type OptimizerState,
  type Transform,
  transform,
} from "./transform.ts";

/** A learning rate: a number; a scalar tensor, where the step is given one; or a schedule, which counts steps itself. */
export type Rate = Operand | Schedule;

/** Zeros for every parameter, in f32. */
export const zerosOf = (params: Tree<Tensor>): Tree<Tensor> =>
  mapTree<Tensor, Tensor>(params, (p) => zeros(p.shape));

/** The leaves of a tree by their numbers, in its order: what functions of tensors by name take. */
export const listed = (tree: Tree<Tensor>): Record<string, Tensor> =>
  Object.fromEntries(flatten<Tensor>(tree).map(([, t], i) => [i, t]));

/** No steps so far. */
export const noSteps = (): Tensor => scalar(0, "u32");

/** The number of a finite f32, or a scalar. */
function factorOf(name: string, factor: Operand): Operand {
  if (typeof factor !== "number") return rateOf(name, "argument 1 (factor)", factor);
  expectRange(
    name,
    "argument 1 (factor)",
    factor,
    (factor) => Number.isFinite(Math.fround(factor)),
    "a finite f32",
  );
  return factor;
}

/** Updates times a number: a finite one, or a scalar tensor. */
export function scale(factor: Operand): Transform {
  const by = factorOf("scale", factor);
  return transform({
    name: "scale",
    update: (grads, state) => [mapTree<Tensor, Tensor>(grads, (g) => mul(g, by)), state],
  });
}

/** Updates times what a schedule gives for the number of steps so far, which is its state. */
export function scaleBySchedule(schedule: Schedule): Transform {
  return bySchedule("scaleBySchedule", schedule);
}

function bySchedule(name: string, schedule: Schedule): Transform {
  calledAs(name, () => valueAt(schedule, 0));
  return transform({
    name,
    init: () => ({ count: noSteps() }),
    update(grads, state) {
      const { count } = state as { count: Tensor };
      const by = valueAt(schedule, count);
      return [mapTree<Tensor, Tensor>(grads, (g) => mul(g, by)), { count: add(count, 1) }];
    },
  });
}

/** The end of most chains: updates times minus the rate, so that they lead downhill. */
export function scaleByRate(rate: Rate): Transform {
  if (isSchedule(rate)) return downhill(bySchedule("scaleByRate", rate));
  const by = rateOf("scaleByRate", "argument 1 (rate)", rate);
  return transform({
    name: "scaleByRate",
    update: (grads, state) => [mapTree<Tensor, Tensor>(grads, (g) => neg(mul(g, by))), state],
  });
}

/** A transformation with its updates turned around. */
function downhill(scaled: Transform): Transform {
  return {
    init: scaled.init,
    update<P>(grads: P, state: OptimizerState, params?: P) {
      const [updates, next] = scaled.update(grads, state, params);
      return [mapTree<Tensor, Tensor>(updates as Tree<Tensor>, neg), next] as [P, OptimizerState];
    },
  };
}

/**
 * Every element of the updates, no further from 0 than `limit`.
 *
 * @throws RangeError when it is below 0 or NaN
 */
export function clip(limit: number): Transform {
  expectSize("clip", "argument 1 (limit)", limit, true);
  return transform({
    name: "clip",
    update: (
      grads,
      state,
    ) => [mapTree<Tensor, Tensor>(grads, (g) => clamp(g, -limit, limit)), state],
  });
}

/**
 * All updates by one factor, so that their global L2 norm is at most `maxNorm`.
 *
 * @throws RangeError when it is below 0 or NaN
 */
export function clipByGlobalNorm(maxNorm: number): Transform {
  expectSize("clipByGlobalNorm", "argument 1 (maxNorm)", maxNorm, true);
  return transform({
    name: "clipByGlobalNorm",
    update(grads, state) {
      const { grads: cut } = clipped(listed(grads), maxNorm);
      return [refill(grads, Object.values(cut)), state];
    },
  });
}

/**
 * Decoupled weight decay: `decay` times the parameters is added to updates. Put it before the rate.
 *
 * @param leaves which parameters decay; default all. Biases and norms are mostly left out:
 *   `(path, t) => t.shape.length > 1`
 */
export function addDecayedWeights(decay: number, leaves: Leaves = () => true): Transform {
  expectSize("addDecayedWeights", "argument 1 (decay)", decay);
  return transform({
    name: "addDecayedWeights",
    reads: true,
    update(grads, state, params) {
      const is = chosen("addDecayedWeights", leaves, params!);
      return [
        zipTrees<Tensor, Tensor>(
          ([g, p], path) => decay !== 0 && is(path, p) ? add(g, mul(cast(p, "f32"), decay)) : g,
          grads,
          params!,
        ),
        state,
      ];
    },
  });
}

/** Options of {@linkcode trace}. */
export interface TraceOptions {
  /** The direction that the momentum will have one step ahead (Nesterov 1983). Default false. */
  readonly nesterov?: boolean;
}

/** Momentum: updates are the sum of all gradients so far, each `decay` times as much as the one after it. */
export function trace(decay: number, options: TraceOptions = {}): Transform {
  expectRange(
    "trace",
    "argument 1 (decay)",
    decay,
    isDecay,
    "from 0 to below 1",
  );
  expectOptions("trace", 1, options, { nesterov: "true or false" });
  const onto = (sum: Tensor, g: Tensor) => add(g, mul(sum, decay));
  return transform({
    name: "trace",
    init: (params) => ({ trace: zerosOf(params) }),
    update(grads, state) {
      const sums = zipTrees<Tensor, Tensor>(
        ([g, sum]) => onto(sum, g),
        grads,
        (state as { trace: Tree<Tensor> }).trace,
      );
      const ahead = options.nesterov
        ? zipTrees<Tensor, Tensor>(([g, sum]) => onto(sum, g), grads, sums)
        : sums;
      return [ahead, { trace: sums }];
    },
  });
}

/** Options of {@linkcode ema}. */
export interface EmaOptions {
  /** Whether the first averages are divided by what they are short of. Default true. */
  readonly debias?: boolean;
}

/** Updates are their own running average. That of weights is `incrementalUpdate`'s. */
export function ema(decay: number, options: EmaOptions = {}): Transform {
  expectRange("ema", "argument 1 (decay)", decay, isDecay, "from 0 to below 1");
  expectOptions("ema", 1, options, { debias: "true or false" });
  return transform({
    name: "ema",
    init: (params) => ({ mean: zerosOf(params), correction: scalar(0) }),
    update(grads, state) {
      const old = state as { mean: Tree<Tensor>; correction: Tensor };
      const mean = zipTrees<Tensor, Tensor>(([g, m]) => average(m, g, decay), grads, old.mean);
      // 1 − decayᵗ, as a running average of ones.
      const correction = add(mul(old.correction, decay), 1 - decay);
      const updates = options.debias === false
        ? mean
        : mapTree<Tensor, Tensor>(mean, (m) => div(m, correction));
      return [updates, { mean, correction }];
    },
  });
}
