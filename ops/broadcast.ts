/**
 * Broadcasting and summing: each is the derivative of the other, so they stand together, and under everything that
 * broadcasts. Sums are always accumulated in f32, in a fixed order: the same input gives the same bits.
 */
import { apply, type Tensor } from "../tensor/tensor.ts";
import {
  axesOf,
  type AxisList,
  expectList,
  expectOptions,
  expectTensors,
} from "../tensor/arguments.ts";
import {
  sameShape,
  type Shape,
  ShapeError,
  sizeOf,
  type Spec,
  stridesOf,
} from "../tensor/shape.ts";
import { arithmetic, type DType } from "../tensor/dtype.ts";
import { contiguous, expandView } from "../tensor/view.ts";
import { linear } from "../tensor/forward.ts";
import { type Batch, defineOp, type Op } from "../tensor/op.ts";
import { cast } from "./elementwise/cast.ts";
import { wrapped } from "./elementwise/define.ts";
import { gather, reshape } from "./movement.ts";

/** Attributes of the reduction ops: reduced axes stay as extent 1. */
export interface ReduceAttrs {
  readonly axes: readonly number[];
}

/** The shape with the reduced axes at extent 1. */
export const reducedShape = (x: Shape, axes: readonly number[]): number[] =>
  x.map((d, i) => axes.includes(i) ? 1 : d);

/** The batch rule of reductions: the same axes, one further behind. */
export const reduceEach = (
  { inputs: [x], node: { op, attrs: { axes } } }: Batch<ReduceAttrs>,
): Tensor[] => apply(op, [x], { axes: axes.map((a) => a + 1) });

/** The float64 reference of a reduction that goes through the elements in order. */
export function fold(
  start: (dtype: DType) => number,
  step: (acc: number, x: number, dtype: DType) => number,
) {
  return (
    [x]: readonly Float64Array[],
    [s]: readonly Spec[],
    { axes }: ReduceAttrs,
  ): Float64Array[] => {
    const y = new Float64Array(sizeOf(reducedShape(s.shape, axes))).fill(start(s.dtype));
    const unit = stridesOf(s.shape);
    const out = stridesOf(reducedShape(s.shape, axes));
    for (let i = 0; i < x.length; i++) {
      let at = 0;
      for (let d = 0; d < s.shape.length; d++) {
        if (!axes.includes(d)) at += Math.floor(i / unit[d]) % s.shape[d] * out[d];
      }
      y[at] = step(y[at], x[i], s.dtype);
    }
    return [wrapped(y, s.dtype)];
  };
}

/** Registered as `sum`; the fuser knows it by name of its lowering. */
export const sumOp = defineOp<ReduceAttrs>({
  name: "sum",
  shape: ([x], { axes }) => [{
    shape: reducedShape(x.shape, axes),
    dtype: arithmetic(x.dtype),
  }],
  vjp: ([g], { inputs: [x] }) => [g && expand(cast(g, x.dtype), x.shape)],
  batch: reduceEach,
  jvp: linear,
  reference: fold(() => 0, (a, x) => a + x),
  lowering: { kind: "reduce", join: "sum" },
});

const expandOp = defineOp<{ readonly shape: Shape }>({
  name: "expand",
  shape: ([x], { shape }) => {
    if (x.shape.length !== shape.length || x.shape.some((d, i) => d !== 1 && d !== shape[i])) {
      throw new ShapeError("expand", `[${x.shape}] does not broadcast to [${shape}]`);
    }
    return [{ shape, dtype: x.dtype }];
  },
  vjp: ([g], node) => {
    const x = node.inputs[0].shape;
    return [
      g && cast(
        sum(g, x.map((d, i) => d !== g.shape[i] ? i : -1).filter((i) => i >= 0), { keep: true }),
        g.dtype,
      ),
    ];
  },
  batch: ({ inputs: [x], size, node: { attrs: { shape } } }) => [expand(x, [size, ...shape])],
  jvp: linear,
  reference: ([x], [s], { shape }) => [gather(x, expandView(contiguous(s.shape), shape)!)],
  lowering: { kind: "view", view: (v, { shape }) => expandView(v, shape) },
});

/** Which axes to reduce, and whether they stay as extent 1. */
export interface ReduceOptions {
  /** Keep the reduced axes with extent 1. */
  readonly keep?: boolean;
}

/** Applies a reduction to axes as {@linkcode expectReduction} gives them. */
export function reduce(
  op: Op<ReduceAttrs>,
  x: Tensor,
  axes: readonly number[],
  keep = false,
): Tensor {
  const list = axes.toSorted((a, b) => a - b);
  // Over no axis it is x, in the element type that the op gives.
  const y = list.length
    ? apply(op, [x], { axes: list })[0]
    : cast(x, op.shape([x], { axes: list })[0].dtype);
  return keep ? y : reshape(y, x.shape.filter((_, i) => !list.includes(i)));
}

/**
 * Refuses arguments of a reduction that are not what they should be; every one of them looks at its own by this.
 *
 * @returns the axes as they count from 0, all of them when left out
 */
export function expectReduction(
  op: string,
  x: Tensor,
  axes: AxisList | undefined,
  options: unknown,
): number[] {
  expectTensors(op, { x });
  expectOptions(op, 2, options, { keep: "true or false" });
  return axesOf(op, 1, axes, x.shape.length);
}

/**
 * Broadcasts to `shape`, adding leading axes as NumPy does.
 *
 * @param x `[…]` of any element type, whose extents are those of the last axes of `shape`, or 1
 * @returns `shape`
 * @throws ShapeError when x does not broadcast to it
 */
export function expand(x: Tensor, shape: Shape): Tensor {
  expectTensors("expand", { x });
  expectList("expand", 1, "shape", shape, "[2, 3]");
  if (sameShape(x.shape, shape)) return x;
  const lead = shape.length - x.shape.length;
  const full = lead > 0 ? reshape(x, [...Array(lead).fill(1), ...x.shape]) : x;
  return sameShape(full.shape, shape) ? full : apply(expandOp, [full], { shape })[0];
}

/**
 * Sum over `axes` (all of them when left out); that of f16 is f32, that of bool u32: how many are true.
 *
 * @param x `[…]` of any element type
 * @returns without the axes, or with extent 1 there with `keep`
 * @throws ShapeError when an axis is not there
 */
export function sum(x: Tensor, axes?: AxisList, options: ReduceOptions = {}): Tensor {
  return reduce(sumOp, x, expectReduction("sum", x, axes, options), options.keep);
}
