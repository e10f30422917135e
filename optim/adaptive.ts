/** Transformations that divide by what gradients have been like so far: Adam, RMSProp, Lion, Adafactor. */
import type { Tensor } from "../tensor/tensor.ts";
import { flatten, mapTree, refill, type Tree, zipTrees } from "../tensor/tree.ts";
import { expectOptions } from "../tensor/arguments.ts";
import { sizeOf } from "../tensor/shape.ts";
import { add, div, maximum, mul, rsqrt, sqrt, square, sub } from "../ops/elementwise/arithmetic.ts";
import { cast } from "../ops/elementwise/cast.ts";
import { pow } from "../ops/elementwise/power.ts";
import { sign } from "../ops/elementwise/rounding.ts";
import { mean } from "../ops/reduce.ts";
import { expandDims } from "../ops/shape/parts.ts";
import { zeros } from "../ops/create/create.ts";
import {
  adamMoments,
  average,
  expectBeta,
  expectMoments,
  type MomentOptions,
  type Moments,
  noMoments,
} from "../autograd/optimizer.ts";
import { expectRange, expectSize } from "../autograd/named.ts";
import { listed, noSteps, zerosOf } from "./scale.ts";
import { type Transform, transform } from "./transform.ts";

/** The leaves of a tree that has the form of another, in the order of that one. */
const inOrder = (like: Tree<Tensor>, tree: Tree<Tensor>) =>
  listed(zipTrees<Tensor, Tensor>(([, t]) => t, like, tree));

/** Adam's direction (Kingma & Ba 2015): the running mean over the root of the running mean of squares, both corrected. */
export function scaleByAdam(options: MomentOptions = {}): Transform {
  expectOptions("scaleByAdam", 0, options, {
    beta1: "number",
    beta2: "number",
    epsilon: "number",
  });
  const of = expectMoments("scaleByAdam", options);
  type State = Record<"m" | "v", Tree<Tensor>> & Pick<Moments, "corrections">;
  // The averages are listed inside, and trees like the parameters outside.
  const shaped = (like: Tree<Tensor>, { m, v, corrections }: Moments): State => ({
    m: refill(like, Object.values(m)),
    v: refill(like, Object.values(v)),
    corrections,
  });
  return transform({
    name: "scaleByAdam",
    init: (params) => shaped(params, noMoments(listed(params))),
    update(grads, state) {
      const { m, v, corrections } = state as State;
      const { moments, directions } = adamMoments(
        { m: inOrder(grads, m), v: inOrder(grads, v), corrections },
        listed(grads),
        of,
      );
      return [refill(grads, Object.values(directions)), shaped(grads, moments)];
    },
  });
}

/** Options of {@linkcode scaleByRms}. */
export interface RmsOptions {
  /** Decay of the mean of squares. Default 0.9. */
  readonly decay?: number;
  /** Added to the mean of squares, under the root; default 1e-8. */
  readonly epsilon?: number;
  /** Added to the root instead, as in PyTorch. Default false. */
  readonly epsilonOutside?: boolean;
  /** About the mean: divides by the standard deviation. Default false. */
  readonly centered?: boolean;
}

/** RMSProp's direction (Tieleman & Hinton 2012): gradients over the root of the running mean of their squares. */
export function scaleByRms(options: RmsOptions = {}): Transform {
  expectOptions("scaleByRms", 0, options, {
    decay: "number",
    epsilon: "number",
    epsilonOutside: "true or false",
    centered: "true or false",
  });
  const { decay = 0.9, epsilon = 1e-8, epsilonOutside = false, centered = false } = options;
  expectBeta("scaleByRms", "decay", decay);
  expectSize("scaleByRms", "options.epsilon", epsilon);
  const over = (g: Tensor, v: Tensor) =>
    epsilonOutside ? div(g, add(sqrt(v), epsilon)) : div(g, sqrt(add(v, epsilon)));
  return transform({
    name: "scaleByRms",
    init: (params) => ({ v: zerosOf(params), ...centered && { mean: zerosOf(params) } }),
    update(grads, state) {
      const old = state as { v: Tree<Tensor>; mean?: Tree<Tensor> };
      const v = zipTrees<Tensor, Tensor>(([g, v]) => average(v, square(g), decay), grads, old.v);
      if (!centered) return [zipTrees<Tensor, Tensor>(([g, v]) => over(g, v), grads, v), { v }];
      const m = zipTrees<Tensor, Tensor>(([g, m]) => average(m, g, decay), grads, old.mean!);
      const updates = zipTrees<Tensor, Tensor>(
        ([g, v, m]) => over(g, maximum(sub(v, square(m)), 0)),
        grads,
        v,
        m,
      );
      return [updates, { v, mean: m }];
    },
  });
}

/** Options of {@linkcode scaleByLion}. */
export interface LionMoments {
  /** Share of the mean in the direction. Default 0.9. */
  readonly beta1?: number;
  /** Decay of the mean. Default 0.99. */
  readonly beta2?: number;
}

/** Lion's direction (Chen et al. 2023): the sign of the mean, in which the gradient has a larger share than it keeps. */
export function scaleByLion(options: LionMoments = {}): Transform {
  expectOptions("scaleByLion", 0, options, { beta1: "number", beta2: "number" });
  const { beta1 = 0.9, beta2 = 0.99 } = options;
  for (const [name, beta] of Object.entries({ beta1, beta2 })) {
    expectBeta("scaleByLion", name, beta);
  }
  return transform({
    name: "scaleByLion",
    init: (params) => ({ mean: zerosOf(params) }),
    update(grads, state) {
      const old = (state as { mean: Tree<Tensor> }).mean;
      const updates = zipTrees<Tensor, Tensor>(([g, m]) => sign(average(m, g, beta1)), grads, old);
      return [
        updates,
        { mean: zipTrees<Tensor, Tensor>(([g, m]) => average(m, g, beta2), grads, old) },
      ];
    },
  });
}

/** Options of {@linkcode scaleByFactoredRms}. */
export interface FactoredOptions {
  /** The mean of squares of step t is decayed by 1 − t^−`decayRate`. Default 0.8. */
  readonly decayRate?: number;
  /** Two axes of at least so many are factored. Default 128. */
  readonly minDim?: number;
  /** Added to squares. Default 1e-30. */
  readonly epsilon?: number;
}

/** The two largest axes of a shape, the larger last, where both are large enough to be factored. */
function factoredAxes(shape: readonly number[], minDim: number): [number, number] | undefined {
  if (shape.length < 2) return undefined;
  const order = [...shape.keys()].sort((a, b) => shape[a] - shape[b]);
  const [small, large] = order.slice(-2);
  return shape[small] < minDim ? undefined : [small, large];
}

/**
 * Adafactor's direction (Shazeer & Stern 2018): gradients over the root of their mean squares, of which matrices keep the
 * means of rows and columns alone.
 */
export function scaleByFactoredRms(options: FactoredOptions = {}): Transform {
  expectOptions("scaleByFactoredRms", 0, options, {
    decayRate: "number",
    minDim: "number",
    epsilon: "number",
  });
  const { decayRate = 0.8, minDim = 128, epsilon = 1e-30 } = options;
  expectSize("scaleByFactoredRms", "options.decayRate", decayRate);
  expectRange("scaleByFactoredRms", "options.minDim", minDim, (n) => n >= 1, "at least 1");
  expectSize("scaleByFactoredRms", "options.epsilon", epsilon);
  const below = (path: string, part: string) => path ? `${path}.${part}` : part;
  const without = (shape: readonly number[], axis: number) => shape.toSpliced(axis, 1);
  type One = { readonly row: Tensor; readonly column: Tensor } | { readonly v: Tensor };
  return transform({
    name: "scaleByFactoredRms",
    init: (params) => ({
      count: noSteps(),
      of: mapTree<Tensor, One>(params, ({ shape }) => {
        const axes = factoredAxes(shape, minDim);
        if (!axes) return { v: zeros(shape) };
        return { row: zeros(without(shape, axes[1])), column: zeros(without(shape, axes[0])) };
      }) as Tree<Tensor>,
    }),
    update(grads, state) {
      const { count, of } = state as { count: Tensor; of: Tree<Tensor> };
      const next = add(count, 1);
      const kept = pow(cast(next, "f32"), -decayRate);
      const into = (old: Tensor, x: Tensor) => add(mul(old, sub(1, kept)), mul(x, kept));
      const old = new Map(flatten<Tensor>(of));
      const made = mapTree<Tensor, One>(grads, (g, path) => {
        const squares = add(square(g), epsilon), at = (part: string) => old.get(below(path, part))!;
        const axes = factoredAxes(g.shape, minDim);
        if (!axes) return { v: into(at("v"), squares) };
        const [small, large] = axes;
        return {
          row: into(at("row"), mean(squares, [large])),
          column: into(at("column"), mean(squares, [small])),
        };
      });
      const now = new Map(flatten<Tensor>(made as Tree<Tensor>));
      const updates = mapTree<Tensor, Tensor>(grads, (g, path) => {
        const at = (part: string) => now.get(below(path, part))!;
        const axes = factoredAxes(g.shape, minDim);
        if (!axes) return mul(g, rsqrt(at("v")));
        const [small, large] = axes, row = at("row"), column = at("column");
        // The mean of squares of rows, in shares of the mean of all.
        const among = small > large ? small - 1 : small;
        const share = div(row, mean(row, [among], { keep: true }));
        const wide = (t: Tensor, axis: number) => expandDims(rsqrt(t), [axis]);
        return mul(mul(g, wide(share, large)), wide(column, small));
      });
      return [updates, { count: next, of: made as Tree<Tensor> }];
    },
  });
}

/**
 * Each update no longer than `threshold`, as the root mean square of its elements: what Adafactor clips by.
 *
 * @throws RangeError when it is below 0 or NaN
 */
export function clipByBlockRms(threshold: number): Transform {
  expectRange("clipByBlockRms", "argument 1 (threshold)", threshold, (x) => x > 0, "above 0");
  return transform({
    name: "clipByBlockRms",
    update: (grads, state) => [
      mapTree<Tensor, Tensor>(
        grads,
        (g) => sizeOf(g.shape) ? div(g, maximum(div(rms(g), threshold), 1)) : g,
      ),
      state,
    ],
  });
}

/** Updates in proportion to the root mean square of their parameter, of at least `least`. */
export function scaleByParamRms(least = 1e-3): Transform {
  expectSize("scaleByParamRms", "argument 1 (least)", least);
  return transform({
    name: "scaleByParamRms",
    reads: true,
    update: (grads, state, params) => [
      zipTrees<Tensor, Tensor>(
        ([g, p]) => sizeOf(p.shape) ? mul(g, maximum(rms(cast(p, "f32")), least)) : g,
        grads,
        params!,
      ),
      state,
    ],
  });
}

const rms = (t: Tensor): Tensor => sqrt(mean(square(t)));
