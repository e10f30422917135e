/**
 * Functions of tensors that few models need, beside those of `engine.ts`: images read between pixels, regions and boxes, spectra,
 * numbers of fewer digits, linear attention. `mod.ts` has them, too.
 *
 * @module
 */
export { linearAttention, type LinearAttentionOptions } from "./autograd/linear_attention.ts";
export { nonMaxSuppression, type SuppressionOptions } from "./autograd/suppression.ts";
export * from "./ops/more.ts";
