/**
 * Movement: the same values at other places. None of these ops moves anything by itself: permute, slice, pad and expand
 * become index arithmetic in whatever reads them, reshape renames storage.
 */
import { apply, type Tensor } from "../tensor/tensor.ts";
import { expectArray, expectList, expectNumber, expectTensors } from "../tensor/arguments.ts";
import {
  axisOf,
  isExtent,
  sameShape,
  type Shape,
  ShapeError,
  sizeOf,
  stridesOf,
} from "../tensor/shape.ts";
import { linear } from "../tensor/forward.ts";
import { defineOp } from "../tensor/op.ts";
import { contiguous, padView, permuteView, sliceView, type View } from "../tensor/view.ts";

/** Reads a whole view of a flat array: the reference of every movement op. */
export function gather(x: Float64Array, v: View): Float64Array {
  const y = new Float64Array(sizeOf(v.shape));
  const unit = stridesOf(v.shape);
  for (let i = 0; i < y.length; i++) {
    let at = v.offset;
    let inside = true;
    for (let d = 0; d < v.shape.length; d++) {
      const c = Math.floor(i / unit[d]) % v.shape[d];
      const g = v.guards[d];
      if (g && (c < g[0] || c >= g[1])) inside = false;
      at += c * v.strides[d];
    }
    y[i] = inside ? x[at] : v.fill ?? 0;
  }
  return y;
}

const reshapeOp = defineOp<{ readonly shape: Shape }>({
  name: "reshape",
  shape: ([x], { shape }) => {
    if (sizeOf(shape) !== sizeOf(x.shape) || !shape.every(isExtent)) {
      throw new ShapeError(
        "reshape",
        `[${x.shape}] has ${sizeOf(x.shape)} elements, [${shape}] has ${sizeOf(shape)}`,
      );
    }
    return [{ shape, dtype: x.dtype }];
  },
  vjp: ([g], node) => [g && reshape(g, node.inputs[0].shape)],
  batch: ({ inputs: [x], size, node: { attrs: { shape } } }) => [reshape(x, [size, ...shape])],
  jvp: linear,
  reference: ([x]) => [x],
  lowering: { kind: "alias" },
});

const permuteOp = defineOp<{ readonly axes: readonly number[] }>({
  name: "permute",
  shape: ([x], { axes }) => {
    if ([...axes].sort((a, b) => a - b).some((a, i) => a !== i) || axes.length !== x.shape.length) {
      throw new ShapeError("permute", `[${axes}] is no permutation of the axes of [${x.shape}]`);
    }
    return [{ shape: axes.map((a) => x.shape[a]), dtype: x.dtype }];
  },
  vjp: ([g], { attrs: { axes } }) => [g && permute(g, axes.map((_, i) => axes.indexOf(i)))],
  batch: (
    { inputs: [x], node: { attrs: { axes } } },
  ) => [permute(x, [0, ...axes.map((a) => a + 1)])],
  jvp: linear,
  reference: ([x], [s], { axes }) => [gather(x, permuteView(contiguous(s.shape), axes))],
  lowering: { kind: "view", view: (v, { axes }) => permuteView(v, axes) },
});

const sliceOp = defineOp<{ readonly starts: readonly number[]; readonly shape: Shape }>({
  name: "slice",
  shape: ([x], { starts, shape }) => {
    const within = (d: number, i: number) =>
      isExtent(d) && isExtent(starts[i]) && starts[i] + d <= x.shape[i];
    if (!shape.every(within)) {
      throw new ShapeError("slice", `[${shape}] from [${starts}] does not lie within [${x.shape}]`);
    }
    return [{ shape, dtype: x.dtype }];
  },
  vjp: ([g], node) => {
    const x = node.inputs[0].shape;
    return [
      g && pad(g, x.map((d, i) => [node.attrs.starts[i], d - node.attrs.starts[i] - g.shape[i]])),
    ];
  },
  batch: ({ inputs: [x], size, node: { attrs: { starts, shape } } }) => [
    window(x, [0, ...starts], [size, ...shape]),
  ],
  jvp: linear,
  reference: (
    [x],
    [s],
    { starts, shape },
  ) => [gather(x, sliceView(contiguous(s.shape), starts, shape))],
  lowering: { kind: "view", view: (v, { starts, shape }) => sliceView(v, starts, shape) },
});

const padOp = defineOp<{ readonly before: readonly number[]; readonly shape: Shape }>({
  name: "pad",
  shape: ([x], { shape }) => [{ shape, dtype: x.dtype }],
  vjp: ([g], node) => [g && window(g, node.attrs.before, node.inputs[0].shape)],
  batch: ({ inputs: [x], size, node: { attrs: { before, shape }, op } }) =>
    apply(op, [x], { before: [0, ...before], shape: [size, ...shape] }),
  jvp: linear,
  reference: (
    [x],
    [s],
    { before, shape },
  ) => [gather(x, padView(contiguous(s.shape), before, shape)!)],
  lowering: { kind: "view", view: (v, { before, shape }) => padView(v, before, shape) },
});

/**
 * The same elements in row-major order under another shape; one extent may be −1, for what the others leave.
 *
 * @param x `[…]` of any element type
 * @throws ShapeError when the shape has another number of elements, or what −1 stands for is no whole number, or any number
 */
export function reshape(x: Tensor, shape: Shape): Tensor {
  expectTensors("reshape", { x });
  expectList("reshape", 1, "shape", shape, "[2, 3]");
  const known = shape.reduce((n, d) => d === -1 ? n : n * d, 1);
  if (
    shape.includes(-1) &&
    (!Number.isInteger(x.size / known) || shape.filter((d) => d === -1).length > 1)
  ) {
    throw new ShapeError(
      "reshape",
      `[${x.shape}] has ${x.size} elements, which leaves none for −1 in [${shape}]`,
    );
  }
  const full = shape.map((d) => d === -1 ? x.size / known : d);
  return sameShape(full, x.shape) ? x : apply(reshapeOp, [x], { shape: full })[0];
}

/**
 * Reorders axes: axis `i` of the result is axis `axes[i]` of `x`.
 *
 * @param x `[…]` of any element type
 * @throws ShapeError when `axes` does not name each axis once
 */
export function permute(x: Tensor, axes: readonly number[]): Tensor {
  expectTensors("permute", { x });
  expectList("permute", 1, "axes", axes, "[1, 0]");
  return axes.every((a, i) => a === i) && axes.length === x.shape.length
    ? x
    : apply(permuteOp, [x], { axes })[0];
}

/** @internal An image `[B, C, …]` as `[B, …, C]`, where channels come first; else itself. */
export const toLast = (x: Tensor, first = false): Tensor =>
  first ? permute(x, [0, ...x.shape.map((_, i) => i).slice(2), 1]) : x;
/** @internal What {@linkcode toLast} undoes. */
export const toFirst = (y: Tensor, first = false): Tensor =>
  first ? permute(y, [0, y.shape.length - 1, ...y.shape.map((_, i) => i).slice(1, -1)]) : y;

/**
 * Swaps the last two axes.
 *
 * @param x `[…, n, m]` of any element type
 * @returns `[…, m, n]`
 * @throws ShapeError when there are no two axes
 */
export function transpose(x: Tensor): Tensor {
  expectTensors("transpose", { x });
  const r = x.shape.length;
  if (r < 2) throw new ShapeError("transpose", `[${x.shape}] has no two axes to swap`);
  return permute(x, [...Array(Math.max(0, r - 2)).keys(), r - 1, r - 2]);
}

function window(x: Tensor, starts: readonly number[], shape: Shape): Tensor {
  const all = sameShape(shape, x.shape) && starts.every((start) => start === 0);
  return all ? x : apply(sliceOp, [x], { starts, shape })[0];
}

/**
 * Elements `start` (inclusive) to `end` (exclusive) along one axis.
 *
 * @param x `[…]` of any element type
 * @returns x's axes, that one with extent `end − start`
 * @throws ShapeError when they do not lie within the tensor, or are no whole numbers
 */
export function slice(x: Tensor, axis: number, start: number, end: number): Tensor {
  expectTensors("slice", { x });
  for (const [i, n] of [axis, start, end].entries()) {
    expectNumber("slice", i + 1, ["axis", "start", "end"][i], n);
  }
  const a = axisOf("slice", axis, x.shape.length);
  return window(
    x,
    x.shape.map((_, i) => i === a ? start : 0),
    x.shape.map((d, i) => i === a ? end - start : d),
  );
}

/** Adds zeros: `widths[i]` = [before, after] along axis `i`. */
export function pad(x: Tensor, widths: readonly (readonly [number, number])[]): Tensor {
  expectTensors("pad", { x });
  expectArray("pad", 1, "widths", widths, "[[1, 1], [0, 0]]");
  widths.forEach((w) => expectList("pad", 1, "an entry of widths", w, "[before, after]"));
  if (widths.length !== x.shape.length || !widths.flat().every(isExtent)) {
    throw new ShapeError("pad", `widths ${JSON.stringify(widths)} do not fit [${x.shape}]`);
  }
  const shape = x.shape.map((d, i) => d + widths[i][0] + widths[i][1]);
  return sameShape(shape, x.shape)
    ? x
    : apply(padOp, [x], { before: widths.map((w) => w[0]), shape })[0];
}
