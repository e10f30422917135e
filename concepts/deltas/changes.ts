/**
 * The forms of a change (`concepts/deltas/delta.ts`) turned into each other: the trained values, their difference to the base,
 * and its best factors of a given rank. Sums are taken in float64 and rounded once.
 */
import { WEIGHT } from "./delta.ts";
import { expectKinds, NUMBER, NUMBERS } from "../../tensor/kinds.ts";
import type { DeltaWeight, FactoredChange, TrainedWeight, WeightChange } from "./delta.ts";
import { sameShape } from "../../tensor/shape.ts";
import { addProduct, gram, type Matrix, norm, transpose, zeros } from "../../numerics/matrix.ts";
import { type Svd, svd } from "../../numerics/svd.ts";

/** How a change is held. */
export type ChangeForm = "weight" | "change" | "factors" | "scaled";

/** Which of the forms a weight is in. */
export function formOf(w: DeltaWeight): ChangeForm {
  return "data" in w ? "weight" : "change" in w ? "change" : "u" in w ? "factors" : "scaled";
}

/** Whether W − W0 can be told beside W0 only. */
export const needsBase = (w: DeltaWeight): boolean => "data" in w || "magnitude" in w;

/** All arrays of numbers that a weight consists of. */
export function numbersOf(w: DeltaWeight): Float32Array[] {
  if ("data" in w) return [w.data];
  if ("change" in w) return [w.change];
  return "u" in w ? [w.u, w.v] : [w.magnitude, ...numbersOf(w.direction)];
}

/** The largest f32. */
const LARGEST = (2 - 2 ** -23) * 2 ** 127;

/**
 * Whether a change is surely a finite f32 everywhere: what is finite in a file need not be once it is scaled by an alpha,
 * or multiplied. False for NaN, too.
 */
export function isBounded(w: DeltaWeight): boolean {
  if ("magnitude" in w) return top(w.magnitude) <= LARGEST && isBounded(w.direction);
  if ("u" in w) return !w.rank || top(w.u) * top(w.v) * w.rank <= LARGEST;
  return top("data" in w ? w.data : w.change) <= LARGEST;
}

/** The largest absolute value; NaN where there is one. */
function top(numbers: Float32Array): number {
  let most = 0;
  for (const x of numbers) {
    const size = Math.abs(x);
    if (!(size <= most)) most = size;
    if (size !== size) return NaN;
  }
  return most;
}

/** A parameter as a matrix: its outputs, and the numbers that each is made of. A vector is one row. */
export const asMatrix = (shape: readonly number[]): readonly [rows: number, cols: number] =>
  shape.length < 2 ? [1, shape[0] ?? 1] : [shape[0], shape.slice(1).reduce((a, b) => a * b, 1)];

/** Whether factors of a rank take less room than the parameter itself. */
export function pays(shape: readonly number[], rank: number): boolean {
  const [rows, cols] = asMatrix(shape);
  return rank * (rows + cols) < rows * cols;
}

/**
 * A weight under the extents that a model has for it. Files hold convolutions as matrices, and layers of 1×1 either way.
 *
 * @returns undefined where it is no parameter of that shape
 */
export function fitted(w: DeltaWeight, shape: readonly number[]): DeltaWeight | undefined {
  if (sameShape(w.shape, shape)) return w;
  const flat = w.shape.length === 2 || shape.length === 2;
  if (!flat || !sameShape(asMatrix(w.shape), asMatrix(shape))) return undefined;
  return "magnitude" in w ? { ...w, shape, direction: { ...w.direction, shape } } : { ...w, shape };
}

/** W, from whatever form. `base` is W0 and is needed for all but trained weights. */
export function trainedWeight(w: DeltaWeight, base: ArrayLike<number>): TrainedWeight {
  expectKinds("trainedWeight", { w: [w, WEIGHT], base: [base, NUMBERS] });
  if ("data" in w) return w;
  const change = changeMatrix(w, base).data;
  return { shape: w.shape, data: Float32Array.from(change, (x, i) => base[i] + x) };
}

/** W − W0, from whatever form. `base` is W0 and is needed where {@linkcode needsBase} says so. */
export function weightChange(w: DeltaWeight, base: ArrayLike<number>): WeightChange {
  expectKinds("weightChange", { w: [w, WEIGHT], base: [base, NUMBERS] });
  if ("change" in w) return w;
  return { shape: w.shape, change: Float32Array.from(changeMatrix(w, base).data) };
}

/**
 * The best approximation of W − W0 of a given rank, by singular value decomposition: u carries the singular values, the
 * rows of v are orthonormal. Factors of that rank or less are passed through as they are.
 *
 * @param w a matrix or a convolution
 * @param base W0, needed where {@linkcode needsBase} says so
 * @param rank at least 1; a matrix of less rank gets no more than min(out, in)
 */
export function factoredChange(
  w: DeltaWeight,
  base: ArrayLike<number>,
  rank: number,
): FactoredChange {
  expectKinds("factoredChange", { w: [w, WEIGHT], base: [base, NUMBERS], rank: [rank, NUMBER] });
  if ("u" in w && w.rank <= rank) return w;
  return factors(svd(changeMatrix(w, base), rank), w.shape);
}

/** A truncated decomposition as a change of a parameter: as many ranks as it has vectors. */
export function factors({ s, U, V }: Svd, shape: readonly number[]): FactoredChange {
  const kept = U.rows, out = U.cols;
  const u = new Float32Array(out * kept);
  for (let r = 0; r < kept; r++) {
    for (let i = 0; i < out; i++) u[i * kept + r] = s[r] * U.data[r * out + i];
  }
  return { shape, rank: kept, u, v: Float32Array.from(V.data) };
}

/**
 * The Frobenius norm of W − W0.
 *
 * @param base W0; where it is needed ({@linkcode needsBase}) and not given, the norm is undefined
 */
export function changeNorm(w: DeltaWeight, base?: ArrayLike<number>): number | undefined {
  expectKinds("changeNorm", { w: [w, WEIGHT], "base?": [base, NUMBERS] });
  if ("u" in w) {
    // ‖u v‖² = tr(uᵀu · v vᵀ): r×r instead of out×in.
    const [rows, cols] = asMatrix(w.shape);
    const inner = gram(factor(w.u, rows, w.rank));
    const outer = gram(transpose(factor(w.v, w.rank, cols)));
    return Math.sqrt(Math.max(0, inner.data.reduce((sum, x, i) => sum + x * outer.data[i], 0)));
  }
  if ("change" in w) return norm(Float64Array.from(w.change));
  return base && norm(changeMatrix(w, base).data);
}

/** W − W0 in float64, as {@linkcode asMatrix} has it. `base` is W0, where {@linkcode needsBase} says that it is needed. */
export function changeMatrix(w: DeltaWeight, base: ArrayLike<number>): Matrix {
  const [rows, cols] = asMatrix(w.shape);
  if ("data" in w) return { rows, cols, data: Float64Array.from(w.data, (x, i) => x - base[i]) };
  if ("change" in w) return { rows, cols, data: Float64Array.from(w.change) };
  if ("magnitude" in w) {
    const V = changeMatrix(w.direction, []);
    V.data.forEach((x, i) => V.data[i] = base[i] + x);
    scale(V, w.magnitude, w.axis);
    V.data.forEach((x, i) => V.data[i] = x - base[i]);
    return V;
  }
  const out = zeros(rows, cols);
  addProduct(out, factor(w.u, rows, w.rank), factor(w.v, w.rank, cols));
  return out;
}

/** Gives the rows of a matrix (axis 0), or its groups of columns that belong to one input (1), the lengths in `to`. */
function scale({ cols, data }: Matrix, to: Float32Array, axis: 0 | 1): void {
  const part = axis === 0 ? cols : cols / to.length;
  const at = (i: number) => Math.floor((axis === 0 ? i : i % cols) / part);
  const lengths = new Float64Array(to.length);
  data.forEach((x, i) => lengths[at(i)] += x * x);
  // What has no direction stays where it is.
  const factors = lengths.map((sum, k) => sum > 0 ? to[k] / Math.sqrt(sum) : 0);
  data.forEach((x, i) => data[i] = x * factors[at(i)]);
}

const factor = (data: Float32Array, rows: number, cols: number): Matrix => ({
  rows,
  cols,
  data: Float64Array.from(data),
});
