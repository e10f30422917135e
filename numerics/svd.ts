/**
 * The singular value decomposition, float64: what low-rank deltas are cut from.
 *
 * Householder reflections make the matrix bidiagonal, implicit QR steps make that diagonal. Neither forms AᵀA, which would
 * lose the small singular values. The reflectors are kept, and only the singular vectors that are asked for are taken
 * through them. Golub & Van Loan, Matrix Computations, §5.4 and §8.6.
 */
import { axpy, dot } from "./linalg.ts";
import { expectMatrix, type Matrix, norm, powerOfTwoNear, transpose, zeros } from "./matrix.ts";

/** `A ≈ Uᵀ diag(s) V`, with singular vectors as rows: straight runs of memory. */
export interface Svd {
  /** All singular values, largest first: min(m, n) of them. */
  readonly s: Float64Array;
  /** Left singular vectors as rows, `rank × m`. */
  readonly U: Matrix;
  /** Right singular vectors as rows, `rank × n`. */
  readonly V: Matrix;
}

/** A reflection `I − scale · v vᵀ` that acts from element `at` on; `v` is zero-length where nothing is to be done. */
interface Reflector {
  readonly at: number;
  readonly v: Float64Array;
  readonly scale: number;
}

/**
 * The singular value decomposition of an m×n matrix.
 *
 * @param rank how many singular vectors are wanted, or a function of the singular values that says so; all min(m, n) by
 *   default, at most as many as there are. With 0, only singular values are worked out, many times faster
 * @throws RangeError when an element is not finite
 */
export function svd(
  A: Matrix,
  rank: number | ((s: Float64Array) => number) = Infinity,
): Svd {
  expectMatrix("svd", 1, A);
  const counts = rank === Infinity || (Number.isSafeInteger(rank) && Number(rank) >= 0);
  if (!counts && typeof rank !== "function") {
    throw new TypeError("svd: argument 2 (rank) is no whole number of at least 0 and no function");
  }
  if (A.rows < A.cols) {
    const { s, U, V } = svd(transpose(A), rank);
    return { s, U: V, V: U };
  }
  const n = A.cols;
  // A power of two, so that squares neither over- nor underflow and no digit is lost.
  const scale = powerOfTwoNear(A.data.reduce((most, x) => Math.max(most, Math.abs(x)), 0) || 1);
  const { d, e, left, right } = bidiagonalize({ ...A, data: A.data.map((x) => x / scale) });
  const width = rank === 0 ? 0 : n;
  const P = identity(n, width), Q = identity(n, width);
  diagonalize(d, e, P, Q);
  const order = Array.from(d.keys()).sort((i, j) => Math.abs(d[j]) - Math.abs(d[i]));
  const s = Float64Array.from(order, (i) => Math.abs(d[i]) * scale);
  const wanted = Math.min(typeof rank === "number" ? rank : rank(s), n);
  const U = zeros(wanted, A.rows), V = zeros(wanted, n);
  for (let r = 0; r < wanted; r++) {
    const i = order[r], sign = d[i] < 0 ? -1 : 1;
    for (let c = 0; c < n; c++) {
      U.data[r * A.rows + c] = sign * P.data[i * n + c];
      V.data[r * n + c] = Q.data[i * n + c];
    }
    applyBackwards(left, U.data.subarray(r * A.rows, (r + 1) * A.rows));
    applyBackwards(right, V.data.subarray(r * n, (r + 1) * n));
  }
  return { s, U, V };
}

/** `A = H_left [B; 0] H_right`, B upper bidiagonal with diagonal d and e above it, for m ≥ n. */
function bidiagonalize(A: Matrix) {
  const m = A.rows, n = A.cols;
  const columns = transpose(A).data; // Row c is column c of A: every loop below runs along memory.
  const d = new Float64Array(n), e = new Float64Array(Math.max(0, n - 1));
  const left: Reflector[] = [], right: Reflector[] = [];
  const sum = new Float64Array(m);
  for (let k = 0; k < n; k++) {
    const below = reflector(columns.subarray(k * m + k, (k + 1) * m), k);
    d[k] = below.value;
    left.push(below);
    for (let c = k + 1; below.scale && c < n; c++) {
      const at = c * m + k;
      axpy(-below.scale * dot(below.v, 0, columns, at, m - k), below.v, 0, columns, at, m - k);
    }
    if (k + 1 >= n) break;
    const row = new Float64Array(n - k - 1);
    for (let c = k + 1; c < n; c++) row[c - k - 1] = columns[c * m + k];
    const beside = reflector(row, k + 1);
    e[k] = beside.value;
    right.push(beside);
    if (!beside.scale) continue;
    sum.fill(0, k + 1);
    for (let c = k + 1; c < n; c++) {
      axpy(beside.v[c - k - 1], columns, c * m + k + 1, sum, k + 1, m - k - 1);
    }
    for (let c = k + 1; c < n; c++) {
      axpy(-beside.scale * beside.v[c - k - 1], sum, k + 1, columns, c * m + k + 1, m - k - 1);
    }
  }
  return { d, e, left, right };
}

/** The reflection that turns x into (value, 0, …, 0). */
function reflector(x: Float64Array, at: number): Reflector & { value: number } {
  const length = norm(x);
  // A vector that is there already, and one that is nothing beside the matrix (whose elements are near 1).
  if (x.length < 2 || length < 1e-200 || norm(x.subarray(1)) === 0) {
    return { at, v: new Float64Array(0), scale: 0, value: x[0] ?? 0 };
  }
  const value = x[0] > 0 ? -length : length;
  const v = x.slice();
  v[0] -= value; // No cancellation: the signs differ.
  const head = v[0];
  for (let i = 0; i < v.length; i++) v[i] /= head;
  return { at, v, scale: -head / value, value };
}

/** Takes a vector through reflections, the last one first. */
function applyBackwards(reflections: readonly Reflector[], x: Float64Array): void {
  for (let k = reflections.length - 1; k >= 0; k--) {
    const { at, v, scale } = reflections[k];
    if (scale) axpy(-scale * dot(v, 0, x, at, v.length), v, 0, x, at, v.length);
  }
}

/**
 * Makes a bidiagonal matrix diagonal: B = Pᵀ diag(d) Q on return, where P and Q came in as identities.
 *
 * @throws RangeError should it not converge, which no finite matrix is known to make happen
 */
function diagonalize(d: Float64Array, e: Float64Array, P: Matrix, Q: Matrix): void {
  const n = d.length, eps = 2 ** -52;
  let largest = 0;
  for (const x of [...d, ...e]) largest = Math.max(largest, Math.abs(x));
  let steps = 60 * n;
  for (let hi = n - 1; hi > 0;) {
    for (let i = 0; i < hi; i++) {
      if (Math.abs(e[i]) <= eps * (Math.abs(d[i]) + Math.abs(d[i + 1]))) e[i] = 0;
    }
    if (e[hi - 1] === 0) {
      hi--;
      continue;
    }
    let lo = hi - 1;
    while (lo > 0 && e[lo - 1] !== 0) lo--;
    if (steps-- === 0) throw new RangeError("svd: no convergence");
    const zero = zeroBetween(d, lo, hi, eps * largest);
    if (zero === undefined) step(d, e, lo, hi, P, Q);
    else if (zero < hi) clearRow(d, e, zero, hi, P);
    else clearColumn(d, e, lo, hi, Q);
  }
}

/** The first diagonal element of a block that is zero to rounding, made so. */
function zeroBetween(d: Float64Array, lo: number, hi: number, small: number): number | undefined {
  for (let i = lo; i <= hi; i++) {
    if (Math.abs(d[i]) > small) continue;
    d[i] = 0;
    return i;
  }
}

/** With d[k] = 0, row k is rotated away into the rows below it: e[k] becomes zero and the block falls apart. */
function clearRow(d: Float64Array, e: Float64Array, k: number, hi: number, P: Matrix): void {
  let f = e[k];
  e[k] = 0;
  for (let j = k + 1; j <= hi && f !== 0; j++) {
    const { c, s, r } = rotation(d[j], f);
    d[j] = r;
    if (j < hi) {
      f = -s * e[j];
      e[j] *= c;
    }
    rotate(P, j, k, c, s);
  }
}

/** With d[hi] = 0, the last column is rotated away into those before it. */
function clearColumn(d: Float64Array, e: Float64Array, lo: number, hi: number, Q: Matrix): void {
  let f = e[hi - 1];
  e[hi - 1] = 0;
  for (let j = hi - 1; j >= lo && f !== 0; j--) {
    const { c, s, r } = rotation(d[j], f);
    d[j] = r;
    if (j > lo) {
      f = -s * e[j - 1];
      e[j - 1] *= c;
    }
    rotate(Q, j, hi, c, s);
  }
}

/** One implicit QR step on the block lo..hi, shifted by the eigenvalue of BᵀB's last 2×2 that is nearer to its end. */
function step(
  d: Float64Array,
  e: Float64Array,
  lo: number,
  hi: number,
  P: Matrix,
  Q: Matrix,
): void {
  // Scaled, so that no square over- or underflows.
  let scale = 0;
  const before = hi - 1 > lo ? e[hi - 2] : 0;
  for (const x of [d[lo], d[hi], d[hi - 1], e[lo], e[hi - 1], before]) {
    scale = Math.max(scale, Math.abs(x));
  }
  const above = before / scale;
  const a = (d[hi - 1] / scale) ** 2 + above ** 2;
  const b = (d[hi - 1] / scale) * (e[hi - 1] / scale);
  const c2 = (d[hi] / scale) ** 2 + (e[hi - 1] / scale) ** 2;
  const half = (a - c2) / 2;
  const root = Math.hypot(half, b);
  const shift = root === 0 ? c2 : c2 - b * (b / (half + (half < 0 ? -root : root)));
  let x = (d[lo] / scale) ** 2 - shift, z = (d[lo] / scale) * (e[lo] / scale);
  for (let k = lo; k < hi; k++) {
    const first = rotation(x, z);
    if (k > lo) e[k - 1] = first.r;
    x = first.c * d[k] + first.s * e[k];
    e[k] = first.c * e[k] - first.s * d[k];
    z = first.s * d[k + 1];
    d[k + 1] *= first.c;
    rotate(Q, k, k + 1, first.c, first.s);
    const second = rotation(x, z);
    d[k] = second.r;
    x = second.c * e[k] + second.s * d[k + 1];
    d[k + 1] = second.c * d[k + 1] - second.s * e[k];
    rotate(P, k, k + 1, second.c, second.s);
    if (k + 1 < hi) {
      z = second.s * e[k + 1];
      e[k + 1] *= second.c;
    }
    e[k] = x;
  }
}

/** c, s with `c a + s b = r` and `c b − s a = 0`. */
function rotation(a: number, b: number): { c: number; s: number; r: number } {
  if (b === 0) return { c: 1, s: 0, r: a };
  const r = Math.hypot(a, b);
  return { c: a / r, s: b / r, r };
}

/** Rows i and j of X become `c xᵢ + s xⱼ` and `c xⱼ − s xᵢ`. */
function rotate({ data, cols }: Matrix, i: number, j: number, c: number, s: number): void {
  for (let k = 0, a = i * cols, b = j * cols; k < cols; k++, a++, b++) {
    const x = data[a], y = data[b];
    data[a] = c * x + s * y;
    data[b] = c * y - s * x;
  }
}

/** The first columns of the n×n identity. */
function identity(n: number, cols: number): Matrix {
  const out = zeros(n, cols);
  for (let i = 0; i < cols; i++) out.data[i * cols + i] = 1;
  return out;
}
