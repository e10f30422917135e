/** Reading from the end, and what is made of it: strided slices in both directions, indexing, rolling, repeating. */
import { apply, type Tensor } from "../../tensor/tensor.ts";
import {
  axesOf,
  type AxisList,
  axisList,
  expectArray,
  expectList,
  expectNumber,
  expectTensors,
} from "../../tensor/arguments.ts";
import { wholeNumber } from "../../tensor/element.ts";
import { axisOf, ShapeError } from "../../tensor/shape.ts";
import { what } from "../../tensor/what.ts";
import { contiguous, flipView } from "../../tensor/view.ts";
import { linear } from "../../tensor/forward.ts";
import { defineOp } from "../../tensor/op.ts";
import { expand } from "../broadcast.ts";
import { concat } from "../concat.ts";
import { gather, reshape, slice } from "../movement.ts";
import { windows } from "./windows.ts";

const flipOp = defineOp<{ readonly axes: readonly number[] }>({
  name: "flip",
  shape: ([x]) => [x],
  vjp: ([g], { attrs: { axes } }) => [g && reversed(g, axes)],
  batch: ({ inputs: [x], node: { attrs: { axes } } }) => [reversed(x, axes.map((a) => a + 1))],
  jvp: linear,
  reference: ([x], [s], { axes }) => [gather(x, flipView(contiguous(s.shape), axes))],
  lowering: { kind: "view", view: (v, { axes }) => flipView(v, axes) },
});

const reversed = (x: Tensor, axes: readonly number[]): Tensor =>
  axes.some((a) => x.shape[a] > 1) ? apply(flipOp, [x], { axes })[0] : x;

/**
 * Reverses the order along axes, all of them when left out.
 *
 * @param x `[…]` of any element type
 * @throws ShapeError when an axis is not there, or named twice
 */
export function flip(x: Tensor, axes?: AxisList): Tensor {
  expectTensors("flip", { x });
  return reversed(x, axesOf("flip", 1, axes, x.shape.length));
}

/** `count` elements of one axis from `start` on, every `step`-th, which may be negative. */
export function strided(
  x: Tensor,
  axis: number,
  start: number,
  count: number,
  step: number,
): Tensor {
  if (count === 0) return slice(x, axis, 0, 0);
  if (count === 1) return slice(x, axis, start, start + 1);
  const span = (count - 1) * Math.abs(step);
  const low = step < 0 ? start - span : start;
  const part = slice(x, axis, low, low + span + 1);
  const y = Math.abs(step) === 1 ? part : reshape(
    windows(part, { axes: [axis], size: [1], stride: [Math.abs(step)], dilation: [1] }),
    x.shape.with(axis, count),
  );
  return step < 0 ? reversed(y, [axis]) : y;
}

/**
 * One index of {@linkcode index}: a number takes one place and drops the axis; `[start, end, step]` is a slice as Python
 * has it (negative places count from the end, `null` is the end that the step comes from or goes to); ":" is the whole
 * axis, "..." all that are not named, `null` a new axis of extent 1.
 */
export type Index =
  | number
  | readonly [start: number | null, end?: number | null, step?: number | null]
  | ":"
  | "..."
  | null;

/** The places of a Python slice. */
function placesOf(
  [start, end, step]: readonly (number | null | undefined)[],
  extent: number,
): [start: number, count: number, step: number] {
  const by = step ?? 1;
  if (!Number.isSafeInteger(by) || by === 0) {
    throw new ShapeError("index", `a step is a whole number other than 0, not ${by}`);
  }
  const [low, high] = by < 0 ? [-1, extent - 1] : [0, extent];
  const place = (v: number | null | undefined, otherwise: number) => {
    if (v === null || v === undefined) return otherwise;
    if (!Number.isSafeInteger(v)) throw new ShapeError("index", `${v} is no place`);
    return Math.min(Math.max(v < 0 ? v + extent : v, low), high);
  };
  const [from, to] = by < 0
    ? [place(start, extent - 1), place(end, -1)]
    : [place(start, 0), place(end, extent)];
  return [from, Math.max(0, Math.ceil((to - from) / by)), by];
}

/**
 * What NumPy writes as `x[1, 2:8:2, ::-1, ..., None]`, with places that are fixed when it is traced; `take` has those
 * that are data.
 *
 * ```ts ignore
 * index(x, [1, [2, 8, 2], [null, null, -1], "...", null]);
 * ```
 *
 * @param x `[…]` of any element type
 * @param indices one for each axis from the first on; axes that are left are taken whole
 * @throws ShapeError when a number lies outside of its axis, or there are more indices than axes
 */
export function index(x: Tensor, indices: readonly Index[]): Tensor {
  expectTensors("index", { x });
  expectArray("index", 1, "indices", indices, '[0, ":", [null, null, -1]]');
  const rank = x.shape.length;
  const named = indices.filter((i) => i !== null && i !== "...").length;
  const rests = indices.filter((i) => i === "...").length;
  if (named > rank || rests > 1) {
    throw new ShapeError("index", `${named} indices and ${rests} "..." for [${x.shape}]`);
  }
  let y = x;
  const shape: number[] = [];
  let axis = 0;
  indices.forEach((i, at) => {
    if (i === null) shape.push(1);
    else if (i === "...") {
      for (let n = rank - named; n > 0; n--) shape.push(x.shape[axis++]);
    } else if (i === ":") shape.push(x.shape[axis++]);
    else if (typeof i === "number") {
      const extent = x.shape[axis];
      if (!Number.isSafeInteger(i) || i >= extent || i < -extent) {
        throw new ShapeError("index", `${i} does not lie within axis ${axis} of [${x.shape}]`);
      }
      const start = i < 0 ? i + extent : i;
      y = slice(y, axis++, start, start + 1);
    } else {
      if (!Array.isArray(i) || i.length > 3) {
        throw new TypeError(`index: argument 2 (indices) has ${what(i)} at ${at}`);
      }
      const [start, count, step] = placesOf(i, x.shape[axis]);
      y = strided(y, axis++, start, count, step);
      shape.push(count);
    }
  });
  return reshape(y, [...shape, ...x.shape.slice(axis)]);
}

/**
 * Moves elements along axes by `shift` places; what leaves at one end comes in at the other.
 *
 * @param x `[…]` of any element type
 * @param shift one number for all axes, or one for each
 * @param axes left out, elements move through the whole tensor in row-major order
 * @throws ShapeError when a shift is no whole number, or there are others than axes
 */
export function roll(
  x: Tensor,
  shift: number | readonly number[],
  axes?: AxisList,
): Tensor {
  expectTensors("roll", { x });
  const shifts = typeof shift === "number" ? [shift] : shift;
  expectList("roll", 1, "shift", shifts, "[1, 2]");
  if (axes === undefined) {
    return reshape(rolled(reshape(x, [x.size]), 0, shifts.reduce((a, b) => a + b, 0)), x.shape);
  }
  // One that is named twice is moved twice, as in NumPy.
  const list = axisList("roll", 2, axes).map((a) => axisOf("roll", a, x.shape.length));
  if (shifts.length !== 1 && shifts.length !== list.length) {
    throw new ShapeError("roll", `${shifts.length} shifts for ${list.length} axes`);
  }
  return list.reduce((y, a, i) => rolled(y, a, shifts[i] ?? shifts[0]), x);
}

function rolled(x: Tensor, axis: number, shift: number): Tensor {
  if (!Number.isSafeInteger(shift)) throw new ShapeError("roll", `${shift} is no whole number`);
  const n = x.shape[axis];
  const by = n ? ((shift % n) + n) % n : 0;
  return by ? concat([slice(x, axis, n - by, n), slice(x, axis, 0, n - by)], axis) : x;
}

/**
 * Repeats the whole tensor along each axis; `counts` are those of the last axes, as NumPy has it.
 *
 * @param x `[…]` of any element type
 * @returns extents times counts
 * @throws ShapeError when a count is no whole number of at least 0
 */
export function tile(x: Tensor, counts: readonly number[]): Tensor {
  expectTensors("tile", { x });
  expectList("tile", 1, "counts", counts, "[2, 1]");
  counts.forEach((n) => wholeNumber("tile", "a count", n));
  const rank = Math.max(x.shape.length, counts.length);
  const shape = [...Array(rank - x.shape.length).fill(1), ...x.shape];
  const times = [...Array(rank - counts.length).fill(1), ...counts];
  const cells = reshape(x, shape.flatMap((d) => [1, d]));
  return reshape(
    expand(cells, shape.flatMap((d, i) => [times[i], d])),
    shape.map((d, i) => d * times[i]),
  );
}

/**
 * Repeats every element along an axis `count` times before the next one comes.
 *
 * @param x `[…, n, …]` of any element type
 * @returns `[…, n · count, …]`
 * @throws ShapeError when the count is no whole number of at least 0
 */
export function repeat(x: Tensor, count: number, axis: number): Tensor {
  expectTensors("repeat", { x });
  expectNumber("repeat", 1, "count", count);
  expectNumber("repeat", 2, "axis", axis);
  wholeNumber("repeat", "the count", count);
  const a = axisOf("repeat", axis, x.shape.length);
  const cells = reshape(x, x.shape.toSpliced(a + 1, 0, 1));
  return reshape(
    expand(cells, x.shape.toSpliced(a + 1, 0, count)),
    x.shape.with(a, x.shape[a] * count),
  );
}
