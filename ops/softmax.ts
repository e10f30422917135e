/** Softmax and log-sum-exp: kernels over the last axis, which others are brought to. Computed in f32, the maximum taken off first. */
import { apply, type Tensor } from "../tensor/tensor.ts";
import {
  axesOf,
  type AxisList,
  expectNumber,
  expectOptions,
  expectTensors,
} from "../tensor/arguments.ts";
import { axisOf, type Shape, ShapeError, show, sizeOf, type Spec } from "../tensor/shape.ts";
import { isFloat } from "../tensor/dtype.ts";
import { alike } from "../tensor/batch.ts";
import { defineOp, type Op } from "../tensor/op.ts";
import { exp, mul, sub } from "./elementwise/arithmetic.ts";
import { cast } from "./elementwise/cast.ts";
import { expand, sum } from "./broadcast.ts";
import { permute, reshape } from "./movement.ts";
import {
  logSoftmaxKernel,
  logSumExpKernel,
  softmaxGradKernel,
  softmaxKernel,
} from "./softmax_kernel.ts";

const lengthOf = (shape: Shape): number => shape.at(-1)!;

function check(name: string, x: Spec): void {
  if (x.shape.length === 0 || !isFloat(x.dtype)) {
    throw new ShapeError(name, `needs floats with at least one axis, not ${show(x)}`);
  }
}

/** Calls `f` with the bounds of every row. */
function eachRow(x: Spec, f: (from: number, to: number, row: number) => void): void {
  const n = lengthOf(x.shape);
  for (let row = 0; row * n < sizeOf(x.shape); row++) f(row * n, (row + 1) * n, row);
}

/** A row, its largest element, and Σ exp(x − top). */
function exponentialSum(x: Float64Array, from: number, to: number): [Float64Array, number, number] {
  const row = x.subarray(from, to);
  const top = row.reduce((a, b) => Math.max(a, b), -Infinity);
  return [row, top, row.reduce((a, b) => a + Math.exp(b - top), 0)];
}

const softmaxOp: Op<undefined> = defineOp<undefined>({
  name: "softmax",
  shape([x]) {
    check("softmax", x);
    return [x];
  },
  vjp: ([g], node) => [g && apply(softmaxGradOp, [node.outputs[0], g], undefined)[0]],
  batch: alike,
  reference([x], [s]) {
    const y = new Float64Array(x.length);
    eachRow(s, (from, to) => {
      const [row, top, total] = exponentialSum(x, from, to);
      row.forEach((v, i) => y[from + i] = Math.exp(v - top) / total);
    });
    return [y];
  },
  lowering: {
    kind: "kernel",
    epilogue: true,
    build: softmaxKernel,
  },
});

/** Gradient of softmax from its output `y` and cotangent `g`: y·(g − Σ g·y). */
const softmaxGradOp: Op<undefined> = defineOp<undefined>({
  name: "softmaxGrad",
  shape([y, g]) {
    check("softmaxGrad", y);
    return [{ shape: y.shape, dtype: g.dtype }];
  },
  vjp([h], { inputs: [y, g] }, wanted) {
    if (!h) return [undefined, undefined];
    const over = (a: Tensor, b: Tensor) =>
      expand(cast(sum(mul(a, b), [-1], { keep: true }), a.dtype), y.shape);
    return [
      wanted[0] ? sub(mul(h, sub(g, over(g, y))), mul(g, over(h, y))) : undefined,
      wanted[1] ? apply(softmaxGradOp, [y, h], undefined)[0] : undefined,
    ];
  },
  batch: alike,
  reference([y, g], [s]) {
    const dx = new Float64Array(y.length);
    eachRow(s, (from, to) => {
      let dot = 0;
      for (let i = from; i < to; i++) dot += g[i] * y[i];
      for (let i = from; i < to; i++) dx[i] = y[i] * (g[i] - dot);
    });
    return [dx];
  },
  lowering: {
    kind: "kernel",
    epilogue: true,
    build: softmaxGradKernel,
  },
});

const logSumExpOp = defineOp<undefined>({
  name: "logSumExp",
  shape([x]) {
    check("logSumExp", x);
    return [{ shape: [...x.shape.slice(0, -1), 1], dtype: "f32" }];
  },
  vjp: ([g], { inputs: [x] }) => [
    g && cast(mul(expand(g, x.shape), cast(softmax(x), "f32")), x.dtype),
  ],
  batch: alike,
  reference([x], [s], _attrs, [out]) {
    const y = new Float64Array(sizeOf(out.shape)).fill(-Infinity);
    eachRow(s, (from, to, row) => {
      const values = x.subarray(from, to);
      const top = values.reduce((a, b) => Math.max(a, b), -Infinity);
      const shift = Math.abs(top) === Infinity ? 0 : top;
      y[row] = shift + Math.log(values.reduce((a, b) => a + Math.exp(b - shift), 0));
    });
    return [y];
  },
  lowering: {
    kind: "kernel",
    epilogue: false,
    build: logSumExpKernel,
  },
});

/** (x − top) − log Σ: what the maximum and the sum's logarithm have in common is never added to either. */
const logSoftmaxOp = defineOp<undefined>({
  name: "logSoftmax",
  shape([x]) {
    check("logSoftmax", x);
    return [{ shape: x.shape, dtype: "f32" }];
  },
  vjp: ([g], { inputs: [x], outputs: [y] }) => [
    g && cast(sub(g, mul(exp(y), sum(g, [-1], { keep: true }))), x.dtype),
  ],
  batch: alike,
  reference([x], [s]) {
    const y = new Float64Array(x.length);
    eachRow(s, (from, to) => {
      const [row, top, total] = exponentialSum(x, from, to);
      row.forEach((v, i) => y[from + i] = v - top - Math.log(total));
    });
    return [y];
  },
  lowering: {
    kind: "kernel",
    epilogue: true,
    build: logSoftmaxKernel,
  },
});

/** Applies what is defined over the last axis over another one. */
function over(op: Op<undefined>, x: Tensor, axis: number): Tensor {
  expectTensors(op.name, { x });
  expectNumber(op.name, 1, "axis", axis);
  const rank = x.shape.length;
  if (axis === -1 || axis === rank - 1) return apply(op, [x], undefined)[0];
  const a = axisOf(op.name, axis, rank);
  const to = [...x.shape.keys()].toSpliced(a, 1).concat(a);
  return permute(apply(op, [permute(x, to)], undefined)[0], to.map((_, i) => to.indexOf(i)));
}

/**
 * eˣ / Σ eˣ over an axis.
 *
 * @param x `[…]`; a row that is −∞ throughout gives NaN
 * @param axis default the last
 * @returns of x's shape and element type
 * @throws ShapeError for integers, and when x has no axes
 */
export const softmax = (x: Tensor, axis = -1): Tensor => over(softmaxOp, x, axis);

/**
 * log Σ eˣ over an axis, or several, in f32.
 *
 * @param x `[…]`
 * @param options `axes`: default the last; `keep`: leave them as extents of 1
 * @returns f32, without the axes, or with extent 1 there with `keep`
 * @throws ShapeError for integers, and when x has no axes
 */
export function logSumExp(
  x: Tensor,
  options: { readonly keep?: boolean; readonly axes?: AxisList } = {},
): Tensor {
  expectTensors("logSumExp", { x });
  expectOptions("logSumExp", 1, options, { keep: "true or false", axes: "a number or a list" });
  check("logSumExp", x.spec);
  const rank = x.shape.length;
  const { axes = -1, keep } = options;
  const gone = new Set(axesOf("logSumExp", 1, axes, rank, "options.axes"));
  const others = [...x.shape.keys()].filter((i) => !gone.has(i));
  const rows = others.map((i) => x.shape[i]);
  const flat = gone.size === 1 && gone.has(rank - 1)
    ? x
    : reshape(permute(x, [...others, ...gone]), [
      ...rows,
      sizeOf([...gone].map((i) => x.shape[i])),
    ]);
  const y = apply(logSumExpOp, [flat], undefined)[0];
  return reshape(y, keep ? x.shape.map((d, i) => gone.has(i) ? 1 : d) : rows);
}

/**
 * Logarithm of {@linkcode softmax}, in f32, without the cancellation of taking it afterwards.
 *
 * @param x `[…]`
 * @param axis default the last
 * @returns of x's shape and element type
 * @throws ShapeError for integers, and when x has no axes
 */
export const logSoftmax = (x: Tensor, axis = -1): Tensor => over(logSoftmaxOp, x, axis);
