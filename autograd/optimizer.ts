/**
 * Optimizers as pure functions of state: everything that changes from step to step (learning rate, step count) is a
 * tensor, so a compiled step follows any schedule. The compiler fuses each parameter's update into one kernel and, with
 * the state donated, writes it in place.
 */
import type { Tensor } from "../tensor/tensor.ts";
import { expectOptions } from "../tensor/arguments.ts";
import { flatten } from "../tensor/tree.ts";
import { add, div, minimum, mul, sqrt, square, sub } from "../ops/elementwise/arithmetic.ts";
import type { Operand } from "../ops/elementwise/map.ts";
import { expand, sum } from "../ops/broadcast.ts";
import { cast } from "../ops/elementwise/cast.ts";
import { ShapeError, show } from "../tensor/shape.ts";
import { literal, scalar } from "../ops/leaf.ts";
import {
  expectAlike,
  expectNamed,
  expectRange,
  expectSize,
  mapNamed,
  type Named,
  rateOf,
} from "./named.ts";

export type { Named } from "./named.ts";

/**
 * Adam's running averages. `corrections` are 1 − β₁ᵗ and 1 − β₂ᵗ, kept as the same running averages (of ones) as the moments:
 * computed from the step count they would lose four digits to cancellation in the first steps.
 */
export interface Moments {
  /** Running mean of the gradients. */
  readonly m: Named;
  /** Running mean of their squares. */
  readonly v: Named;
  /** 1 − β₁ᵗ and 1 − β₂ᵗ, scalars. */
  readonly corrections: readonly [Tensor, Tensor];
}

/** AdamW's state. */
export interface AdamState extends Moments {
  /** Trained values. */
  readonly params: Named;
}

/** Numbers of Adam's averages. */
export interface MomentOptions {
  /** Decay of the mean. Default 0.9. */
  readonly beta1?: number;
  /** Decay of the mean of squares. Default 0.999. */
  readonly beta2?: number;
  /** Added to the root of the mean of squares. Default 1e-8. */
  readonly epsilon?: number;
}

/** Hyper-parameters; defaults are those of the method: β = (0.9, 0.999), ε = 1e-8, decay 0.01. */
export interface AdamOptions extends MomentOptions {
  /** Learning rate; a tensor where it changes from step to step. */
  readonly rate: Operand;
  /** Factor of the rate for each parameter, by its path. Default 1 for all. */
  readonly scale?: (path: string) => number;
  /** Decoupled weight decay; touches only the parameters given, never frozen ones. */
  readonly decay?: number;
}

/** State with zero moments. The result is traced: evaluate it to get device memory. */
export function adamInit(params: Named): AdamState {
  expectNamed("adamInit", "params", params);
  return { params, ...noMoments(params) };
}

/** Averages of nothing so far. */
export function noMoments(params: Named): Moments {
  const zeros = () => mapNamed(params, (p) => expand(literal(0), p.shape));
  return { m: zeros(), v: zeros(), corrections: [scalar(0), scalar(0)] };
}

/** Refuses numbers with which Adam's averages are none. */
export function expectMoments(op: string, options: MomentOptions): Required<MomentOptions> {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8 } = options;
  for (const [name, beta] of Object.entries({ beta1, beta2 })) expectBeta(op, name, beta);
  expectSize(op, "options.epsilon", epsilon);
  return { beta1, beta2, epsilon };
}

/** Whether a number can be the decay of an average. 1 takes nothing in; as an f32, which computes it, just below 1 is 1 too. */
export const isDecay = (beta: number): boolean => beta >= 0 && Math.fround(beta) < 1;

/** Refuses what is no decay of an average. */
export const expectBeta = (op: string, name: string, beta: number): void =>
  expectRange(op, `options.${name}`, beta, isDecay, "from 0 to below 1");

/** A running average with one more value taken in. */
export const average = (old: Tensor, x: Tensor, beta: number): Tensor =>
  add(mul(old, beta), mul(x, 1 - beta));

/** Adam's averages with gradients taken in, and the directions that they give: mean over root mean square, corrected. */
export function adamMoments(
  old: Moments,
  grads: Named,
  { beta1, beta2, epsilon }: Required<MomentOptions>,
): { readonly moments: Moments; readonly directions: Named } {
  const correction1 = add(mul(old.corrections[0], beta1), 1 - beta1);
  const correction2 = add(mul(old.corrections[1], beta2), 1 - beta2);
  const m = mapNamed(old.m, (mean, k) => average(mean, grads[k], beta1));
  const v = mapNamed(old.v, (mean, k) => average(mean, square(grads[k]), beta2));
  const directions = mapNamed(
    m,
    (mean, k) => div(div(mean, correction1), add(sqrt(div(v[k], correction2)), epsilon)),
  );
  return { moments: { m, v, corrections: [correction1, correction2] }, directions };
}

/**
 * One AdamW step (Loshchilov & Hutter 2019, algorithm 2, with the decay scaled by the rate as in PyTorch).
 *
 * @throws ShapeError when a gradient or a moment has not its parameter's shape and type, or a parameter is no f32
 * @throws RangeError when a rate, a decay or ε is below 0 or not finite, or a β does not lie from 0 to below 1
 */
export function adamw(state: AdamState, grads: Named, options: AdamOptions): AdamState {
  expectNamed("adamw", "state.params", state?.params);
  expectNamed("adamw", "grads", grads, state.params);
  expectAlike("adamw", { params: state.params, grads, m: state.m, v: state.v });
  expectOptions("adamw", 2, options, {
    rate: "any",
    scale: "function",
    beta1: "number",
    beta2: "number",
    epsilon: "number",
    decay: "number",
  });
  const given = rateOf("adamw", "options.rate", options.rate);
  const { decay = 0.01, scale } = options;
  const of = expectMoments("adamw", options);
  expectSize("adamw", "options.decay", decay);
  for (const [k, p] of Object.entries(state.params)) {
    if (p.dtype === "f32") continue;
    throw new ShapeError(
      "adamw",
      `params["${k}"] is ${show(p.spec)}; f32 is trained, cast it first`,
    );
  }
  const { moments, directions } = adamMoments(state, grads, of);
  const params = mapNamed(state.params, (p, k) => {
    const factor = scale?.(k) ?? 1;
    expectSize("adamw", `options.scale("${k}")`, factor);
    const rate = factor === 1 ? given : mul(given, factor);
    const shrunk = decay === 0 ? p : mul(p, sub(1, mul(rate, decay)));
    return sub(shrunk, mul(rate, directions[k]));
  });
  return { params, ...moments };
}

/**
 * Plain gradient descent: p − rate · g.
 *
 * @throws ShapeError when a gradient has not its parameter's shape and type; RangeError when the rate is below 0
 */
export function sgd(params: Named, grads: Named, rate: Operand): Named {
  expectNamed("sgd", "params", params);
  expectNamed("sgd", "grads", grads, params);
  expectAlike("sgd", { params, grads });
  const step = rateOf("sgd", "argument 3 (rate)", rate);
  return mapNamed(params, (p, k) => sub(p, mul(step, grads[k])));
}

/**
 * Gradients scaled down together so that their global L2 norm is at most `maxNorm`; and that norm, in f32.
 *
 * @throws RangeError when `maxNorm` is below 0 or NaN
 */
export function clipByGlobalNorm(grads: Named, maxNorm: number): { grads: Named; norm: Tensor } {
  expectNamed("clipByGlobalNorm", "grads", grads);
  expectSize("clipByGlobalNorm", "argument 2 (maxNorm)", maxNorm, true);
  // In f32 also of f16, whose squares leave its range.
  const squares = flatten<Tensor>(grads).map(([, g]) => sum(square(cast(g, "f32"))));
  const norm = sqrt(squares.reduce((a, b) => add(a, b), scalar(0)));
  const scale = minimum(div(maxNorm, add(norm, 1e-6)), 1);
  return { grads: mapNamed(grads, (g) => cast(mul(cast(g, "f32"), scale), g.dtype)), norm };
}
