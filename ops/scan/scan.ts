/**
 * Running sums, products and extremes along an axis, and the linear recurrence yₖ = aₖ·yₖ₋₁ + bₖ: the derivative of a running
 * product is such a recurrence, and a recurrence's derivative another one, so that all orders exist, zeros among the factors
 * or not.
 */
import { apply, type Tensor } from "../../tensor/tensor.ts";
import { expectNumber, expectOptions, expectTensors } from "../../tensor/arguments.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { axisOf, sameShape, ShapeError, show, sizeOf } from "../../tensor/shape.ts";
import { linear, transposed } from "../../tensor/forward.ts";
import { defineOp, type Op } from "../../tensor/op.ts";
import { moreRows } from "../batch/fold.ts";
import { mul } from "../elementwise/arithmetic.ts";
import { counted } from "../elementwise/cast.ts";
import { equal, where } from "../elementwise/compare.ts";
import { times, wrapped } from "../elementwise/define.ts";
import { expand } from "../broadcast.ts";
import { literal } from "../leaf.ts";
import { pad, permute, reshape, slice } from "../movement.ts";
import { along, axisTo } from "../index/take.ts";
import { scatterRows } from "../index/rows.ts";
import { identityOf, type ScanAttrs, scanKernel, type ScanMode } from "./kernel.ts";

const STEP: Readonly<Record<ScanMode, (acc: number, x: number, a: number) => number>> = {
  add: (acc, x) => acc + x,
  mul: (acc, x) => acc * x,
  max: (acc, x) => Math.max(acc, x),
  min: (acc, x) => Math.min(acc, x),
  linear: (acc, x, a) => acc * a + x,
};

const scanOp: Op<ScanAttrs> = defineOp<ScanAttrs>({
  name: "scan",
  shape([x, a], { mode }) {
    if (x.shape.length !== 3) throw new ShapeError("scan", `${show(x)} is not [R, n, D]`);
    if (a && (!sameShape(a.shape, x.shape) || a.dtype !== x.dtype || !isFloat(x.dtype))) {
      throw new ShapeError("scan", `factors are ${show(a)} for ${show(x)}`);
    }
    if ((mode === "linear") !== (a !== undefined)) throw new ShapeError("scan", "factors");
    return [x];
  },
  vjp([g], { inputs: [x, a], outputs: [y], attrs }, wanted) {
    if (!g) return [];
    const { mode, reverse, exclusive } = attrs;
    const back = { reverse: !reverse };
    /** What stands one place later in the direction of the scan, or one earlier. */
    const later = (t: Tensor) => shifted(t, reverse ? 1 : -1);
    const earlier = (t: Tensor) => shifted(t, reverse ? -1 : 1);
    switch (mode) {
      case "add":
        return [run([g], { ...attrs, ...back })];
      case "mul": {
        // Σᵢ gᵢ·(the other factors of yᵢ): those before k are the running product, those behind it a recurrence.
        const before = run([x], { ...attrs, exclusive: true });
        const from = exclusive ? later(g) : g;
        return [mul(before, recurrence(later(x), from, !reverse))];
      }
      case "linear": {
        const s = recurrence(later(a), g, !reverse);
        return [wanted[0] ? s : undefined, wanted[1] ? mul(s, earlier(y)) : undefined];
      }
      default: {
        // The last place so far that attains the extreme.
        const [r, n, d] = x.shape;
        const places = where(equal(x, y), along(x.shape, 1), reverse ? n : 0);
        const taken = run([places], { ...attrs, mode: reverse ? "min" : "max" });
        const rows = (t: Tensor) => reshape(permute(t, [0, 2, 1]), [r * d, n]);
        const none = expand(literal(0, g.dtype), [r * d, n, 1]);
        const sums = scatterRows(none, rows(taken), reshape(rows(g), [r * d, n, 1]), "add");
        return [permute(reshape(sums, [r, d, n]), [0, 2, 1])];
      }
    }
  },
  batch: moreRows,
  jvp: (tangents, node, tools) =>
    (node.attrs.mode === "add" ? linear : transposed)(tangents, node, tools),
  reference([x, a], [{ shape: [r, n, d], dtype }], { mode, reverse, exclusive }) {
    const y = new Float64Array(x.length);
    for (let row = 0; row < r * d; row++) {
      let acc = identityOf(mode, dtype);
      for (let k = 0; k < n; k++) {
        const place = reverse ? n - 1 - k : k;
        const at = (Math.floor(row / d) * n + place) * d + row % d;
        const next = STEP[mode](acc, x[at], a?.[at] ?? 0);
        y[at] = exclusive ? acc : next;
        acc = mode === "mul" ? times(acc, x[at], dtype) : next;
        if (!isFloat(dtype)) [acc] = wrapped(Float64Array.of(acc), dtype);
        if (!exclusive) y[at] = acc;
      }
    }
    return [wrapped(y, dtype)];
  },
  lowering: { kind: "kernel", epilogue: true, build: scanKernel },
});

const run = (inputs: readonly Tensor[], attrs: ScanAttrs): Tensor =>
  apply(scanOp, inputs, attrs)[0];

/** `[R, n, D]`: yₖ = aₖ·yₖ₋₁ + bₖ. */
const recurrence = (a: Tensor, b: Tensor, reverse: boolean): Tensor =>
  run([b, a], { mode: "linear", reverse, exclusive: false });

/** Moved along axis 1 by one place, 0 coming in. */
function shifted(t: Tensor, by: 1 | -1): Tensor {
  const n = t.shape[1];
  if (!n) return t;
  const part = slice(t, 1, by > 0 ? 0 : 1, by > 0 ? n - 1 : n);
  return pad(part, [[0, 0], by > 0 ? [1, 0] : [0, 1], [0, 0]]);
}

/** Options of the running functions. */
export interface ScanOptions {
  /** From the end to the beginning. Default false. */
  readonly reverse?: boolean;
}

/** Applies a scan along an axis of tensors of one shape. */
function scanAlong(op: string, xs: readonly Tensor[], axis: number, attrs: ScanAttrs): Tensor {
  expectNumber(op, xs.length, "axis", axis);
  const { shape } = xs[0];
  const a = axisOf(op, axis, shape.length);
  // Extremes send their gradient to places, which are those of one row.
  const whole = attrs.mode === "max" || attrs.mode === "min" || a === shape.length - 1;
  const { to, back } = axisTo(shape.length, a, "last");
  const moved = whole ? to : shape.map((_, i) => i);
  const at = whole ? shape.length - 1 : a;
  const flat = xs.map((x) => {
    const t = permute(x, moved);
    return reshape(t, [
      sizeOf(t.shape.slice(0, at)),
      t.shape[at],
      sizeOf(t.shape.slice(at + 1)),
    ]);
  });
  const y = reshape(run(flat, attrs), moved.map((i) => shape[i]));
  return whole ? permute(y, back) : y;
}

function running(
  op: string,
  mode: ScanMode,
  x: Tensor,
  axis: number,
  options: ScanOptions & { readonly exclusive?: boolean },
  /** Of sums and products, which count truth values. */
  exclusive: boolean,
): Tensor {
  expectTensors(op, { x });
  expectOptions(op, 2, options, {
    reverse: "true or false",
    ...exclusive ? { exclusive: "true or false" as const } : {},
  });
  return scanAlong(op, [exclusive ? counted(x) : x], axis, {
    mode,
    reverse: options.reverse ?? false,
    exclusive: options.exclusive ?? false,
  });
}

/**
 * Running sum along an axis.
 *
 * @param x `[…]` of any element type, which the result has, too, but for bool, whose is u32
 * @param options `reverse`: from the end; `exclusive`: of what comes before, 0 first
 */
export const cumsum = (
  x: Tensor,
  axis = -1,
  options: ScanOptions & { readonly exclusive?: boolean } = {},
): Tensor => running("cumsum", "add", x, axis, options, true);

/**
 * Running product along an axis. Its derivative is exact where factors are 0, too.
 *
 * @param x `[…]` of any element type, which the result has, too, but for bool, whose is u32
 * @param options `reverse`: from the end; `exclusive`: of what comes before, 1 first
 */
export const cumprod = (
  x: Tensor,
  axis = -1,
  options: ScanOptions & { readonly exclusive?: boolean } = {},
): Tensor => running("cumprod", "mul", x, axis, options, true);

/**
 * Running maximum along an axis, NaN from the first one on; the gradient goes to the last place that attains it so far.
 *
 * @param x `[…]` of any element type, which the result has, too
 */
export const cummax = (x: Tensor, axis = -1, options: ScanOptions = {}): Tensor =>
  running("cummax", "max", x, axis, options, false);
/**
 * Running minimum along an axis, NaN from the first one on; the gradient goes to the last place that attains it so far.
 *
 * @param x `[…]` of any element type, which the result has, too
 */
export const cummin = (x: Tensor, axis = -1, options: ScanOptions = {}): Tensor =>
  running("cummin", "min", x, axis, options, false);

/**
 * The recurrence yₖ = aₖ·yₖ₋₁ + bₖ along an axis, from y₋₁ = 0: what state-space models and exponential averages are.
 *
 * @param a factors, f32 or f16
 * @param b of a's shape and element type
 * @returns of their shape and element type
 * @throws ShapeError when shapes or element types differ
 */
export function linearScan(a: Tensor, b: Tensor, axis = -1, options: ScanOptions = {}): Tensor {
  expectTensors("linearScan", { a, b });
  expectOptions("linearScan", 3, options, { reverse: "true or false" });
  const given = `a is ${show(a.spec)}, b ${show(b.spec)}`;
  if (!sameShape(a.shape, b.shape) || !isFloat(a.dtype)) {
    throw new ShapeError("linearScan", `${given}; expected floats of one shape`);
  }
  if (a.dtype !== b.dtype) throw new ShapeError("linearScan", `${given}; cast one of them first`);
  return scanAlong("linearScan", [b, a], axis, {
    mode: "linear",
    reverse: options.reverse ?? false,
    exclusive: false,
  });
}
