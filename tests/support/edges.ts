/** The numbers at which arithmetic breaks, and what it means to be right there. */
import { type DType, isFloat } from "../../tensor/dtype.ts";
import type { Tensor } from "../../tensor/tensor.ts";

const TINY = 2 ** -126;
const HUGE = 3.4028234663852886e38;

/** Of every element type: the zeros, the ones, the ends, and whatever is no finite number. */
export const EDGES: Readonly<Record<DType, readonly number[]>> = {
  f32: [0, -0, 1, -1, Infinity, -Infinity, NaN, TINY, -TINY, HUGE, -HUGE, 0.5, 3, -2.75, 1e-3, 17],
  f16: [
    0,
    -0,
    1,
    -1,
    Infinity,
    -Infinity,
    NaN,
    2 ** -14,
    -(2 ** -14),
    65504,
    -65504,
    0.5,
    3,
    -2.75,
  ],
  i32: [0, 1, -1, -2147483648, 2147483647, 7, -12],
  u32: [0, 1, 2, 7, 2147483648, 4294967295],
  bool: [0, 1],
};

/** What a value becomes when it is stored. */
const stored = (v: number, dtype: DType): number =>
  dtype === "f32" ? Math.fround(v) : dtype === "f16" ? new Float16Array([v])[0] : v;

/** How far a computed value may be from the exact one. */
export interface Closeness {
  /** Relative to the exact value. Default 1e-5, 2e-3 for f16. */
  readonly relative?: number;
  /** Beside that, in absolute terms: where the exact value comes of a cancellation. Default none. */
  readonly absolute?: number;
  /** Whether ∞ and NaN may stand for one another: sums of both signs of infinity meet in an order of the kernel's own. */
  readonly anyBroken?: boolean;
  /** Whether −0 must be −0. */
  readonly signedZero?: boolean;
}

/**
 * Whether `actual` is what a tensor of this type should hold for the exact value: NaN for NaN, infinity for infinity and for
 * what is larger than the type holds, and nothing else but rounding. What is smaller than the smallest normal number may
 * have been flushed to zero.
 */
export function agrees(
  actual: number,
  exact: number,
  dtype: DType,
  close: Closeness = {},
): boolean {
  const wanted = stored(exact, dtype);
  if (close.anyBroken && !Number.isFinite(wanted)) return !Number.isFinite(actual);
  if (Number.isNaN(wanted)) return Number.isNaN(actual);
  if (!Number.isFinite(wanted)) return actual === wanted;
  if (!isFloat(dtype)) return actual === wanted;
  if (close.signedZero && wanted === 0 && actual === 0) return Object.is(actual, wanted);
  const relative = close.relative ?? (dtype === "f16" ? 2e-3 : 1e-5);
  const least = 2 * (dtype === "f16" ? 2 ** -14 : TINY);
  return Math.abs(actual - wanted) <= relative * Math.abs(wanted) + least + (close.absolute ?? 0);
}

/** A function of one argument. */
export interface Unary {
  readonly f: (x: Tensor) => Tensor;
  readonly types?: readonly DType[];
  readonly close?: Closeness;
  readonly keep?: (v: number) => boolean;
  /** Whether the derivative is checked, too. Default yes. */
  readonly derivative?: boolean;
}

/** Kernels of their own: each with one operand spoilt at each of a few places. */
export interface Kernel {
  readonly shapes: readonly number[][];
  readonly f: (...xs: Tensor[]) => Tensor;
  readonly close?: Closeness;
  /** Operands that are spoilt. Default all. */
  readonly spoil?: readonly number[];
  /** Whether gradients of what is spoilt are checked. Default yes. */
  readonly gradients?: boolean;
}
