/**
 * Orthogonal factorizations, float64: the triangle of a tall matrix by Householder reflections, an orthonormal basis of
 * some rows, and which rows depend on others.
 *
 * Why beside Cholesky: forming A = XᵀX squares the condition number. Reflections never form it, so they decide about
 * rank, and take over where the Gram matrix has lost too many digits.
 */
import { axpy, dot } from "./linalg.ts";
import { type Matrix, norm, zeros } from "./matrix.ts";

/**
 * L = Rᵀ (lower, d×d, diagonal ≥ 0) of the QR factorization of X n×d, with `√ridge · I` appended below X.
 *
 * Householder reflections, 256 rows at a time against the triangle so far: backward stable whatever X is, n·d²
 * multiply-adds. Golub & Van Loan, Matrix Computations, §5.2.
 */
export function triangleOf(X: Matrix, ridge = 0): Matrix {
  const { rows: n, cols: d } = X;
  const R = zeros(d, d);
  const chunk = 256;
  for (let start = 0; start < n; start += chunk) {
    const rows = Math.min(chunk, n - start);
    const panel = zeros(d, rows);
    for (let r = 0; r < rows; r++) {
      for (let c = 0, at = (start + r) * d; c < d; c++) panel.data[c * rows + r] = X.data[at + c];
    }
    absorb(R, panel);
  }
  if (ridge > 0) {
    const panel = zeros(d, d);
    for (let i = 0; i < d; i++) panel.data[i * d + i] = Math.sqrt(ridge);
    absorb(R, panel);
  }
  const L = zeros(d, d);
  for (let i = 0; i < d; i++) {
    const sign = R.data[i * d + i] < 0 ? -1 : 1;
    for (let j = i; j < d; j++) L.data[j * d + i] = sign * R.data[i * d + j];
  }
  return L;
}

/** Rotates the rows of a panel (given transposed, d×b) into the upper triangle R. */
function absorb(R: Matrix, panel: Matrix): void {
  const d = R.cols, b = panel.cols, r = R.data, p = panel.data;
  for (let k = 0; k < d; k++) {
    const v = k * b, pivot = r[k * d + k];
    const length = Math.hypot(norm(p.subarray(v, v + b)), pivot);
    if (length === 0) continue;
    const beta = pivot > 0 ? -length : length;
    const head = pivot - beta; // No cancellation: the signs differ.
    const tau = -head / beta;
    for (let i = 0; i < b; i++) p[v + i] /= head;
    r[k * d + k] = beta;
    for (let j = k + 1; j < d; j++) {
      const w = tau * (r[k * d + j] + dot(p, v, p, j * b, b));
      r[k * d + j] -= w;
      axpy(-w, p, v, p, j * b, b);
    }
  }
}

/**
 * `rows = L Q` for s×d rows, s ≤ d: Q s×d with orthonormal rows, L lower s×s.
 *
 * Gram–Schmidt, each row orthogonalized twice ("twice is enough"), so Q is orthonormal to rounding.
 */
export function orthonormalRows(rows: Matrix): { L: Matrix; Q: Matrix } {
  const { rows: s, cols: d } = rows;
  const L = zeros(s, s), Q = zeros(s, d);
  Q.data.set(rows.data);
  for (let i = 0; i < s; i++) {
    for (let pass = 0; pass < 2; pass++) {
      for (let j = 0; j < i; j++) {
        const along = dot(Q.data, i * d, Q.data, j * d, d);
        L.data[i * s + j] += along;
        axpy(-along, Q.data, j * d, Q.data, i * d, d);
      }
    }
    const length = norm(Q.data.subarray(i * d, i * d + d));
    L.data[i * s + i] = length;
    if (length > 0) { for (let c = 0; c < d; c++) Q.data[i * d + c] /= length; }
  }
  return { L, Q };
}

/** What {@linkcode rankOfRows} found. */
export interface RowRank {
  /** How many rows are independent. */
  rank: number;
  /** Rows that span the others, in the order in which they were chosen. */
  basis: number[];
  /** A row that depends on others, and on which; undefined at full rank. */
  dependent?: { row: number; on: number[] };
}

/**
 * The numerical rank of a set of rows, each taken at unit length, and a witness where it is not full.
 *
 * Gram–Schmidt with pivoting; a row counts as dependent when less than `tolerance` of its length is its own.
 */
export function rankOfRows(rows: Matrix, tolerance: number): RowRank {
  const { rows: s, cols: d } = rows;
  const unit = zeros(s, d), left = new Float64Array(s).fill(1);
  const basis: number[] = [], chosen = new Uint8Array(s);
  for (let i = 0; i < s; i++) {
    const length = norm(rows.data.subarray(i * d, i * d + d));
    if (length === 0) left[i] = 0;
    else for (let c = 0; c < d; c++) unit.data[i * d + c] = rows.data[i * d + c] / length;
  }
  const residue = unit.data.slice(), along: Float64Array[] = [];
  while (basis.length < Math.min(s, d)) {
    let best = -1;
    for (let i = 0; i < s; i++) if (!chosen[i] && (best < 0 || left[i] > left[best])) best = i;
    if (best < 0 || left[best] <= tolerance) break;
    const q = residue.slice(best * d, best * d + d);
    for (const earlier of along) axpy(-dot(q, 0, earlier, 0, d), earlier, 0, q, 0, d);
    const length = norm(q);
    if (length <= tolerance) {
      left[best] = 0;
      continue;
    }
    for (let c = 0; c < d; c++) q[c] /= length;
    basis.push(best);
    chosen[best] = 1;
    along.push(q);
    for (let i = 0; i < s; i++) {
      if (chosen[i] || left[i] === 0) continue;
      axpy(-dot(q, 0, residue, i * d, d), q, 0, residue, i * d, d);
      left[i] = norm(residue.subarray(i * d, i * d + d));
    }
  }
  const rank = basis.length;
  if (rank === s) return { rank, basis };
  const row = chosen.indexOf(0);
  return { rank, basis, dependent: { row, on: explain(unit, basis, along, row) } };
}

/** Which basis rows make up a dependent row, by back substitution in the orthonormal basis. */
function explain(unit: Matrix, basis: number[], along: Float64Array[], row: number): number[] {
  const d = unit.cols, rank = basis.length;
  const share = along.map((q) => dot(q, 0, unit.data, row * d, d));
  const on: number[] = [];
  for (let k = rank - 1; k >= 0; k--) {
    const coefficient = share[k] / dot(along[k], 0, unit.data, basis[k] * d, d);
    if (Math.abs(coefficient) > 1e-6) on.push(basis[k]);
    for (let j = 0; j < k; j++) {
      share[j] -= coefficient * dot(along[j], 0, unit.data, basis[k] * d, d);
    }
  }
  return on.sort((a, b) => a - b);
}
