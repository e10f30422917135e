/** Folds that need more than one walk: products, whose derivative is all the others', places of extremes, spreads, norms. */
import { calledAs } from "../../tensor/called.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import {
  type AxisList,
  expectNumber,
  expectOptions,
  expectTensors,
} from "../../tensor/arguments.ts";
import { arithmetic, isFloat } from "../../tensor/dtype.ts";
import { axisOf, ShapeError, show, sizeOf } from "../../tensor/shape.ts";
import { defineOp } from "../../tensor/op.ts";
import {
  expand,
  expectReduction,
  fold,
  reduce,
  type ReduceAttrs,
  reducedShape,
  reduceEach,
  type ReduceOptions,
  sum,
} from "../broadcast.ts";
import { abs, div, mul, sqrt, square, sub } from "../elementwise/arithmetic.ts";
import { cast } from "../elementwise/cast.ts";
import { equal, notEqual, where } from "../elementwise/compare.ts";
import { times } from "../elementwise/define.ts";
import { bitwiseOr } from "../elementwise/logic.ts";
import { pow } from "../elementwise/power.ts";
import { along } from "../index/take.ts";
import { permute, reshape } from "../movement.ts";
import { max, mean, min } from "../reduce.ts";
import { cumprod } from "../scan/scan.ts";

const prodOp = defineOp<ReduceAttrs>({
  name: "prod",
  shape: ([x], { axes }) => [{
    shape: reducedShape(x.shape, axes),
    dtype: arithmetic(x.dtype),
  }],
  vjp: ([given], { inputs: [x], attrs: { axes } }) => {
    if (!given) return [undefined];
    // The product of all before an element times that of all behind it: right where factors are 0, too.
    const kept = [...x.shape.keys()].filter((i) => !axes.includes(i));
    const order = [...kept, ...axes];
    const t = permute(cast(x, "f32"), order);
    const flat = reshape(t, [
      sizeOf(kept.map((i) => x.shape[i])),
      sizeOf(axes.map((i) => x.shape[i])),
    ]);
    const others = mul(
      cumprod(flat, 1, { exclusive: true }),
      cumprod(flat, 1, { exclusive: true, reverse: true }),
    );
    const back = permute(reshape(others, t.shape), order.map((_, i) => order.indexOf(i)));
    return [cast(mul(expand(given, x.shape), back), x.dtype)];
  },
  batch: reduceEach,
  reference: fold(() => 1, times),
  lowering: { kind: "reduce", join: "prod" },
});

/**
 * Product over `axes` (all of them when left out); that of f16 is f32, that of bool u32, that of nothing 1.
 *
 * @param x `[…]` of any element type
 * @returns without the axes, or with extent 1 there with `keep`
 * @throws ShapeError when an axis is not there
 */
export function prod(x: Tensor, axes?: AxisList, options: ReduceOptions = {}): Tensor {
  return reduce(prodOp, x, expectReduction("prod", x, axes, options), options.keep);
}

/** Options of {@linkcode argmax} and {@linkcode argmin}. */
export interface ArgOptions {
  /** Keep the axis with extent 1. */
  readonly keep?: boolean;
  /** Of several places the last, not the first. Default false. */
  readonly last?: boolean;
}

function place(
  op: "argmax" | "argmin" | "hardmax",
  x: Tensor,
  axis: number,
  options: ArgOptions,
): Tensor {
  expectTensors(op, { x });
  expectNumber(op, 1, "axis", axis);
  expectOptions(op, 2, options, { keep: "true or false", last: "true or false" });
  const a = axisOf(op, axis, x.shape.length);
  const n = x.shape[a];
  if (!n) throw new ShapeError(op, `axis ${a} of ${show(x.spec)} has no places`);
  const best = (op === "argmin" ? min : max)(x, [a], { keep: true });
  const attained = equal(x, best);
  const hit = isFloat(x.dtype) ? bitwiseOr(attained, notEqual(x, x)) : attained;
  const places = along(x.shape, a);
  return options.last
    ? max(where(hit, places, 0), [a], { keep: options.keep })
    : min(where(hit, places, n - 1), [a], { keep: options.keep });
}

/**
 * The place of the largest element along an axis, of several the first, of NaN the first.
 *
 * @param x `[…]` of any element type
 * @returns u32, without the axis
 * @throws ShapeError when the axis has no places
 */
export const argmax = (x: Tensor, axis = -1, options: ArgOptions = {}): Tensor =>
  place("argmax", x, axis, options);
/**
 * The place of the smallest element along an axis, of several the first, of NaN the first.
 *
 * @param x `[…]` of any element type
 * @returns u32, without the axis
 * @throws ShapeError when the axis has no places
 */
export const argmin = (x: Tensor, axis = -1, options: ArgOptions = {}): Tensor =>
  place("argmin", x, axis, options);

/**
 * 1 at the first of the largest elements along an axis, 0 elsewhere: softmax of what is ever larger.
 *
 * @param x `[…]` of any element type, which is the result's
 */
export function hardmax(x: Tensor, axis = -1): Tensor {
  const first = place("hardmax", x, axis, { keep: true });
  return cast(equal(along(x.shape, axisOf("hardmax", axis, x.shape.length)), first), x.dtype);
}

/** Options of {@linkcode variance} and {@linkcode std}. */
export interface SpreadOptions extends ReduceOptions {
  /** What is taken off the number of elements that the squares are divided by: 1 for the estimate of a sample. Default 0. */
  readonly ddof?: number;
}

function spread(
  op: string,
  x: Tensor,
  given: AxisList | undefined,
  options: SpreadOptions,
): Tensor {
  expectTensors(op, { x });
  expectOptions(op, 2, options, { keep: "true or false", ddof: "a number of f32" });
  const { keep, ddof = 0 } = options;
  const axes = expectReduction(op, x, given, {});
  if (!isFloat(x.dtype)) {
    throw new ShapeError(op, `takes f32, f16, not ${show(x.spec)}; cast it to f32 first`);
  }
  const f = cast(x, "f32");
  const y = sum(square(sub(f, mean(f, axes, { keep: true }))), axes, { keep });
  return div(y, x.size / y.size - ddof);
}

/**
 * Variance over `axes` (all of them when left out), in f32: the mean of the squares of what is left of the mean.
 *
 * @param x `[…]`, f32 or f16
 * @returns f32, without the axes, or with extent 1 there with `keep`
 * @throws ShapeError for integers: cast them first
 */
export const variance = (
  x: Tensor,
  axes?: AxisList,
  options: SpreadOptions = {},
): Tensor => spread("variance", x, axes, options);
/**
 * Standard deviation over `axes` (all of them when left out), in f32.
 *
 * @param x `[…]`, f32 or f16
 * @returns f32, without the axes, or with extent 1 there with `keep`
 * @throws ShapeError for integers: cast them first
 */
export const std = (x: Tensor, axes?: AxisList, options: SpreadOptions = {}): Tensor =>
  sqrt(spread("std", x, axes, options));

/** Options of {@linkcode norm}. */
export interface NormOptions extends ReduceOptions {
  /** The order: 2 by default, 1 for the sum of sizes, ∞ for the largest, −∞ for the smallest, 0 for how many are not 0. */
  readonly ord?: number;
}

/**
 * The length of vectors over `axes` (all of them when left out), in the sense of an order p: (Σ |x|ᵖ)^(1/p). The gradient at
 * a vector of zeros is 0 for the order 2.
 *
 * @param x `[…]`, f32 or f16
 * @returns without the axes, or with extent 1 there with `keep`
 * @throws ShapeError for integers: cast them first
 */
export function norm(x: Tensor, axes?: AxisList, options: NormOptions = {}): Tensor {
  expectTensors("norm", { x });
  expectOptions("norm", 2, options, { keep: "true or false", ord: "number" });
  expectReduction("norm", x, axes, {});
  if (!isFloat(x.dtype)) {
    throw new ShapeError("norm", `takes f32, f16, not ${show(x.spec)}; cast it to f32 first`);
  }
  const { ord = 2, keep } = options;
  const sizes = abs(x);
  if (ord === Infinity) return max(sizes, axes, { keep });
  if (ord === -Infinity) return min(sizes, axes, { keep });
  if (ord === 0) return sum(cast(notEqual(x, 0), "f32"), axes, { keep });
  if (ord === 1) return sum(sizes, axes, { keep });
  if (ord !== 2) {
    return calledAs("norm", () => pow(sum(pow(sizes, ord), axes, { keep }), 1 / ord));
  }
  const total = sum(square(cast(x, "f32")), axes, { keep });
  const none = equal(total, 0);
  // The root has no slope at 0: there the sum is left out of it.
  return where(none, 0, sqrt(where(none, 1, total)));
}
