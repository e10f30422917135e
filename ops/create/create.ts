/** Tensors of known numbers: constants that every program may share, and masks that are computed where they are used. */
import { calledAs } from "../../tensor/called.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { expectDType, expectNumber, expectOptions, expectTensors } from "../../tensor/arguments.ts";
import { type DType, isFloat, storedAs } from "../../tensor/dtype.ts";
import { elementOf, wholeNumber } from "../../tensor/element.ts";
import { expectShape } from "../../tensor/host.ts";
import { axisOf, checkCountable, type Shape, ShapeError } from "../../tensor/shape.ts";
import { expand } from "../broadcast.ts";
import { add } from "../elementwise/arithmetic.ts";
import { cast } from "../elementwise/cast.ts";
import { equal, greaterEqual, where } from "../elementwise/compare.ts";
import { literal, tensor } from "../leaf.ts";
import { reshape } from "../movement.ts";

/** One number everywhere. */
function filled(op: string, shape: Shape, value: number, dtype: DType): Tensor {
  expectShape(op, 0, shape);
  expectDType(op, dtype);
  return expand(literal(elementOf(op, value, dtype), dtype), shape);
}

/**
 * Zeros. Nothing is stored: they are written into what reads them.
 *
 * @throws ShapeError when an extent is no whole number of at least 0
 */
export const zeros = (shape: Shape, dtype: DType = "f32"): Tensor =>
  filled("zeros", shape, 0, dtype);
/**
 * Ones.
 *
 * @throws ShapeError when an extent is no whole number of at least 0
 */
export const ones = (shape: Shape, dtype: DType = "f32"): Tensor => filled("ones", shape, 1, dtype);
/**
 * One number everywhere.
 *
 * @throws RangeError when the element type does not hold it
 */
export function full(shape: Shape, value: number, dtype: DType = "f32"): Tensor {
  expectShape("full", 0, shape);
  expectNumber("full", 1, "value", value);
  return filled("full", shape, value, dtype);
}

/** Zeros of the shape and element type of x. */
export function zerosLike(x: Tensor): Tensor {
  expectTensors("zerosLike", { x });
  return filled("zerosLike", x.shape, 0, x.dtype);
}
/** Ones of the shape and element type of x. */
export function onesLike(x: Tensor): Tensor {
  expectTensors("onesLike", { x });
  return filled("onesLike", x.shape, 1, x.dtype);
}
/** One number of the shape and element type of x. */
export function fullLike(x: Tensor, value: number): Tensor {
  expectTensors("fullLike", { x });
  expectNumber("fullLike", 1, "value", value);
  return filled("fullLike", x.shape, value, x.dtype);
}

/** A constant of numbers that are computed here, in float64. */
function made(op: string, count: number, of: (i: number) => number, dtype: DType): Tensor {
  if (dtype === "bool") throw new ShapeError(op, "counts in numbers, not in bool");
  checkCountable(op, { shape: [count], dtype });
  const values = Float64Array.from({ length: count }, (_, i) => of(i));
  return calledAs(op, () => tensor(values, [count], dtype));
}

/**
 * 0, 1, 2 … below `size`.
 *
 * @returns `[size]`
 * @throws ShapeError when `size` is no whole number of at least 0
 */
export function iota(size: number, dtype: DType = "i32"): Tensor {
  expectNumber("iota", 0, "size", size);
  expectDType("iota", dtype);
  return made("iota", wholeNumber("iota", "the size", size), (i) => i, dtype);
}

/**
 * Numbers from `start` on in steps, below `end`: `arange(end)`, `arange(start, end, step)`. Each is computed in float64 and
 * rounded once.
 *
 * @param dtype default i32 for whole numbers, else f32
 * @returns `[⌈(end − start) / step⌉]`
 * @throws ShapeError when the end is never reached
 */
export function arange(start: number, end?: number, step = 1, dtype?: DType): Tensor {
  const [from, to] = end === undefined ? [0, start] : [start, end];
  for (const [i, n] of [start, to, step].entries()) {
    expectNumber("arange", i, ["start", "end", "step"][i], n);
  }
  const count = Math.ceil((to - from) / step);
  if (!Number.isFinite(count)) {
    throw new ShapeError("arange", `from ${from} to ${to} in steps of ${step} has no end`);
  }
  const type = dtype ?? ([from, to, step].every(Number.isSafeInteger) ? "i32" : "f32");
  expectDType("arange", type);
  return made("arange", Math.max(0, count), (i) => from + i * step, type);
}

/**
 * Numbers at equal distances, both ends among them; each is computed in float64 and rounded once.
 *
 * @param options `endpoint: false` leaves out the last
 * @returns `[count]`
 * @throws ShapeError when `count` is no whole number of at least 0
 */
export function linspace(
  start: number,
  end: number,
  count: number,
  options: { readonly endpoint?: boolean; readonly dtype?: DType } = {},
): Tensor {
  expectNumber("linspace", 0, "start", start);
  expectNumber("linspace", 1, "end", end);
  expectNumber("linspace", 2, "count", count);
  expectOptions("linspace", 3, options, { endpoint: "true or false", dtype: "f32 or f16" });
  wholeNumber("linspace", "the count", count);
  const { endpoint = true, dtype = "f32" } = options;
  const steps = Math.max(1, endpoint ? count - 1 : count);
  const at = (i: number) =>
    endpoint && i === count - 1 && i ? end : start + i * ((end - start) / steps);
  return made("linspace", count, at, dtype);
}

/** Row and column numbers of a matrix, to compare: `column − row` against an offset. */
function places(op: string, rows: number, columns: number, offset: number): [Tensor, Tensor] {
  wholeNumber(op, "the number of rows", rows);
  wholeNumber(op, "the number of columns", columns);
  if (!Number.isSafeInteger(offset)) throw new ShapeError(op, `offset ${offset} is not whole`);
  const shape = [rows, columns];
  return [
    expand(add(reshape(iota(rows), [rows, 1]), offset), shape),
    expand(reshape(iota(columns), [1, columns]), shape),
  ];
}

/** What is true of each column's number beside its row's, which is moved by an offset. */
function compared(
  op: string,
  is: (row: Tensor, column: Tensor) => Tensor,
  [rows, columns, offset, dtype]: readonly [number, number, number, DType],
): Tensor {
  expectNumber(op, 0, "rows", rows);
  expectNumber(op, 1, "columns", columns);
  expectNumber(op, 2, "offset", offset);
  expectDType(op, dtype);
  return cast(is(...places(op, rows, columns, offset)), dtype);
}

/**
 * Ones on a diagonal, zeros elsewhere: `[rows, columns]`.
 *
 * @throws ShapeError when an extent or the offset is no whole number
 */
export const eye = (rows: number, columns = rows, offset = 0, dtype: DType = "f32"): Tensor =>
  compared("eye", (row, column) => equal(row, column), [rows, columns, offset, dtype]);

/**
 * Ones on and below a diagonal, zeros above: `[rows, columns]`.
 *
 * @throws ShapeError when an extent or the offset is no whole number
 */
export const tri = (rows: number, columns = rows, offset = 0, dtype: DType = "f32"): Tensor =>
  compared("tri", (row, column) => greaterEqual(row, column), [rows, columns, offset, dtype]);

function triangle(op: "tril" | "triu", x: Tensor, offset: number): Tensor {
  expectTensors(op, { x });
  expectNumber(op, 1, "offset", offset);
  if (x.shape.length < 2) throw new ShapeError(op, `[${x.shape}] has no rows and columns`);
  const [row, column] = places(op, x.shape.at(-2)!, x.shape.at(-1)!, offset);
  return where(op === "tril" ? greaterEqual(row, column) : greaterEqual(column, row), x, 0);
}
/**
 * The elements on and below a diagonal of the last two axes, zeros above.
 *
 * @param x `[…, n, m]` of any element type
 * @throws ShapeError when there are no two axes
 */
export const tril = (x: Tensor, offset = 0): Tensor => triangle("tril", x, offset);
/**
 * The elements on and above a diagonal of the last two axes, zeros below.
 *
 * @param x `[…, n, m]` of any element type
 * @throws ShapeError when there are no two axes
 */
export const triu = (x: Tensor, offset = 0): Tensor => triangle("triu", x, offset);

/**
 * 1 at the place that an id names, 0 elsewhere; ids beyond the depth, and below 0, give zeros throughout.
 *
 * @param ids `[…]` of integers
 * @param depth extent of the new axis
 * @param options `axis`: where the new axis stands, default the last; `dtype`: default f32
 * @returns `[…, depth]`
 * @throws ShapeError when ids are floats
 */
export function oneHot(
  ids: Tensor,
  depth: number,
  options: { readonly axis?: number; readonly dtype?: DType } = {},
): Tensor {
  expectTensors("oneHot", { ids });
  expectNumber("oneHot", 1, "depth", depth);
  expectOptions("oneHot", 2, options, { axis: "number", dtype: "any" });
  wholeNumber("oneHot", "the depth", depth);
  const { dtype = "f32" } = options;
  expectDType("oneHot", dtype);
  if (isFloat(ids.dtype)) {
    throw new ShapeError("oneHot", `ids are integers, not ${ids.dtype}[${ids.shape}]`);
  }
  const rank = ids.shape.length + 1;
  const a = axisOf("oneHot", options.axis ?? -1, rank);
  const shape = ids.shape.toSpliced(a, 0, depth);
  const places = reshape(iota(depth, storedAs(ids.dtype)), shape.map((d, i) => i === a ? d : 1));
  const hit = equal(expand(reshape(ids, shape.with(a, 1)), shape), expand(places, shape));
  return cast(hit, dtype);
}
