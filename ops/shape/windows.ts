/**
 * Windows that slide along axes, and their inverse, which adds up what overlaps: pooling, strided slices, patches and
 * depthwise convolutions are made of the two. Windows are a view; nothing is copied until somebody reads it.
 */
import { apply, type Tensor } from "../../tensor/tensor.ts";
import {
  axesOf,
  type AxisList,
  expectArray,
  expectList,
  expectOptions,
  expectTensors,
} from "../../tensor/arguments.ts";
import { wholeNumber } from "../../tensor/element.ts";
import { type Shape, ShapeError, sizeOf } from "../../tensor/shape.ts";
import { contiguous, type Windows, windowsAlong, windowView } from "../../tensor/view.ts";
import { linear } from "../../tensor/forward.ts";
import { defineOp, type Op } from "../../tensor/op.ts";
import { moveAxis } from "../batch/fold.ts";
import { gather, permute } from "../movement.ts";
import { type FoldAttrs, foldKernel } from "./kernel.ts";

const windowsOp: Op<Windows> = defineOp<Windows>({
  name: "windows",
  shape([x], w) {
    const counts = windowsAlong(x.shape, w);
    if (counts.some((n) => n < 0)) {
      throw new ShapeError("windows", `windows of [${w.size}] do not fit into [${x.shape}]`);
    }
    return [{ shape: [...w.size, ...counts], dtype: x.dtype }];
  },
  vjp: ([g], { inputs: [x], attrs }) => [
    g && apply(foldOp, [g], { ...attrs, shape: x.shape })[0],
  ],
  batch: ({ inputs: [x], node: { op, attrs } }) => {
    const [y] = apply(op, [x], { ...attrs, axes: attrs.axes.map((a) => a + 1) });
    return [moveAxis(y, attrs.size.length, 0)];
  },
  jvp: linear,
  reference: ([x], [s], w) => [gather(x, windowView(contiguous(s.shape), w)!)],
  lowering: { kind: "view", view: windowView },
});

const foldOp: Op<FoldAttrs> = defineOp<FoldAttrs>({
  name: "fold",
  shape: ([g], { shape }) => [{ shape, dtype: g.dtype }],
  vjp: ([u], { attrs: { shape: _, ...w } }) => [u && apply(windowsOp, [u], w)[0]],
  batch: ({ inputs: [g], size, node: { op, attrs } }) =>
    apply(op, [moveAxis(g, 0, attrs.size.length)], {
      ...attrs,
      axes: attrs.axes.map((a) => a + 1),
      shape: [size, ...attrs.shape],
    }),
  jvp: linear,
  reference([g], _specs, { shape, ...w }) {
    const y = new Float64Array(sizeOf(shape));
    // Where each element of the windows comes from.
    const from = gather(
      Float64Array.from(y.keys()),
      windowView(contiguous(shape), w)!,
    );
    from.forEach((at, i) => y[at] += g[i]);
    return [y];
  },
  lowering: { kind: "kernel", epilogue: true, build: foldKernel },
});

/** @internal Windows with their places first: `[...size, ...windows]`. */
export const windows = (x: Tensor, w: Windows): Tensor => apply(windowsOp, [x], w)[0];

/** @internal What {@linkcode windows} of a tensor of that shape add up to. */
export const fold = (g: Tensor, w: Windows, shape: Shape): Tensor =>
  apply(foldOp, [g], { ...w, shape })[0];

/** @internal One number for each axis, from one for all or a list. */
export function perAxis(
  op: string,
  what: string,
  given: number | readonly number[] | undefined,
  count: number,
  least: number,
  otherwise: number,
): number[] {
  if (given !== undefined && typeof given !== "number") {
    expectArray(op, 1, what, given, "[2, 2]");
    if (given.length !== count) {
      throw new ShapeError(op, `${what} [${given}] has ${given.length} numbers for ${count} axes`);
    }
  }
  const list = typeof given === "object" ? given : Array(count).fill(given ?? otherwise);
  return list.map((n) => wholeNumber(op, `${what}`, n, least));
}

/** @internal Padding before and after along each dimension. */
export function sides(
  op: string,
  padding: number | readonly (number | readonly [number, number])[] | undefined,
  count: number,
): [number, number][] {
  const list = typeof padding === "object" ? padding : Array(count).fill(padding ?? 0);
  if (list.length !== count) {
    throw new ShapeError(op, `padding has ${list.length} entries for ${count} dimensions`);
  }
  return list.map((p: number | readonly [number, number]) => {
    const pair = typeof p === "object" ? p : [p, p];
    return perAxis(op, "padding", pair, 2, 0, 0) as [number, number];
  });
}

/** Options of {@linkcode slidingWindowView}. */
export interface WindowOptions {
  /** The axes along which windows slide. Default: the last ones, as many as the window has extents. */
  readonly axes?: AxisList;
  /** From one window to the next, for all axes or each. Default 1. */
  readonly stride?: number | readonly number[];
  /** From one element of a window to the next, for all axes or each. Default 1. */
  readonly dilation?: number | readonly number[];
}

/**
 * Every window of some extents that lies within a tensor, as NumPy has it: a view, which costs nothing until it is read.
 *
 * @param x `[…]` of any element type
 * @param window extents of a window, one for each of the axes
 * @returns x's axes, each as long as there are windows along it, and then the window's
 * @throws ShapeError when a window is longer than its axis
 */
export function slidingWindowView(
  x: Tensor,
  window: readonly number[],
  options: WindowOptions = {},
): Tensor {
  const op = "slidingWindowView";
  expectTensors(op, { x });
  expectList(op, 1, "window", window, "[3, 3]");
  expectOptions(op, 2, options, {
    axes: "a number or a list",
    stride: "a number or a list",
    dilation: "a number or a list",
  });
  const rank = x.shape.length;
  const given = options.axes ?? window.map((_, i) => i - window.length);
  const axes = axesOf(op, 2, given, rank, "options.axes");
  if (axes.length !== window.length) {
    throw new ShapeError(op, `a window of [${window}] along the axes [${given}]`);
  }
  const w = {
    axes,
    size: perAxis(op, "window", window, axes.length, 1, 1),
    stride: perAxis(op, "stride", options.stride, axes.length, 1, 1),
    dilation: perAxis(op, "dilation", options.dilation, axes.length, 1, 1),
  };
  const counts = windowsAlong(x.shape, w);
  if (counts.some((n, i) => axes.includes(i) && n < 1)) {
    throw new ShapeError(op, `a window of [${window}] does not fit into [${x.shape}]`);
  }
  const y = windows(x, w);
  return permute(y, [...counts.keys()].map((i) => i + axes.length).concat([...axes.keys()]));
}
