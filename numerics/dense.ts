/**
 * Linear algebra of small matrices for users, on the host and in float64: factorizations, solutions, eigenvalues. They are
 * functions of numbers and not ops: nothing differentiates them, and no device is needed.
 */
import { cholesky as factor, dot } from "./linalg.ts";
import { expectMatrix, type Matrix, norm, transpose, zeros } from "./matrix.ts";

/** Right-hand sides that go with n unknowns. */
function expectSides(op: string, B: Matrix, n: number): void {
  expectMatrix(op, 2, B);
  if (B.rows !== n) {
    throw new RangeError(`${op}: ${B.rows} rows of right-hand sides for ${n} unknowns`);
  }
}

/**
 * The lower Cholesky factor: A = L Lᵀ. Only A's lower triangle is read.
 *
 * @param A `n×n`, symmetric
 * @returns `n×n`, zeros above the diagonal
 * @throws RangeError when A is not positive definite, or not square
 */
export function cholesky(A: Matrix): Matrix {
  expectMatrix("cholesky", 1, A, true);
  const L = factor(A);
  if (!L) throw new RangeError("cholesky: the matrix is not positive definite");
  return L;
}

/** Options of {@linkcode triangularSolve}. */
export interface TriangularOptions {
  /** Whether T is lower triangular, and not upper. Default true. */
  readonly lower?: boolean;
  /** Whether Tᵀ is solved with. Default false. */
  readonly transpose?: boolean;
  /** Whether T's diagonal is 1 and not read. Default false. */
  readonly unitDiagonal?: boolean;
}

/**
 * X of T X = B for a triangle T, of which the other side is not read.
 *
 * @param T `n×n`
 * @param B `n×k`
 * @returns `n×k`
 * @throws RangeError when an element of the diagonal is 0, or extents differ
 */
export function triangularSolve(T: Matrix, B: Matrix, options: TriangularOptions = {}): Matrix {
  expectMatrix("triangularSolve", 1, T, true);
  expectSides("triangularSolve", B, T.rows);
  const { lower = true, transpose: turned = false, unitDiagonal = false } = options;
  const n = T.rows, m = B.cols;
  const x = { rows: n, cols: m, data: B.data.slice() };
  const at = (i: number, j: number) => T.data[turned ? j * n + i : i * n + j];
  const down = lower !== turned;
  for (let step = 0; step < n; step++) {
    const i = down ? step : n - 1 - step;
    const pivot = unitDiagonal ? 1 : at(i, i);
    if (pivot === 0) throw new RangeError(`triangularSolve: element ${i} of the diagonal is 0`);
    for (let j = down ? 0 : i + 1; j < (down ? i : n); j++) {
      const factor = at(i, j);
      for (let c = 0; c < m; c++) x.data[i * m + c] -= factor * x.data[j * m + c];
    }
    for (let c = 0; c < m; c++) x.data[i * m + c] /= pivot;
  }
  return x;
}

/** LU with partial pivoting: both triangles in one matrix, the order of the rows, and the sign of that order. */
function eliminated(A: Matrix) {
  const n = A.rows, lu = A.data.slice();
  const order = Array.from({ length: n }, (_, i) => i);
  let sign = 1, singular = false;
  for (let k = 0; k < n; k++) {
    let best = k;
    for (let i = k + 1; i < n; i++) {
      if (Math.abs(lu[i * n + k]) > Math.abs(lu[best * n + k])) best = i;
    }
    if (lu[best * n + k] === 0) {
      singular = true;
      continue;
    }
    if (best !== k) {
      const row = lu.slice(k * n, k * n + n);
      lu.copyWithin(k * n, best * n, best * n + n);
      lu.set(row, best * n);
      [order[k], order[best]] = [order[best], order[k]];
      sign = -sign;
    }
    for (let i = k + 1; i < n; i++) {
      const factor = lu[i * n + k] /= lu[k * n + k];
      for (let j = k + 1; j < n; j++) lu[i * n + j] -= factor * lu[k * n + j];
    }
  }
  return { lu: { rows: n, cols: n, data: lu }, order, sign, singular };
}

/**
 * X of A X = B, by elimination with partial pivoting.
 *
 * @param A `n×n`
 * @param B `n×k`
 * @returns `n×k`
 * @throws RangeError when A is singular or not square, or extents differ
 */
export function solve(A: Matrix, B: Matrix): Matrix {
  expectMatrix("solve", 1, A, true);
  expectSides("solve", B, A.rows);
  return solved("solve", A, B);
}

function solved(op: string, A: Matrix, B: Matrix): Matrix {
  const { lu, order, singular } = eliminated(A);
  if (singular) throw new RangeError(`${op}: the matrix is singular`);
  const rows = zeros(B.rows, B.cols);
  order.forEach((from, i) =>
    rows.data.set(B.data.subarray(from * B.cols, (from + 1) * B.cols), i * B.cols)
  );
  return triangularSolve(lu, triangularSolve(lu, rows, { unitDiagonal: true }), { lower: false });
}

const identity = (n: number): Matrix => {
  const I = zeros(n, n);
  for (let i = 0; i < n; i++) I.data[i * n + i] = 1;
  return I;
};

/**
 * The inverse. To solve with, {@linkcode solve} is faster and more exact.
 *
 * @param A `n×n`
 * @throws RangeError when A is singular or not square
 */
export function inverse(A: Matrix): Matrix {
  expectMatrix("inverse", 1, A, true);
  return solved("inverse", A, identity(A.rows));
}

/**
 * The determinant; 1 of nothing, 0 of a singular matrix.
 *
 * @param A `n×n`
 * @throws RangeError when A is not square
 */
export function det(A: Matrix): number {
  expectMatrix("det", 1, A, true);
  const { lu, sign, singular } = eliminated(A);
  if (singular) return 0;
  let product = sign;
  for (let i = 0; i < A.rows; i++) product *= lu.data[i * A.rows + i];
  return product;
}

/**
 * A = Q R for m×n: Q of m×k with orthonormal columns and R of k×n upper triangular, k = min(m, n), by Householder's
 * reflections. The diagonal of R is not negative, so that both are unique where A has full rank.
 */
export function qr(A: Matrix): { Q: Matrix; R: Matrix } {
  expectMatrix("qr", 1, A);
  const { rows: m, cols: n } = A;
  const k = Math.min(m, n);
  // Columns are rows here: straight runs of memory.
  const C = transpose(A);
  const reflectors: { v: Float64Array; at: number; scale: number }[] = [];
  const reflect = (columns: Matrix, { v, at, scale }: typeof reflectors[number], from: number) => {
    for (let j = from; j < columns.rows; j++) {
      const s = scale * dot(v, 0, columns.data, j * m + at, v.length);
      for (let i = 0; i < v.length; i++) columns.data[j * m + at + i] -= s * v[i];
    }
  };
  for (let j = 0; j < k; j++) {
    const v = C.data.slice(j * m + j, (j + 1) * m);
    const length = norm(v);
    if (length === 0) continue;
    v[0] += v[0] < 0 ? -length : length;
    const square = dot(v, 0, v, 0, v.length);
    const r = { v, at: j, scale: 2 / square };
    reflectors.push(r);
    reflect(C, r, j);
  }
  const Q = zeros(k, m);
  for (let i = 0; i < k; i++) Q.data[i * m + i] = 1;
  for (const r of reflectors.toReversed()) reflect(Q, r, 0);
  const R = zeros(k, n);
  for (let i = 0; i < k; i++) {
    const sign = C.data[i * m + i] < 0 ? -1 : 1;
    for (let j = i; j < n; j++) R.data[i * n + j] = sign * C.data[j * m + i];
    if (sign < 0) { for (let p = 0; p < m; p++) Q.data[i * m + p] *= -1; }
  }
  return { Q: transpose(Q), R };
}

/** Sweeps after which Jacobi's rotations have long converged. */
const SWEEPS = 60;

/**
 * Eigenvalues, from the smallest on, and orthonormal eigenvectors of a symmetric matrix, whose lower triangle is read; by
 * Jacobi's rotations, which find small eigenvalues as exactly as large ones.
 *
 * @param A `n×n`
 * @returns `w`, and `V` with an eigenvector in each column: A V = V diag(w)
 * @throws RangeError when A is not square
 */
export function eigh(A: Matrix): { w: Float64Array; V: Matrix } {
  expectMatrix("eigh", 1, A, true);
  const n = A.rows;
  const S = zeros(n, n), s = S.data;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) s[i * n + j] = s[j * n + i] = A.data[i * n + j];
  }
  // Eigenvectors as rows.
  const E = identity(n), e = E.data;
  const size = norm(s);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    let off = 0;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < i; j++) off = Math.max(off, Math.abs(s[i * n + j]));
    }
    if (off <= 1e-300 || off < 1e-17 * size) break;
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) rotate(s, e, n, p, q);
    }
  }
  const order = Array.from({ length: n }, (_, i) => i).sort((i, j) => s[i * n + i] - s[j * n + j]);
  const V = zeros(n, n);
  order.forEach((from, to) => {
    for (let i = 0; i < n; i++) V.data[i * n + to] = e[from * n + i];
  });
  return { w: Float64Array.from(order, (i) => s[i * n + i]), V };
}

/** Turns axes p and q so that their element off the diagonal is 0. */
function rotate(s: Float64Array, e: Float64Array, n: number, p: number, q: number): void {
  const apq = s[p * n + q];
  if (apq === 0) return;
  const theta = (s[q * n + q] - s[p * n + p]) / (2 * apq);
  const t = Math.abs(theta) > 1e150
    ? 0.5 / theta
    : (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1));
  const c = 1 / Math.hypot(t, 1), sine = t * c;
  const turn = (x: Float64Array, i: number, j: number) => {
    const [a, b] = [x[i], x[j]];
    x[i] = c * a - sine * b;
    x[j] = sine * a + c * b;
  };
  for (let i = 0; i < n; i++) turn(s, i * n + p, i * n + q);
  for (let i = 0; i < n; i++) turn(s, p * n + i, q * n + i);
  for (let i = 0; i < n; i++) turn(e, p * n + i, q * n + i);
  s[p * n + q] = s[q * n + p] = 0;
}
