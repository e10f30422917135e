/** Folds over axes beside the sum: the extremes, the product, and the mean. */
import { apply, type Tensor } from "../tensor/tensor.ts";
import { defineOp, type Op } from "../tensor/op.ts";
import { type DType, isFloat } from "../tensor/dtype.ts";
import { leastOf, mostOf } from "../tensor/element.ts";
import type { AxisList } from "../tensor/arguments.ts";
import { ShapeError, show } from "../tensor/shape.ts";
import { div, mul } from "./elementwise/arithmetic.ts";
import {
  expand,
  expectReduction,
  fold,
  reduce,
  type ReduceAttrs,
  reducedShape,
  reduceEach,
  type ReduceOptions,
  sumOp,
} from "./broadcast.ts";
import { cast } from "./elementwise/cast.ts";
import { equal } from "./elementwise/compare.ts";

/** The largest or the smallest of each row. The gradient is shared equally among the places that attain it. */
const extremeOp = (name: "max" | "min", nothing: (dtype: DType) => number): Op<ReduceAttrs> =>
  defineOp<ReduceAttrs>({
    name,
    shape: ([x], { axes }) => [{ shape: reducedShape(x.shape, axes), dtype: x.dtype }],
    vjp: ([g], node) => {
      if (!g) return [undefined];
      const [x] = node.inputs;
      const hit = cast(equal(x, expand(node.outputs[0], x.shape)), x.dtype);
      const share = div(g, cast(apply(sumOp, [hit], node.attrs)[0], g.dtype));
      return [mul(hit, expand(share, x.shape))];
    },
    batch: reduceEach,
    reference: fold(nothing, (a, x) => Math[name](a, x)),
    lowering: { kind: "reduce", join: name },
  });
const maxOp = extremeOp("max", leastOf);
const minOp = extremeOp("min", mostOf);

/**
 * Maximum over `axes` (all of them when left out), NaN where there is one. Of nothing it is −∞, or the least number of an
 * integer type.
 *
 * @param x `[…]` of any element type
 * @returns without the axes, or with extent 1 there with `keep`
 * @throws ShapeError when an axis is not there
 */
export function max(x: Tensor, axes?: AxisList, options: ReduceOptions = {}): Tensor {
  return reduce(maxOp, x, expectReduction("max", x, axes, options), options.keep);
}

/**
 * Minimum over `axes` (all of them when left out), NaN where there is one. Of nothing it is ∞, or the largest number of an
 * integer type.
 *
 * @param x `[…]` of any element type
 * @returns without the axes, or with extent 1 there with `keep`
 * @throws ShapeError when an axis is not there
 */
export function min(x: Tensor, axes?: AxisList, options: ReduceOptions = {}): Tensor {
  return reduce(minOp, x, expectReduction("min", x, axes, options), options.keep);
}

/**
 * Whether one is true over `axes` (all of them when left out): not 0, NaN too. Of nothing it is false.
 *
 * @param x `[…]` of any element type
 * @returns bool, without the axes, or with extent 1 there with `keep`
 * @throws ShapeError when an axis is not there
 */
export function any(x: Tensor, axes?: AxisList, options: ReduceOptions = {}): Tensor {
  const list = expectReduction("any", x, axes, options);
  return reduce(maxOp, cast(x, "bool"), list, options.keep);
}

/**
 * Whether all are true over `axes` (all of them when left out): not 0, NaN too. Of nothing it is true.
 *
 * @param x `[…]` of any element type
 * @returns bool, without the axes, or with extent 1 there with `keep`
 * @throws ShapeError when an axis is not there
 */
export function all(x: Tensor, axes?: AxisList, options: ReduceOptions = {}): Tensor {
  const list = expectReduction("all", x, axes, options);
  return reduce(minOp, cast(x, "bool"), list, options.keep);
}

/**
 * Mean over `axes` (all of them when left out); that of f16 is f32, that of nothing NaN.
 *
 * @param x `[…]`, f32 or f16
 * @returns without the axes, or with extent 1 there with `keep`
 * @throws ShapeError for integers, whose means are none: cast them first
 */
export function mean(x: Tensor, axes?: AxisList, options: ReduceOptions = {}): Tensor {
  const list = expectReduction("mean", x, axes, options);
  if (!isFloat(x.dtype)) {
    throw new ShapeError("mean", `takes f32, f16, not ${show(x.spec)}; cast it to f32 first`);
  }
  const y = reduce(sumOp, x, list, options.keep);
  return mul(y, y.size / x.size);
}
