/** Norms that are made of others: of a batch, of each channel of each example, of sizes alone; and neighbours' channels. */
import { calledAs } from "../../tensor/called.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import {
  axesOf,
  type AxisList,
  axisList,
  expectFloats,
  expectNumber,
  expectOptions,
  expectTensors,
} from "../../tensor/arguments.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { wholeNumber } from "../../tensor/element.ts";
import { axisOf, sameShape, ShapeError, show } from "../../tensor/shape.ts";
import { sum } from "../broadcast.ts";
import { abs, add, div, maximum, mul, rsqrt, square, sub } from "../elementwise/arithmetic.ts";
import { cast } from "../elementwise/cast.ts";
import { pow } from "../elementwise/power.ts";
import { pad, reshape, toFirst, toLast } from "../movement.ts";
import { mean } from "../reduce.ts";
import { windows } from "../shape/windows.ts";
import { groupNorm } from "./norm.ts";

function floats(op: string, x: Tensor): void {
  if (!isFloat(x.dtype)) {
    throw new ShapeError(op, `takes f32, f16, not ${show(x.spec)}; cast it to f32 first`);
  }
}

/** A number for each channel, so that it broadcasts against x. */
function perChannel(op: string, name: string, t: Tensor, x: Tensor, axis: number): Tensor {
  if (!sameShape(t.shape, [x.shape[axis]])) {
    throw new ShapeError(op, `${name} is ${show(t.spec)} for axis ${axis} of ${show(x.spec)}`);
  }
  return reshape(cast(t, "f32"), x.shape.map((d, i) => i === axis ? d : 1));
}

/**
 * Mean and variance over axes, both in f32, of extent 1 there: what {@linkcode batchNorm} takes, and running averages are of.
 *
 * @param x `[…]`, f32 or f16
 * @returns `[mean, variance]`
 * @throws ShapeError for integers: cast them first
 */
export function moments(x: Tensor, axes: AxisList): [mean: Tensor, variance: Tensor] {
  expectTensors("moments", { x });
  const list = axesOf("moments", 1, axisList("moments", 1, axes), x.shape.length);
  floats("moments", x);
  const f = cast(x, "f32");
  const mu = mean(f, list, { keep: true });
  return [mu, mean(square(sub(f, mu)), list, { keep: true })];
}

/**
 * (x − mean) / √(variance + ε) over axes, as JAX's `standardize`: a norm without scale and shift.
 *
 * @param x `[…]`, f32 or f16
 * @param options `eps`: default 1e-5
 * @returns of x's shape and element type
 * @throws ShapeError for integers: cast them first
 */
export function standardize(
  x: Tensor,
  axes: AxisList = -1,
  options: { readonly eps?: number } = {},
): Tensor {
  expectTensors("standardize", { x });
  const list = axesOf("standardize", 1, axes, x.shape.length);
  expectOptions("standardize", 2, options, { eps: "a number of f32" });
  floats("standardize", x);
  const [mu, v] = moments(x, list);
  return cast(mul(sub(cast(x, "f32"), mu), rsqrt(add(v, options.eps ?? 1e-5))), x.dtype);
}

/** Options of {@linkcode batchNorm}. */
export interface BatchNormOptions {
  /** The statistics of all data, `[C]` each; left out, those of this batch are taken, and gradients flow through them. */
  readonly mean?: Tensor;
  /** See `mean`; both or none. */
  readonly variance?: Tensor;
  /** The axis of the channels. Default the last. */
  readonly axis?: number;
  /** Added to the variance. Default 1e-5. */
  readonly eps?: number;
}

/**
 * (x − mean) / √(variance + ε) · γ + β for each channel over everything else.
 *
 * @param x `[…, C]`, f32 or f16, with channels at `axis`
 * @param gamma `[C]`
 * @param beta `[C]`
 * @returns of x's shape and element type
 * @throws ShapeError when a vector does not fit the channels, or one of mean and variance is given alone
 */
export function batchNorm(
  x: Tensor,
  gamma: Tensor,
  beta: Tensor,
  options: BatchNormOptions = {},
): Tensor {
  const op = "batchNorm";
  expectTensors(op, { x, gamma, beta });
  expectOptions(op, 3, options, {
    mean: "any",
    variance: "any",
    axis: "number",
    eps: "a number of f32",
  });
  floats(op, x);
  const a = axisOf(op, options.axis ?? -1, x.shape.length);
  const { eps = 1e-5 } = options;
  if ((options.mean === undefined) !== (options.variance === undefined)) {
    throw new ShapeError(op, "mean and variance are given together or not at all");
  }
  if (options.mean) {
    expectTensors(op, { x, gamma, beta, mean: options.mean, variance: options.variance });
  }
  const [g, b] = [perChannel(op, "gamma", gamma, x, a), perChannel(op, "beta", beta, x, a)];
  const [mu, v] = options.mean
    ? [
      perChannel(op, "mean", options.mean, x, a),
      perChannel(op, "variance", options.variance!, x, a),
    ]
    : moments(x, [...x.shape.keys()].filter((i) => i !== a));
  const y = add(mul(mul(sub(cast(x, "f32"), mu), rsqrt(add(v, eps))), g), b);
  return cast(y, x.dtype);
}

/**
 * Each channel of each example by its own statistics.
 *
 * @param x `[B, …, C]`, or `[B, C, …]` with `channelsFirst`
 * @param gamma `[C]`
 * @param beta `[C]`
 * @returns of x's shape and element type
 * @throws ShapeError when there is no image, or a vector does not fit the channels
 */
export function instanceNorm(
  x: Tensor,
  gamma: Tensor,
  beta: Tensor,
  options: { readonly eps?: number; readonly channelsFirst?: boolean } = {},
): Tensor {
  expectFloats("instanceNorm", { x, gamma, beta });
  expectOptions("instanceNorm", 3, options, {
    eps: "a number of f32",
    channelsFirst: "true or false",
  });
  const rank = x.shape.length;
  if (rank < 3) throw new ShapeError("instanceNorm", `${show(x.spec)} is no image of [B, …, C]`);
  const { eps, channelsFirst } = options;
  const t = toLast(x, channelsFirst);
  const groups = t.shape.at(-1)!;
  const y = calledAs("instanceNorm", () => groupNorm(t, gamma, beta, { groups, eps }));
  return toFirst(y, channelsFirst);
}

/**
 * x / √(mean x² + ε) · γ over the last axes, as many as γ has; computed in f32.
 *
 * @param x `[…, d]`, f32 or f16
 * @param gamma `[d]`, of x's element type or another float's
 * @returns of x's shape and element type
 * @throws ShapeError when γ does not fit the last axes
 */
export function rmsNorm(x: Tensor, gamma: Tensor, options: { readonly eps?: number } = {}): Tensor {
  expectTensors("rmsNorm", { x, gamma });
  expectOptions("rmsNorm", 2, options, { eps: "a number of f32" });
  floats("rmsNorm", x);
  const n = gamma.shape.length;
  if (!n || !sameShape(gamma.shape, x.shape.slice(-n))) {
    throw new ShapeError("rmsNorm", `gamma is ${show(gamma.spec)} for ${show(x.spec)}`);
  }
  const f = cast(x, "f32");
  const axes = gamma.shape.map((_, i) => i - n);
  const scale = rsqrt(add(mean(square(f), axes, { keep: true }), options.eps ?? 1e-6));
  return cast(mul(mul(f, scale), cast(gamma, "f32")), x.dtype);
}

/**
 * Vectors along axes brought to length 1: x / max(‖x‖, ε).
 *
 * @param x `[…]`, f32 or f16
 * @param options `ord`: 2 by default, or 1; `eps`: default 1e-12
 * @returns of x's shape and element type
 * @throws ShapeError for integers
 */
export function normalize(
  x: Tensor,
  axes: AxisList = -1,
  options: { readonly ord?: 1 | 2; readonly eps?: number } = {},
): Tensor {
  expectTensors("normalize", { x });
  expectOptions("normalize", 2, options, { ord: "number", eps: "a number of f32" });
  floats("normalize", x);
  const list = axesOf("normalize", 1, axes, x.shape.length);
  const { ord = 2, eps = 1e-12 } = options;
  const f = cast(x, "f32");
  if (ord === 1) return cast(div(f, maximum(sum(abs(f), list, { keep: true }), eps)), x.dtype);
  const squares = sum(square(f), list, { keep: true });
  return cast(mul(f, calledAs("normalize", () => rsqrt(maximum(squares, eps * eps)))), x.dtype);
}

/** Options of {@linkcode localResponseNorm}. */
export interface LocalResponseOptions {
  /** Default 1e-4. */
  readonly alpha?: number;
  /** Default 0.75. */
  readonly beta?: number;
  /** Default 1. */
  readonly k?: number;
  /** The axis of the channels. Default the last. */
  readonly axis?: number;
}

/**
 * x / (k + α · mean of x² over `size` neighbouring channels)^β (Krizhevsky et al., 2012).
 *
 * @param x `[…, C]`, f32 or f16, with channels at `axis`
 * @returns of x's shape and element type
 * @throws ShapeError for integers
 */
export function localResponseNorm(
  x: Tensor,
  size: number,
  options: LocalResponseOptions = {},
): Tensor {
  const op = "localResponseNorm";
  expectTensors(op, { x });
  expectNumber(op, 1, "size", size);
  expectOptions(op, 2, options, { alpha: "number", beta: "number", k: "number", axis: "number" });
  floats(op, x);
  wholeNumber(op, "the size", size, 1);
  const { alpha = 1e-4, beta = 0.75, k = 1 } = options;
  const a = axisOf(op, options.axis ?? -1, x.shape.length);
  const before = Math.floor((size - 1) / 2);
  const f = cast(x, "f32");
  const wide = pad(
    square(f),
    x.shape.map((_, i) => i === a ? [before, size - 1 - before] : [0, 0]),
  );
  const near = sum(windows(wide, { axes: [a], size: [size], stride: [1], dilation: [1] }), [0]);
  const scale = calledAs(op, () => pow(add(mul(near, alpha / size), k), beta));
  return cast(div(f, scale), x.dtype);
}
