/**
 * Linear algebra of small matrices, on the host in float64: no device, no tensors, no derivatives. `mod.ts` has it too.
 *
 * @module
 */
export {
  cholesky,
  det,
  eigh,
  inverse,
  qr,
  solve,
  type TriangularOptions,
  triangularSolve,
} from "./numerics/dense.ts";
export type { Matrix } from "./numerics/matrix.ts";
export { type Svd, svd } from "./numerics/svd.ts";
