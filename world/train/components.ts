/** Principal components of small vectors, for the closed-form encoder. */
import { EigenvalueDecomposition, Matrix } from "npm:ml-matrix@6.12.1";

/** An affine code of vectors of length d: `rows · (x − mean)`. */
export interface Code {
  /** `[k][d]`. */
  readonly rows: readonly (readonly number[])[];
  readonly mean: readonly number[];
}

/** A code along directions of the largest variance, and the deviation along each. */
export interface Components extends Code {
  readonly deviations: readonly number[];
}

/** The first `keep` principal directions of vectors `[n, d]`, stored one after another. */
export function principalComponents(
  vectors: Float32Array,
  d: number,
  keep: number,
): Components {
  const n = vectors.length / d;
  const mean = new Float64Array(d);
  for (let i = 0; i < vectors.length; i++) mean[i % d] += vectors[i] / n;
  const sums = new Float64Array(d * d);
  const centred = new Float64Array(d);
  for (let v = 0; v < n; v++) {
    for (let i = 0; i < d; i++) centred[i] = vectors[v * d + i] - mean[i];
    for (let i = 0; i < d; i++) {
      for (let j = 0; j <= i; j++) sums[i * d + j] += centred[i] * centred[j];
    }
  }
  const covariance = Matrix.zeros(d, d);
  for (let i = 0; i < d; i++) {
    for (let j = 0; j < d; j++) {
      covariance.set(i, j, sums[Math.max(i, j) * d + Math.min(i, j)] / (n - 1));
    }
  }
  const solved = new EigenvalueDecomposition(covariance, { assumeSymmetric: true });
  const values = solved.realEigenvalues;
  const order = values.map((_, i) => i).sort((a, b) => values[b] - values[a]).slice(0, keep);
  return {
    mean: [...mean],
    rows: order.map((i) => solved.eigenvectorMatrix.getColumn(i)),
    deviations: order.map((i) => Math.sqrt(Math.max(values[i], 0))),
  };
}

/** The code of every vector, one after another. */
export function encodeAll(vectors: Float32Array, { rows, mean }: Code): Float32Array {
  const d = mean.length, k = rows.length, n = vectors.length / d;
  const out = new Float32Array(n * k);
  for (let v = 0; v < n; v++) {
    for (let r = 0; r < k; r++) {
      let s = 0;
      for (let i = 0; i < d; i++) s += rows[r][i] * (vectors[v * d + i] - mean[i]);
      out[v * k + r] = s;
    }
  }
  return out;
}
