/**
 * Whether this machine computes a model as PyTorch does (`docs/verify.md`). Read in this order: `gold.ts` (what PyTorch left),
 * `forward.ts` (encoders, denoiser, samplers), `training.ts` (loss, gradients, steps; `parameters.ts` knows their names),
 * `verify.ts` (all of it, compared).
 */
export { type Verification, type Verified, verifyModel, type VerifyOptions } from "./verify.ts";
