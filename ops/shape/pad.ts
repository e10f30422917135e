/** Padding: with a number, or with what the tensor itself goes on with by a rule. */
import { apply, type Tensor } from "../../tensor/tensor.ts";
import {
  expectArray,
  expectChoice,
  expectList,
  expectOptions,
  expectTensors,
} from "../../tensor/arguments.ts";
import { elementOf } from "../../tensor/element.ts";
import { isExtent, type Shape, ShapeError } from "../../tensor/shape.ts";
import { contiguous, padView } from "../../tensor/view.ts";
import { defineOp } from "../../tensor/op.ts";
import { expand } from "../broadcast.ts";
import { concat } from "../concat.ts";
import { literal } from "../leaf.ts";
import { gather, pad as padZeros, slice } from "../movement.ts";
import { flip } from "./flip.ts";

const padWithOp = defineOp<
  { readonly before: readonly number[]; readonly shape: Shape; readonly value: number }
>({
  name: "padWith",
  shape: ([x], { shape }) => [{ shape, dtype: x.dtype }],
  vjp: ([g], { attrs: { before }, inputs: [x] }) => [
    g && before.reduce((y, from, i) => slice(y, i, from, from + x.shape[i]), g),
  ],
  batch: ({ inputs: [x], size, node: { op, attrs: { before, shape, value } } }) =>
    apply(op, [x], { before: [0, ...before], shape: [size, ...shape], value }),
  reference: (
    [x],
    [s],
    { before, shape, value },
  ) => [gather(x, padView(contiguous(s.shape), before, shape, value)!)],
  lowering: {
    kind: "view",
    view: (v, { before, shape, value }) => padView(v, before, shape, value),
  },
});

/** @internal Padding with one number; checked by those who call it. */
export function padWith(
  x: Tensor,
  widths: readonly (readonly [number, number])[],
  value: number,
): Tensor {
  if (Object.is(value, 0)) return padZeros(x, widths);
  const shape = x.shape.map((d, i) => d + widths[i][0] + widths[i][1]);
  if (shape.every((d, i) => d === x.shape[i])) return x;
  if (!x.size) return expand(literal(value, x.dtype), shape);
  return apply(padWithOp, [x], { before: widths.map(([w]) => w), shape, value })[0];
}

/** How padding goes on beyond the ends, as NumPy names it. */
export type PadMode = "constant" | "edge" | "reflect" | "symmetric" | "wrap";

/** One end of an axis, `width` long: what lies beyond `x` by the rule. */
function beyond(x: Tensor, axis: number, width: number, after: boolean, mode: PadMode): Tensor {
  const n = x.shape[axis];
  if (mode === "edge") {
    const at = after ? n - 1 : 0;
    return expand(slice(x, axis, at, at + 1), x.shape.with(axis, width));
  }
  if (mode === "wrap") {
    return after ? slice(x, axis, 0, width) : slice(x, axis, n - width, n);
  }
  const skip = mode === "reflect" ? 1 : 0;
  const [from, to] = after ? [n - skip - width, n - skip] : [skip, skip + width];
  return flip(slice(x, axis, from, to), [axis]);
}

/** Padding by a rule; one pass adds at most what the axis has. */
function padAlong(
  x: Tensor,
  axis: number,
  [before, after]: readonly [number, number],
  mode: PadMode,
): Tensor {
  const n = x.shape[axis];
  if (!before && !after) return x;
  const most = mode === "edge" ? Infinity : mode === "reflect" ? n - 1 : n;
  if (n < 1 || most < 1) {
    throw new ShapeError("pad", `${mode}: axis ${axis} of [${x.shape}] has nothing to go on with`);
  }
  const now = [Math.min(before, most), Math.min(after, most)] as const;
  const parts = [
    ...now[0] ? [beyond(x, axis, now[0], false, mode)] : [],
    x,
    ...now[1] ? [beyond(x, axis, now[1], true, mode)] : [],
  ];
  return padAlong(concat(parts, axis), axis, [before - now[0], after - now[1]], mode);
}

/** Options of {@linkcode pad}. */
export interface PadOptions {
  /** What lies beyond the ends. Default "constant". */
  readonly mode?: PadMode;
  /** The number of constant padding. Default 0. */
  readonly value?: number;
}

const MODES: readonly PadMode[] = ["constant", "edge", "reflect", "symmetric", "wrap"];

/**
 * Adds elements before and after along each axis: a number, or what the tensor goes on with by a rule.
 *
 * @param x `[…]` of any element type
 * @param widths `widths[i]` = [before, after] along axis `i`
 * @returns x's axes, longer by their widths
 * @throws ShapeError when the widths are not one pair for each axis, or there is nothing to go on with
 * @throws RangeError when the element type does not hold the value
 */
export function pad(
  x: Tensor,
  widths: readonly (readonly [number, number])[],
  options: PadOptions = {},
): Tensor {
  expectTensors("pad", { x });
  expectArray("pad", 1, "widths", widths, "[[1, 1], [0, 0]]");
  widths.forEach((w) => expectList("pad", 1, "an entry of widths", w, "[before, after]"));
  expectOptions("pad", 2, options, { mode: "any", value: "number" });
  const { mode = "constant", value = 0 } = options;
  expectChoice("pad", "options.mode", mode, MODES);
  if (
    widths.length !== x.shape.length || widths.some((w) => w.length !== 2) ||
    !widths.flat().every(isExtent)
  ) {
    throw new ShapeError("pad", `widths ${JSON.stringify(widths)} do not fit [${x.shape}]`);
  }
  if (mode === "constant") return padWith(x, widths, elementOf("pad", value, x.dtype));
  return widths.reduce((y, w, axis) => padAlong(y, axis, w, mode), x);
}
