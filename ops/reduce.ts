/** Reductions over axes. Sums are always accumulated in f32, in a fixed order: the same input gives the same bits. */
import { apply, type Tensor } from "../tensor/tensor.ts";
import { axisOf, type Shape, sizeOf, type Spec, stridesOf } from "../tensor/shape.ts";
import { defineOp } from "../tensor/op.ts";
import { expand, reshape } from "./movement.ts";
import { cast, equal } from "./compare.ts";
import { div, mul } from "./arithmetic.ts";

/** Attributes of the reduction ops: reduced axes stay as extent 1. */
export interface ReduceAttrs {
  readonly axes: readonly number[];
}

const reducedShape = (x: Shape, axes: readonly number[]): number[] =>
  x.map((d, i) => axes.includes(i) ? 1 : d);

function fold(start: number, step: (acc: number, x: number) => number) {
  return (
    [x]: readonly Float64Array[],
    [s]: readonly Spec[],
    { axes }: ReduceAttrs,
  ): Float64Array[] => {
    const y = new Float64Array(sizeOf(reducedShape(s.shape, axes))).fill(start);
    const unit = stridesOf(s.shape);
    const out = stridesOf(reducedShape(s.shape, axes));
    for (let i = 0; i < x.length; i++) {
      let at = 0;
      for (let d = 0; d < s.shape.length; d++) {
        if (!axes.includes(d)) at += Math.floor(i / unit[d]) % s.shape[d] * out[d];
      }
      y[at] = step(y[at], x[i]);
    }
    return [y];
  };
}

/** Registered as `sum`; the fuser knows it by name of its lowering. */
export const sumOp = defineOp<ReduceAttrs>({
  name: "sum",
  shape: ([x], { axes }) => [{
    shape: reducedShape(x.shape, axes),
    dtype: x.dtype === "f16" ? "f32" : x.dtype,
  }],
  vjp: ([g], { inputs: [x] }) => [g && expand(cast(g, x.dtype), x.shape)],
  reference: fold(0, (a, x) => a + x),
  lowering: { kind: "reduce" },
});

/** Registered as `max`. */
export const maxOp = defineOp<ReduceAttrs>({
  name: "max",
  shape: ([x], { axes }) => [{ shape: reducedShape(x.shape, axes), dtype: x.dtype }],
  vjp: ([g], node) => {
    if (!g) return [undefined];
    // The gradient is shared equally among the places that attain the maximum.
    const [x] = node.inputs;
    const hit = cast(equal(x, expand(node.outputs[0], x.shape)), x.dtype);
    const share = div(g, cast(apply(sumOp, [hit], node.attrs)[0], g.dtype));
    return [mul(hit, expand(share, x.shape))];
  },
  reference: fold(-Infinity, Math.max),
  lowering: { kind: "reduce" },
});

/** Which axes to reduce, and whether they stay as extent 1. */
export interface ReduceOptions {
  /** Keep the reduced axes with extent 1. */
  readonly keep?: boolean;
}

function reduce(
  op: typeof sumOp,
  x: Tensor,
  axes: readonly number[] | undefined,
  keep: boolean,
): Tensor {
  const rank = x.shape.length;
  const list = axes
    ? [...new Set(axes.map((a) => axisOf(op.name, a, rank)))].sort((a, b) => a - b)
    : [...x.shape.keys()];
  const y = list.length ? apply(op, [x], { axes: list })[0] : x;
  return keep ? y : reshape(y, x.shape.filter((_, i) => !list.includes(i)));
}

/** Sum over `axes` (all of them when left out); that of f16 is f32. */
export function sum(x: Tensor, axes?: readonly number[], options: ReduceOptions = {}): Tensor {
  return reduce(sumOp, x, axes, options.keep ?? false);
}

/** Maximum over `axes` (all of them when left out). */
export function max(x: Tensor, axes?: readonly number[], options: ReduceOptions = {}): Tensor {
  return reduce(maxOp, x, axes, options.keep ?? false);
}

/** Mean over `axes` (all of them when left out); that of f16 is f32. */
export function mean(x: Tensor, axes?: readonly number[], options: ReduceOptions = {}): Tensor {
  const y = sum(x, axes, options);
  return mul(y, y.size / x.size);
}
