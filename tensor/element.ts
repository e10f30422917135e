/**
 * Which numbers an element type holds, and how a number enters a program. One rule, for literals, bounds and counts: a
 * number that the type can't hold is refused by name before anything is compiled, and never rounded in silence to another
 * kind of number (a fraction to a whole one, something large to infinity).
 */
import type { DType } from "./dtype.ts";
import { isExtent, ShapeError, show, type Spec } from "./shape.ts";

/** The types of real numbers. */
export const FLOATS: readonly DType[] = ["f32", "f16"];

/** Refuses an operand of a type that an op does not take: the one way in which that is said. */
export function expectType(op: string, spec: Spec, taken: readonly DType[]): void {
  if (taken.includes(spec.dtype)) return;
  throw new ShapeError(
    op,
    `takes ${taken.join(", ")}, not ${show(spec)}; cast it to ${taken[0]} first`,
  );
}

/** Smallest and largest value of the types that are no floats. */
export const RANGE = {
  i32: [-2147483648, 2147483647],
  u32: [0, 4294967295],
  bool: [0, 1],
} as const;

/** Whether the type holds whole numbers from a range, truth values among them. */
export const isWhole = (dtype: DType): dtype is keyof typeof RANGE => dtype in RANGE;

/** What is below every number of the type: the maximum of nothing. */
export const leastOf = (dtype: DType): number => isWhole(dtype) ? RANGE[dtype][0] : -Infinity;

/** What is above every number of the type: the minimum of nothing. */
export const mostOf = (dtype: DType): number => isWhole(dtype) ? RANGE[dtype][1] : Infinity;

/**
 * The number, if a tensor of this element type can be computed with it: for floats any number that f32 holds, ±∞ and NaN
 * among them (f16 is computed in f32); for integers the whole numbers of the type; for bool 0 and 1.
 *
 * @throws RangeError naming the op and the number
 */
export function elementOf(op: string, value: number, dtype: DType): number {
  if (typeof value !== "number") {
    throw new TypeError(`${op}: a number is expected, not ${typeof value}`);
  }
  if (isWhole(dtype)) {
    const [lo, hi] = RANGE[dtype];
    if (!Number.isInteger(value) || value < lo || value > hi) {
      throw new RangeError(
        `${op}: ${value} is no ${dtype} (whole numbers from ${lo} to ${hi}); cast the tensor to f32 first`,
      );
    }
    return value;
  }
  if (Number.isFinite(value) && !Number.isFinite(Math.fround(value))) {
    throw new RangeError(
      `${op}: ${value} is larger than any f32 (3.4028234663852886e38); say Infinity if that is meant`,
    );
  }
  return value;
}

/**
 * A whole number of at least `least`: an extent, a count, an index.
 *
 * @throws ShapeError naming the op, what the number is for, and the number
 */
export function wholeNumber(op: string, what: string, value: number, least = 0): number {
  if (!isExtent(value) || value < least) {
    throw new ShapeError(op, `${what} must be a whole number of at least ${least}, not ${value}`);
  }
  return value;
}
