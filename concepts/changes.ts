/**
 * The three forms of a change (`concepts/delta.ts`) turned into each other: the trained values, their difference to the
 * base, and its best factors of a given rank. Sums are taken in float64 and rounded once.
 */
import type { DeltaWeight, FactoredChange, TrainedWeight, WeightChange } from "./delta.ts";
import { addProduct, gram, type Matrix, norm, transpose, zeros } from "../numerics/matrix.ts";
import { type Svd, svd } from "../numerics/svd.ts";

/** How a change is held. */
export type ChangeForm = "weight" | "change" | "factors";

/** Which of the three forms a weight is in. */
export function formOf(w: DeltaWeight): ChangeForm {
  return "data" in w ? "weight" : "change" in w ? "change" : "factors";
}

/** W, from whatever form. `base` is W0 and is needed for changes only. */
export function trainedWeight(w: DeltaWeight, base: ArrayLike<number>): TrainedWeight {
  if ("data" in w) return w;
  const change = changeMatrix(w, base).data;
  return { shape: w.shape, data: Float32Array.from(change, (x, i) => base[i] + x) };
}

/** W − W0, from whatever form. `base` is W0 and is needed for trained weights only. */
export function weightChange(w: DeltaWeight, base: ArrayLike<number>): WeightChange {
  if ("change" in w) return w;
  return { shape: w.shape, change: Float32Array.from(changeMatrix(w, base).data) };
}

/**
 * The best approximation of W − W0 of a given rank, by singular value decomposition: u carries the singular values, the
 * rows of v are orthonormal. Factors of that rank or less are passed through as they are.
 *
 * @param w a matrix
 * @param base W0, needed for trained weights only
 * @param rank at least 1; a matrix of less rank gets no more than min(out, in)
 */
export function factoredChange(
  w: DeltaWeight,
  base: ArrayLike<number>,
  rank: number,
): FactoredChange {
  if ("u" in w && w.rank <= rank) return w;
  return factors(svd(changeMatrix(w, base), rank));
}

/** A truncated decomposition as a change: as many ranks as it has vectors. */
export function factors({ s, U, V }: Svd): FactoredChange {
  const kept = U.rows, out = U.cols;
  const u = new Float32Array(out * kept);
  for (let r = 0; r < kept; r++) {
    for (let i = 0; i < out; i++) u[i * kept + r] = s[r] * U.data[r * out + i];
  }
  return { shape: [out, V.cols], rank: kept, u, v: Float32Array.from(V.data) };
}

/**
 * The Frobenius norm of W − W0.
 *
 * @param base W0; without it the norm of trained weights can't be known, and is undefined
 */
export function changeNorm(w: DeltaWeight, base?: ArrayLike<number>): number | undefined {
  if ("u" in w) {
    // ‖u v‖² = tr(uᵀu · v vᵀ): r×r instead of out×in.
    const inner = gram(factor(w.u, w.shape[0], w.rank));
    const outer = gram(transpose(factor(w.v, w.rank, w.shape[1])));
    return Math.sqrt(Math.max(0, inner.data.reduce((sum, x, i) => sum + x * outer.data[i], 0)));
  }
  if ("change" in w) return norm(Float64Array.from(w.change));
  return base && norm(changeMatrix(w, base).data);
}

/** W − W0 in float64; a vector is one row. `base` is W0 and is needed for trained weights only. */
export function changeMatrix(w: DeltaWeight, base: ArrayLike<number>): Matrix {
  const cols = w.shape.at(-1) ?? 1;
  const rows = w.shape.slice(0, -1).reduce((a, b) => a * b, 1);
  if ("data" in w) return { rows, cols, data: Float64Array.from(w.data, (x, i) => x - base[i]) };
  if ("change" in w) return { rows, cols, data: Float64Array.from(w.change) };
  const out = zeros(rows, cols);
  addProduct(out, factor(w.u, rows, w.rank), factor(w.v, w.rank, cols));
  return out;
}

const factor = (data: Float32Array, rows: number, cols: number): Matrix => ({
  rows,
  cols,
  data: Float64Array.from(data),
});
