/**
 * A way to see and change what a UNet attends to. Fused attention never holds its probabilities; a layer that is hooked
 * computes them on their own: scores, softmax, product.
 */
import { mul } from "../../ops/elementwise/arithmetic.ts";
import { cast } from "../../ops/elementwise/cast.ts";
import { matmul } from "../../ops/matmul.ts";
import { permute } from "../../ops/movement.ts";
import { softmax } from "../../ops/softmax.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** A layer of attention in a UNet. */
export interface AttentionSite {
  /** Its parameters' path: `down_blocks.0.attentions.0.transformer_blocks.0.attn2`. */
  readonly path: string;
  /** Whether pixels attend to one another (`attn1`) or to the prompt (`attn2`). */
  readonly kind: "self" | "cross";
  /** Height and width of the features that attend; their product is T. */
  readonly cells: readonly [h: number, w: number];
}

/**
 * Maps the probabilities of a layer, f32 `[B, heads, T, S]` with rows that sum to 1, to those that are to be used in
 * their place.
 */
export type ProbabilityMap = (probabilities: Tensor) => Tensor;

/** Asked for each layer; those that it gives nothing for are computed as they are without a hook. */
export type AttentionHook = (site: AttentionSite) => ProbabilityMap | undefined;

/**
 * Attention by way of its probabilities.
 *
 * @param q queries `[B, T, H, D]`
 * @param k keys `[B, S, H, D]`
 * @param v values `[B, S, H, D]`
 * @returns `[B, T, H, D]`, with q's dtype
 */
export function hookedAttention(q: Tensor, k: Tensor, v: Tensor, map: ProbabilityMap): Tensor {
  const [queries, keys, values] = [q, k, v].map((x) => permute(cast(x, "f32"), [0, 2, 1, 3]));
  const scores = mul(matmul(queries, keys, { transposeB: true }), 1 / Math.sqrt(q.shape[3]));
  return cast(permute(matmul(map(softmax(scores)), values), [0, 2, 1, 3]), q.dtype);
}
