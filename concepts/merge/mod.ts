/**
 * Several concepts in one set of matrices, in closed form (paper §3.3, equation 4). Read in this order: `solve.ts` (the solver, on
 * plain float64 matrices), `gain.ts` (its one hard part, and why it is not computed as the formula reads), `checks.ts` (what is
 * refused), `deltas.ts` (features of captions and targets, from deltas to a delta).
 */
export {
  type DuplicateRow,
  type Matrix,
  mergeConcepts,
  MergeError,
  type MergeErrorCode,
  type MergeOptions,
  type MergeReport,
  type MergeResult,
  type MergeSolver,
  mergeSolver,
  type MergeSolverOptions,
} from "./solve.ts";
export { type MergedDelta, mergeDeltas, type MergeDeltasOptions } from "./deltas.ts";
