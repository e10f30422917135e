/**
 * The merge: several fine-tuned concepts in one set of key and value matrices, in closed form.
 *
 * Custom Diffusion (Kumari et al., CVPR 2023), §3.3 and equation 4: of all W that map the targets to their values,
 * the one that changes least what the regularization captions give,
 *
 *     Ŵ = argmin ‖(W − W0) C_regᵀ‖_F  subject to  W Cᵀ = V
 *       = W0 + (V − W0 Cᵀ) (C A⁻¹ Cᵀ)⁻¹ C A⁻¹,   A = C_regᵀ C_reg (+ ridge).
 *
 * The factor K = (C A⁻¹ Cᵀ)⁻¹ C A⁻¹ does not depend on W0 or V: it is computed once (`merge_gain.ts`), for all 32
 * matrices of Stable Diffusion 1.x, and each matrix then costs two thin products.
 */
import { expectKinds, RECORD } from "../../tensor/kinds.ts";
import { addProduct, addProductNT, type Matrix, norm, zeros } from "../../numerics/matrix.ts";
import { checkAgreement, checkMatrix, checkSize, type DuplicateRow } from "./checks.ts";
import { factorize, type Gain, type GainOptions } from "./gain.ts";
import { figures } from "../../numerics/quantities.ts";

export type { Matrix } from "../../numerics/matrix.ts";
export { type DuplicateRow, MergeError, type MergeErrorCode } from "./checks.ts";
export type { GainOptions as MergeSolverOptions } from "./gain.ts";

/** What {@linkcode mergeConcepts} takes. */
export interface MergeOptions extends GainOptions {
  /** o×d: the matrix to change (a `to_k.weight` or `to_v.weight`: outputs × text features). */
  W0: Matrix;
  /** o×s: column i is what W must give for row i of the targets. */
  values: Matrix;
}

/** How well a merge went. All norms are Frobenius norms. */
export interface MergeReport {
  /** ‖W Cᵀ − V‖ / ‖V‖ (over ‖W0 Cᵀ‖ where V is zero). */
  constraintResidual: number;
  /** ‖(W − W0) C_regᵀ‖: what was minimised. */
  regularizationChange: number;
  /** ‖(W − W0) C_regᵀ‖ / ‖W0 C_regᵀ‖; only where asked for, since it costs more than the merge. */
  regularizationChangeRelative?: number;
  /** ‖W − W0‖ / ‖W0‖. */
  weightChange: number;
  /** Rank of the targets: how many distinct rows there were. */
  targetsRank: number;
  /** Estimated condition number of the targets, rows taken at unit length. */
  targetsCondition: number;
  /** Rank of the regularization (with the ridge): always d, or the merge is refused. */
  regularizationRank: number;
  /** Estimated condition number of C_reg (with the ridge), columns taken at unit length; A's is its square. */
  regularizationCondition: number;
  /** Which factorization A took: "cholesky" with refinement, or "qr" where that would have lost the digits. */
  factorization: "cholesky" | "qr";
  /** The ridge as given: a multiple of A's mean diagonal element. */
  ridge: number;
  /** Target rows that repeated another one with equal values, and were dropped. */
  duplicates: DuplicateRow[];
  /** What deserves a look before the result is trusted; mostly empty. */
  warnings: string[];
}

/** A merged matrix and how well it went. */
export interface MergeResult {
  /** o×d. */
  W: Matrix;
  /** Residual, change, condition numbers, warnings. */
  report: MergeReport;
}

/** A factorized merge problem, for any number of matrices. */
export interface MergeSolver {
  /** s'×d: K with W = W0 + (V − W0 Cᵀ) K, one row for each distinct target. */
  readonly gain: Matrix;
  /**
   * Merges one matrix.
   *
   * @param W0 o×d
   * @param values o×s, a column for each row of the targets (duplicates included)
   * @param options `relative: true` also computes `regularizationChangeRelative` (o·d²/2 multiply-adds)
   * @throws {MergeError} on wrong shapes, NaN, or duplicated targets whose values differ
   */
  apply(W0: Matrix, values: Matrix, options?: { relative?: boolean }): MergeResult;
}

/**
 * Factorizes the part of a merge that all matrices share.
 *
 * @param options.targets s×d (C): text features of the concepts' words
 * @param options.regularization n×d (C_reg): text features of the regularization captions, n ≥ d unless there is a ridge
 * @param options.ridge adds `ridge · mean(diag(C_regᵀ C_reg))` to the diagonal of A; 0 by default
 * @throws {MergeError} on wrong shapes, NaN, dependent targets, or a singular A without a ridge
 */
export function mergeSolver(options: GainOptions): MergeSolver {
  expectKinds("mergeSolver", { options: [options, RECORD] });
  const gain = factorize(options);
  return {
    gain: gain.K,
    apply: (W0, values, { relative = false } = {}) => apply(gain, W0, values, relative),
  };
}

/**
 * Merges concepts into one matrix: W Cᵀ = V with the least change on the regularization features.
 *
 * Equation 4 of the paper, in float64, on plain matrices and without a GPU. Duplicated targets with equal values count
 * once. `W Cᵀ = V` holds to 1e-9 relative and better while A's condition number is under 1e12; the report has the
 * residual that was reached.
 *
 * A singular A (fewer independent captions than text features) is refused: without a ridge the solution is not unique,
 * and a hidden one would choose for the caller.
 *
 * @param options W0 o×d, targets s×d (C), values o×s (V), regularization n×d (C_reg), ridge ≥ 0 (default 0)
 * @throws {MergeError} `code` "shape", "not-finite", "contradiction" (same target, different values), "rank"
 *   (dependent targets; singular regularization) or "ridge"
 *
 * @example
 * ```ts
 * import { mergeConcepts } from "./solve.ts";
 * const { W, report } = mergeConcepts({
 *   W0: { rows: 1, cols: 2, data: Float64Array.of(1, 2) },
 *   targets: { rows: 1, cols: 2, data: Float64Array.of(1, 0) },
 *   values: { rows: 1, cols: 1, data: Float64Array.of(5) },
 *   regularization: { rows: 2, cols: 2, data: Float64Array.of(1, 0, 0, 1) },
 * });
 * console.assert(W.data[0] === 5 && W.data[1] === 2 && report.constraintResidual === 0);
 * ```
 */
export function mergeConcepts(options: MergeOptions): MergeResult {
  expectKinds("mergeConcepts", { options: [options, RECORD] });
  checkMatrix("W0", options.W0);
  checkMatrix("values", options.values);
  return mergeSolver(options).apply(options.W0, options.values, { relative: true });
}

function apply(gain: Gain, W0: Matrix, values: Matrix, relative: boolean): MergeResult {
  const { targets, K, factorOfTargets, index, duplicates } = gain;
  checkMatrix("W0", W0);
  checkMatrix("values", values);
  checkSize("W0", W0, "cols", targets.cols, `targets and regularization have`);
  checkSize("values", values, "rows", W0.rows, "W0 has");
  const asked = index.length + duplicates.length;
  checkSize("values", values, "cols", asked, `targets has ${asked} rows`);
  checkAgreement(values, duplicates, gain.tolerance);
  const o = W0.rows, d = W0.cols, s = index.length;

  const V = zeros(o, s);
  for (let i = 0; i < o; i++) {
    for (let j = 0; j < s; j++) V.data[i * s + j] = values.data[i * asked + index[j]];
  }
  const first = missing(V, W0, targets);
  let W: Matrix = { rows: o, cols: d, data: W0.data.slice() };
  addProduct(W, first, K);

  // What rounding left of V − W Cᵀ goes by the shortest way: K's own may be a million times longer, and round as badly.
  let left = missing(V, W, targets);
  const scale = norm(V.data) || norm(first.data) || 1;
  for (let round = 0; round < 3 && norm(left.data) > 1e-15 * scale; round++) {
    const next: Matrix = { rows: o, cols: d, data: W.data.slice() };
    addProduct(next, left, gain.shortest);
    const nextLeft = missing(V, next, targets);
    if (!(norm(nextLeft.data) < 0.5 * norm(left.data))) break;
    W = next;
    left = nextLeft;
  }

  const change = zeros(o, d);
  for (let i = 0; i < change.data.length; i++) change.data[i] = W.data[i] - W0.data[i];
  const residual = norm(left.data) / scale;
  // ‖ΔC_regᵀ‖ = ‖E K C_regᵀ‖ = ‖E F‖ with F F ᵀ = (K C_regᵀ)(K C_regᵀ)ᵀ.
  const onRegularization = zeros(o, s);
  addProduct(onRegularization, first, factorOfTargets);
  const regularizationChange = norm(onRegularization.data);
  const report: MergeReport = {
    constraintResidual: residual,
    regularizationChange,
    ...(relative && {
      regularizationChangeRelative: regularizationChange / (gain.sizeOnRegularization(W0) || 1),
    }),
    weightChange: norm(change.data) / (norm(W0.data) || 1),
    ...gain.facts,
    warnings: [...gain.facts.warnings],
  };
  if (residual > 1e-9) {
    report.warnings.push(
      `W Cᵀ = V holds only to ${figures(residual)}: the weights had to grow ` +
        `${figures(report.weightChange)}-fold. A ridge keeps them small`,
    );
  }
  return { W, report };
}

/** V − W Cᵀ, o×s. */
function missing(V: Matrix, W: Matrix, C: Matrix): Matrix {
  const out: Matrix = { rows: V.rows, cols: V.cols, data: V.data.slice() };
  addProductNT(out, W, C, -1);
  return out;
}
