/**
 * The shared part of a merge: K = (C A⁻¹ Cᵀ)⁻¹ C A⁻¹ (s×d), so that W = W0 + (V − W0 Cᵀ) K.
 *
 * Why not as the formula reads: it inverts A = C_regᵀ C_reg, whose condition number is the square of C_reg's, and then
 * C A⁻¹ Cᵀ on top. Here A = L Lᵀ only ever acts through its triangle, B = C L⁻ᵀ is orthogonalized instead of squared,
 * and K is refined against C_reg itself: each row k of K is the solution of
 *
 *     A k − Cᵀ λ = 0,   C k = e,
 *
 * and the first residual is computed as C_regᵀ (C_reg k), which keeps the digits that A loses. Where even that would not
 * converge (condition of A over 1e13), the triangle comes from Householder reflections of C_reg, and A is never formed.
 */
import {
  cholesky,
  conditionOfTriangle,
  solveLowerRows,
  solveLowerTransposedRows,
} from "../../numerics/linalg.ts";
import {
  addProduct,
  addProductNT,
  addProductTN,
  gram,
  type Matrix,
  norm,
  powerOfTwoNear,
  timesLower,
  zeros,
} from "../../numerics/matrix.ts";
import {
  checkMatrix,
  checkSize,
  distinctTargets,
  type DuplicateRow,
  MergeError,
  singularRegularization,
} from "./checks.ts";
import { orthonormalRows, rankOfRows, triangleOf } from "../../numerics/orthogonal.ts";
import { figures } from "../../numerics/quantities.ts";

/** What the factorization of a merge takes. */
export interface GainOptions {
  /** s×d (C): a row for each text feature whose output is prescribed. */
  targets: Matrix;
  /** n×d (C_reg): a row for each text feature whose output should stay. */
  regularization: Matrix;
  /** Adds `ridge · mean(diag A)` to A's diagonal; 0 by default. */
  ridge?: number;
  /**
   * Target rows closer than this, relative to their length, count as the same; 0 by default. Features that came from a
   * float32 text encoder want about 1e-6.
   */
  duplicateTolerance?: number;
}

/** The factorized problem. */
export interface Gain {
  /** Distinct targets, s'×d. */
  targets: Matrix;
  /** s'×d. */
  K: Matrix;
  /** s'×d: the gain of the smallest change of W itself, (C Cᵀ)⁻¹ C; for what rounding leaves over. */
  shortest: Matrix;
  /** Lower s'×s' F with ‖E K C_regᵀ‖ = ‖E F‖ for any E. */
  factorOfTargets: Matrix;
  index: number[];
  duplicates: DuplicateRow[];
  tolerance: number;
  /** ‖W0 C_regᵀ‖. */
  sizeOnRegularization(W0: Matrix): number;
  facts: {
    targetsRank: number;
    targetsCondition: number;
    regularizationRank: number;
    regularizationCondition: number;
    factorization: "cholesky" | "qr";
    ridge: number;
    duplicates: DuplicateRow[];
    warnings: string[];
  };
}

/** Over this condition number of C_reg, A = C_regᵀ C_reg has too few digits left to be refined. */
const choleskyLimit = 3e6;
/** Over this one C_reg itself is singular in float64. */
const singularLimit = 1e12;

/** Checks and factorizes; see {@linkcode mergeSolver} for what is thrown. */
export function factorize(options: GainOptions): Gain {
  const { targets, regularization, ridge = 0, duplicateTolerance = 0 } = options;
  checkMatrix("targets", targets);
  checkMatrix("regularization", regularization);
  checkSize("regularization", regularization, "cols", targets.cols, "targets has");
  if (!(ridge >= 0 && Number.isFinite(ridge))) {
    throw new MergeError("ridge", `ridge is ${ridge}: it must be a finite number, 0 or more`);
  }
  const { rows: C, index, scales, duplicates } = distinctTargets(targets, duplicateTolerance);

  // A power of two: dividing by it is exact, so the answer does not depend on the unit that C_reg came in.
  const unit = powerOfTwoNear(norm(regularization.data) || 1);
  const X: Matrix = { ...regularization, data: new Float64Array(regularization.data.length) };
  for (let i = 0; i < X.data.length; i++) X.data[i] = regularization.data[i] / unit;
  const { L, condition, method, mu } = triangle(X, ridge);

  const B: Matrix = { ...C, data: C.data.slice() };
  solveLowerRows(L, B);
  const { L: S, Q } = orthonormalRows(B);
  const K = refine(X, mu, C, L, S, Q);

  const s = index.length, d = C.cols;
  const warnings: string[] = [];
  const { gain: shortest, condition: targetsCondition } = shortestGain(C);
  if (targetsCondition > 1e6) {
    warnings.push(
      `the targets are nearly dependent (condition ${figures(targetsCondition)}): values ` +
        `that disagree a little move the weights a lot`,
    );
  }
  for (let i = 0; i < s; i++) {
    for (let c = 0; c < d; c++) {
      K.data[i * d + c] /= scales[i];
      shortest.data[i * d + c] /= scales[i];
    }
  }
  const onTargets = zeros(X.rows, s);
  addProductNT(onTargets, X, K, unit);
  const distinct = zeros(s, d);
  index.forEach((row, i) => distinct.data.set(targets.data.subarray(row * d, row * d + d), i * d));
  return {
    targets: distinct,
    K,
    shortest,
    factorOfTargets: triangleOf(onTargets),
    index,
    duplicates,
    tolerance: duplicateTolerance,
    sizeOnRegularization(W0) {
      const ridgePart = Math.sqrt(mu) * norm(W0.data), all = norm(timesLower(W0, L).data);
      return unit * Math.sqrt(Math.max(0, (all - ridgePart) * (all + ridgePart)));
    },
    facts: {
      targetsRank: s,
      targetsCondition,
      regularizationRank: d,
      regularizationCondition: condition,
      factorization: method,
      ridge,
      duplicates,
      warnings,
    },
  };
}

/** The triangle L of A = XᵀX + μI, by the cheapest way that keeps enough digits. */
function triangle(
  X: Matrix,
  ridge: number,
): { L: Matrix; condition: number; method: "cholesky" | "qr"; mu: number } {
  const d = X.cols;
  const mu = ridge * norm(X.data) ** 2 / d; // The mean diagonal element of XᵀX is ‖X‖²/d.
  if (mu === 0 && X.rows < d) throw singularRegularization(rankOfRows(X, 1e-12).rank, d, X.rows);
  const A = gram(X);
  for (let i = 0; i < d; i++) A.data[i * d + i] += mu;
  const L = cholesky(A);
  const condition = L ? conditionOfTriangle(unitRows(L)) : Infinity;
  if (L && condition <= choleskyLimit) return { L, condition, method: "cholesky", mu };

  const byReflections = triangleOf(X, mu);
  const unitTriangle = unitRows(byReflections);
  const again = unitTriangle.data.some((x, i) => i % (d + 1) === 0 && x === 0)
    ? Infinity
    : conditionOfTriangle(unitTriangle);
  if (!(again <= singularLimit)) {
    const { rank } = rankOfRows(byReflections, 1 / singularLimit);
    throw singularRegularization(Math.min(rank, d - 1), d, X.rows);
  }
  return { L: byReflections, condition: again, method: "qr", mu };
}

/** The triangle with rows of unit length, that is C_reg with columns of unit length: the condition that matters. */
function unitRows(L: Matrix): Matrix {
  const d = L.cols, out: Matrix = { rows: d, cols: d, data: L.data.slice() };
  for (let i = 0; i < d; i++) {
    const row = out.data.subarray(i * d, i * d + d), length = norm(row) || 1;
    for (let c = 0; c < d; c++) row[c] /= length;
  }
  return out;
}

/**
 * K from A = L Lᵀ and C L⁻ᵀ = S Q, corrected until it no longer moves.
 *
 * With r1 = Cᵀ Λ − A Kᵀ and r2 = I − C Kᵀ, the corrections solve A δK − Cᵀ δΛ = r1, C δK = r2 by the same triangles.
 */
function refine(X: Matrix, mu: number, C: Matrix, L: Matrix, S: Matrix, Q: Matrix): Matrix {
  const { rows: s, cols: d } = C;
  const K = zeros(s, d), Lambda = zeros(s, s);
  let last = Infinity;
  // The first pass starts from zero and is the closed form itself; the others correct it.
  for (let pass = 0; pass < 8; pass++) {
    const r2 = zeros(s, s);
    for (let i = 0; i < s; i++) r2.data[i * s + i] = 1;
    const step = zeros(s, d);
    if (pass > 0) {
      addProductNT(r2, K, C, -1);
      const onTargets = zeros(X.rows, s);
      addProductNT(onTargets, X, K, -1);
      addProductTN(step, onTargets, X);
      for (let i = 0; i < step.data.length; i++) step.data[i] -= mu * K.data[i];
      addProduct(step, Lambda, C);
    }
    solveLowerRows(L, step); // u = L⁻¹ r1
    const w = r2;
    solveLowerRows(S, w);
    addProductNT(w, step, Q, -1); // w = r2 S⁻ᵀ − u Qᵀ
    addProduct(step, w, Q); // z = u + w Q
    solveLowerTransposedRows(L, step);
    solveLowerTransposedRows(S, w);
    const moved = norm(step.data), size = norm(K.data);
    if (pass > 0 && !(moved < 0.5 * last)) break; // It wanders at rounding level: the pass before was the best.
    for (let i = 0; i < K.data.length; i++) K.data[i] += step.data[i];
    for (let i = 0; i < w.data.length; i++) Lambda.data[i] += w.data[i];
    symmetrize(Lambda);
    if (pass > 0 && moved <= 1e-15 * size) break;
    last = moved;
  }
  return K;
}

/** (C Cᵀ)⁻¹ C = T⁻ᵀ Q from C = T Q, and the condition of T. */
function shortestGain(C: Matrix): { gain: Matrix; condition: number } {
  const { L: T, Q } = orthonormalRows(C);
  const inverse = zeros(C.rows, C.rows), gain = zeros(C.rows, C.cols);
  for (let i = 0; i < C.rows; i++) inverse.data[i * C.rows + i] = 1;
  solveLowerRows(T, inverse); // Row i becomes T⁻¹'s column i.
  addProduct(gain, inverse, Q);
  return { gain, condition: conditionOfTriangle(T) };
}

function symmetrize(A: Matrix): void {
  const s = A.rows;
  for (let i = 0; i < s; i++) {
    for (let j = 0; j < i; j++) {
      const mean = (A.data[i * s + j] + A.data[j * s + i]) / 2;
      A.data[i * s + j] = A.data[j * s + i] = mean;
    }
  }
}
