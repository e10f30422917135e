/** What surrounds the walk from noise to a latent: text before it, perhaps a picture, and the autoencoder behind. */
import { add, maximum, minimum, mul } from "../ops/elementwise/arithmetic.ts";
import { reshape } from "../ops/movement.ts";
import type { ParameterTree } from "../models/params.ts";
import { fromLatent, toLatent, vaeDecode, vaeEncode } from "../models/vae/vae.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Encoders, type PromptFeatures, promptFeatures } from "./conditions.ts";
import type { PipelineConfig } from "./pipeline.ts";

/**
 * Prompts as the UNet takes them: `(text encoders, ids, kept [B, 1])`; the features of a prompt whose `kept` is 0 are
 * zeros.
 */
export const encoding =
  (config: PipelineConfig) => (params: Encoders, ids: Tensor, kept: Tensor): PromptFeatures => {
    const { context, pooled } = promptFeatures(config, params, ids);
    return {
      context: mul(context, reshape(kept, [-1, 1, 1])),
      ...(pooled && { pooled: mul(pooled, kept) }),
    };
  };

/** A latent as a picture: `(params, z [1, h, w, c])` to `[1, H, W, 3]` from 0 to 255. */
export const decoding = ({ vae }: PipelineConfig) => (params: ParameterTree, z: Tensor): Tensor => {
  const y = vaeDecode(vae, params, fromLatent(vae, z));
  return mul(minimum(maximum(add(mul(y, 0.5), 0.5), 0), 1), 255);
};

/** A picture as the latent of its middle: `(params, pixels [1, H, W, 3])` in [−1, 1] to `[1, h, w, c]`. */
export const starting =
  ({ vae }: PipelineConfig) => (params: ParameterTree, pixels: Tensor): Tensor =>
    toLatent(vae, vaeEncode(vae, params, pixels));
