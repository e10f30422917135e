/**
 * Cholesky, triangular solves and condition estimates, float64, on row-major triangles.
 *
 * Right-hand sides are rows, not columns: a triangle's rows and a right-hand side are then both straight runs of memory.
 */
import { type Matrix, norm, zeros } from "./matrix.ts";

/**
 * The lower Cholesky factor L of a symmetric A = L Lᵀ (only A's lower triangle is read).
 *
 * @returns undefined when a pivot is not above rounding, that is when A is not numerically positive definite.
 */
export function cholesky(A: Matrix): Matrix | undefined {
  const d = A.rows, L = zeros(d, d), a = A.data, l = L.data;
  for (let i = 0; i < d; i++) {
    const ri = i * d;
    for (let j = 0; j < i; j++) {
      const rj = j * d;
      l[ri + j] = (a[ri + j] - dot(l, ri, l, rj, j)) / l[rj + j];
    }
    const pivot = a[ri + i] - dot(l, ri, l, ri, i);
    // A pivot that kept fewer than the last digits of its diagonal element is noise: its root would be, too.
    if (!(pivot > a[ri + i] * 1e-15 && pivot > 0)) return undefined;
    l[ri + i] = Math.sqrt(pivot);
  }
  return L;
}

/** Σ x[xi+p]·y[yi+p] for p < count, in four partial sums. */
export function dot(
  x: Float64Array,
  xi: number,
  y: Float64Array,
  yi: number,
  count: number,
): number {
  let s0 = 0, s1 = 0, s2 = 0, s3 = 0, p = 0;
  for (; p + 4 <= count; p += 4) {
    s0 += x[xi + p] * y[yi + p];
    s1 += x[xi + p + 1] * y[yi + p + 1];
    s2 += x[xi + p + 2] * y[yi + p + 2];
    s3 += x[xi + p + 3] * y[yi + p + 3];
  }
  for (; p < count; p++) s0 += x[xi + p] * y[yi + p];
  return s0 + s1 + (s2 + s3);
}

/** `y[yi+p] += scale · x[xi+p]` for p < count. */
export function axpy(
  scale: number,
  x: Float64Array,
  xi: number,
  y: Float64Array,
  yi: number,
  count: number,
): void {
  for (let p = 0; p < count; p++) y[yi + p] += scale * x[xi + p];
}

/** Replaces each row b of `rows` (s×d) by the solution x of `L x = b`, L lower d×d. */
export function solveLowerRows(L: Matrix, rows: Matrix): void {
  const d = L.rows, l = L.data, b = rows.data;
  for (let r = 0; r < rows.rows; r++) {
    const at = r * d;
    for (let i = 0; i < d; i++) {
      b[at + i] = (b[at + i] - dot(l, i * d, b, at, i)) / l[i * d + i];
    }
  }
}

/** Replaces each row b of `rows` (s×d) by the solution x of `Lᵀ x = b`, L lower d×d. */
export function solveLowerTransposedRows(L: Matrix, rows: Matrix): void {
  const d = L.rows, l = L.data, b = rows.data;
  for (let r = 0; r < rows.rows; r++) {
    const at = r * d;
    for (let i = d - 1; i >= 0; i--) {
      const x = b[at + i] / l[i * d + i];
      b[at + i] = x;
      axpy(-x, l, i * d, b, at, i);
    }
  }
}

/**
 * An estimate of the 2-norm condition number σ_max/σ_min of a lower triangle, from below.
 *
 * Power iteration for σ_max and inverse iteration for σ_min, from a fixed start: within a few percent in practice.
 */
export function conditionOfTriangle(L: Matrix, iterations = 24): number {
  const d = L.rows;
  if (d === 0) return 1;
  const largest = iterate(d, iterations, (x) => {
    // x ← L (Lᵀ x), in place and by rows.
    const y = new Float64Array(d);
    for (let i = 0; i < d; i++) axpy(x[i], L.data, i * d, y, 0, i + 1);
    for (let i = 0; i < d; i++) x[i] = dot(L.data, i * d, y, 0, i + 1);
  });
  const inverse = iterate(d, iterations, (x) => {
    const row = { rows: 1, cols: d, data: x };
    solveLowerRows(L, row);
    solveLowerTransposedRows(L, row);
  });
  return Math.max(1, Math.sqrt(largest) * Math.sqrt(inverse));
}

/** The largest eigenvalue of a symmetric positive map, by power iteration. */
function iterate(d: number, iterations: number, apply: (x: Float64Array) => void): number {
  const x = new Float64Array(d);
  // Irregular signs and sizes, so that no plausible eigenvector is orthogonal to the start.
  for (let i = 0; i < d; i++) x[i] = Math.cos(1 + 2.39996 * i) + 1e-3;
  let value = 0;
  for (let k = 0; k < iterations; k++) {
    const length = norm(x);
    if (length === 0 || !Number.isFinite(length)) return length;
    for (let i = 0; i < d; i++) x[i] /= length;
    apply(x);
    const next = norm(x);
    if (Math.abs(next - value) <= 1e-4 * next) return next;
    value = next;
  }
  return value;
}
