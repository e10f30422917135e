/** Sorting and what is made of it: the largest few, places in sorted numbers, and what is there without its repetitions. */
import type { Tensor } from "../../tensor/tensor.ts";
import {
  expectChoice,
  expectNumber,
  expectOptions,
  expectTensors,
} from "../../tensor/arguments.ts";
import { elementOf, wholeNumber } from "../../tensor/element.ts";
import { axisOf, sameShape, ShapeError, show } from "../../tensor/shape.ts";
import { expand, sum } from "../broadcast.ts";
import { concat } from "../concat.ts";
import { sub } from "../elementwise/arithmetic.ts";
import { less, lessEqual, notEqual, where } from "../elementwise/compare.ts";
import { literal } from "../leaf.ts";
import { permute, reshape, slice } from "../movement.ts";
import { orderOf } from "../index/argsort.ts";
import { gatherRows, scatterRows } from "../index/rows.ts";
import { along, axisTo, takeAlong } from "../index/take.ts";
import { cumsum } from "../scan/scan.ts";

/** Options of {@linkcode sort} and {@linkcode argsort}. */
export interface SortOptions {
  /** From the largest down. Default false. */
  readonly descending?: boolean;
}

/** The order along an axis. */
function order(
  op: string,
  x: Tensor,
  axis: number,
  options: SortOptions,
  first?: number,
): [Tensor, number] {
  expectTensors(op, { x });
  expectNumber(op, 1, "axis", axis);
  expectOptions(op, 2, options, { descending: "true or false" });
  const a = axisOf(op, axis, x.shape.length);
  const { to, back } = axisTo(x.shape.length, a, "last");
  return [permute(orderOf(permute(x, to), options.descending ?? false, first), back), a];
}

/**
 * The places of the elements along an axis, from the smallest on. Equal ones keep their order; NaN is larger than all.
 *
 * @param x `[…]` of any element type
 * @returns u32 of x's shape
 */
export const argsort = (x: Tensor, axis = -1, options: SortOptions = {}): Tensor =>
  order("argsort", x, axis, options)[0];

/**
 * The elements along an axis, from the smallest on; NaN is larger than all. The gradient goes back to where each came from.
 *
 * @param x `[…]` of any element type
 * @returns of x's shape
 * @throws ShapeError when x has no axes
 */
export function sort(x: Tensor, axis = -1, options: SortOptions = {}): Tensor {
  const [places, a] = order("sort", x, axis, options);
  return takeAlong(x, places, a, true);
}

/**
 * The largest elements along an axis, from the largest down, and their places.
 *
 * @param x `[…, n]` of any element type
 * @param k how many, at most n
 * @param options `smallest`: the smallest instead, from the smallest on
 * @returns `[values, places]`, both `[…, k]`; places are u32
 * @throws ShapeError when there are fewer than k
 */
export function topK(
  x: Tensor,
  k: number,
  axis = -1,
  options: { readonly smallest?: boolean } = {},
): [values: Tensor, places: Tensor] {
  expectTensors("topK", { x });
  expectNumber("topK", 1, "k", k);
  expectNumber("topK", 2, "axis", axis);
  expectOptions("topK", 3, options, { smallest: "true or false" });
  const a = axisOf("topK", axis, x.shape.length);
  if (wholeNumber("topK", "k", k) > x.shape[a]) {
    throw new ShapeError("topK", `k = ${k} of axis ${a} of ${show(x.spec)}`);
  }
  const [places] = order("topK", x, a, { descending: !options.smallest }, k);
  return [takeAlong(x, places, a, true), places];
}

/**
 * Where values go in sorted numbers so that these stay sorted, as NumPy has it: how many are smaller (`side: "left"`), or not
 * larger ("right"). Every number is compared with every value, which no memory is needed for.
 *
 * @param sorted `[n]`, from the smallest on
 * @param values `[…]` of the same element type
 * @returns u32 of the shape of values
 * @throws ShapeError when element types differ, or `sorted` has not one axis
 */
export function searchsorted(
  sorted: Tensor,
  values: Tensor,
  options: { readonly side?: "left" | "right" } = {},
): Tensor {
  expectTensors("searchsorted", { sorted, values });
  expectOptions("searchsorted", 2, options, { side: "any" });
  const { side = "left" } = options;
  expectChoice("searchsorted", "options.side", side, ["left", "right"]);
  if (sorted.shape.length !== 1 || sorted.dtype !== values.dtype) {
    throw new ShapeError(
      "searchsorted",
      `${show(values.spec)} in ${show(sorted.spec)}; expected one axis of one element type`,
    );
  }
  const each = reshape(values, [...values.shape, 1]);
  const before = side === "left" ? less(sorted, each) : lessEqual(sorted, each);
  return sum(before, [-1]);
}

/** Options of {@linkcode unique} and {@linkcode nonzero}: how many results there are room for, since shapes are static. */
export interface SizedOptions {
  /** Extent of the result. What is left over is cut off; what is missing is filled. Default: as many as could be. */
  readonly size?: number;
  /** What fills the places that are left. Default 0. */
  readonly fill?: number;
}

function sized(op: string, x: Tensor, options: SizedOptions): number {
  expectTensors(op, { x });
  expectOptions(op, 1, options, { size: "number", fill: "number" });
  return wholeNumber(op, "options.size", options.size ?? x.size);
}

/** Elements of a row of n, at places of a row of `size`; those at `size` and beyond are left out. */
function placed(values: Tensor, places: Tensor, size: number, fill: number): Tensor {
  const room = expand(literal(fill, values.dtype), [1, size, 1]);
  const n = values.size;
  const ids = reshape(places, [1, n]);
  return reshape(scatterRows(room, ids, reshape(values, [1, n, 1]), "set"), [size]);
}

/** What {@linkcode unique} gives. */
export interface Unique {
  /** `[size]`, from the smallest on, then the fill. */
  readonly values: Tensor;
  /** `[size]` u32: the place in x where each comes first. */
  readonly indices: Tensor;
  /** u32 of x's shape: for each element the place of its value. */
  readonly inverse: Tensor;
  /** `[size]` u32: how often each comes. */
  readonly counts: Tensor;
  /** `[]` u32: how many there are, in all. */
  readonly count: Tensor;
}

/**
 * The elements without their repetitions, from the smallest on. Shapes are static, so there is room for `size` of them.
 *
 * @param x `[…]` of any element type
 */
export function unique(x: Tensor, options: SizedOptions = {}): Unique {
  const size = sized("unique", x, options);
  const n = x.size;
  const fill = elementOf("unique", options.fill ?? 0, x.dtype);
  const flat = reshape(x, [1, n]);
  const by = orderOf(flat);
  const sorted = reshape(gatherRows(reshape(flat, [1, n, 1]), by, true), [n]);
  // Where a run of equal elements begins, and which run that is.
  const begins = n
    ? concat([
      expand(literal(1, "bool"), [1]),
      notEqual(slice(sorted, 0, 1, n), slice(sorted, 0, 0, n - 1)),
    ], 0)
    : expand(literal(0, "bool"), [0]);
  const run = sub(cumsum(begins, 0), n ? 1 : 0);
  const at = where(begins, run, size);
  const origin = reshape(by, [n]);
  const ones = expand(literal(1, "u32"), [1, n, 1]);
  const none = (extent: number) => expand(literal(0, "u32"), [1, extent, 1]);
  const counts = scatterRows(none(size), reshape(run, [1, n]), ones, "add");
  const inverse = scatterRows(none(n), by, reshape(run, [1, n, 1]), "set", true);
  return {
    values: placed(sorted, at, size, fill),
    indices: placed(origin, at, size, 0),
    inverse: reshape(inverse, x.shape),
    counts: reshape(counts, [size]),
    count: sum(begins),
  };
}

/**
 * The coordinates of the elements that are not 0, in row-major order. Shapes are static, so there is room for `size`.
 *
 * @param x `[…]` of any element type, of r axes
 * @returns `[r, size]` u32
 */
export function nonzero(x: Tensor, options: SizedOptions = {}): Tensor {
  const size = sized("nonzero", x, options);
  const fill = elementOf("nonzero", options.fill ?? 0, "u32");
  const hit = reshape(notEqual(x, 0), [x.size]);
  const at = where(hit, sub(cumsum(hit, 0), 1), size);
  const rank = x.shape.length;
  const rows = Array.from(
    { length: rank },
    (_, i) => reshape(placed(reshape(along(x.shape, i), [x.size]), at, size, fill), [1, size]),
  );
  return rank ? concat(rows, 0) : expand(literal(0, "u32"), [0, size]);
}

/**
 * The slices of an axis whose condition is not 0, in their order. Shapes are static, so there is room for `size`; what is left
 * is zeros.
 *
 * @param condition `[n]` of any element type; may be shorter than the axis
 * @param x `[…, V, …]`
 * @param options `size`: default n
 * @returns x with the axis of extent `size`
 * @throws ShapeError when the condition has not one axis, or is longer than that of x
 */
export function compress(
  condition: Tensor,
  x: Tensor,
  axis = 0,
  options: { readonly size?: number } = {},
): Tensor {
  expectTensors("compress", { condition, x });
  expectNumber("compress", 2, "axis", axis);
  expectOptions("compress", 3, options, { size: "number" });
  const a = axisOf("compress", axis, x.shape.length);
  const n = condition.size;
  if (!sameShape(condition.shape, [n]) || n > x.shape[a]) {
    throw new ShapeError(
      "compress",
      `a condition ${show(condition.spec)} for axis ${a} of ${show(x.spec)}`,
    );
  }
  const size = wholeNumber("compress", "options.size", options.size ?? n);
  const hit = notEqual(condition, 0);
  const at = where(hit, sub(cumsum(hit, 0), 1), size);
  const { to, back } = axisTo(x.shape.length, a, "first");
  const t = permute(slice(x, a, 0, n), to);
  const d = t.size / Math.max(1, n);
  const room = expand(literal(0, x.dtype), [1, size, d]);
  const y = scatterRows(room, reshape(at, [1, n]), reshape(t, [1, n, d]), "set");
  return permute(reshape(y, [size, ...t.shape.slice(1)]), back);
}
