/** What surrounds the walk from noise to a latent: text before it, perhaps a picture, and the autoencoder behind. */
import { add, maximum, minimum, mul } from "../ops/arithmetic.ts";
import { clipText } from "../models/clip_text.ts";
import type { ParameterTree } from "../models/params.ts";
import { fromLatent, toLatent, vaeDecode, vaeEncode } from "../models/vae.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { PipelineConfig } from "./pipeline.ts";

/** Prompts as the UNet attends to them: `(params, ids [B, T])` to `[B, T, d]`. */
export const encoding =
  ({ text_encoder }: PipelineConfig) => (params: ParameterTree, ids: Tensor): Tensor =>
    clipText(text_encoder, params, ids).hidden;

/** A latent as a picture: `(params, z [1, h, w, c])` to `[1, H, W, 3]` from 0 to 255. */
export const decoding = ({ vae }: PipelineConfig) => (params: ParameterTree, z: Tensor): Tensor => {
  const y = vaeDecode(vae, params, fromLatent(vae, z));
  return mul(minimum(maximum(add(mul(y, 0.5), 0.5), 0), 1), 255);
};

/** A picture as the latent of its middle: `(params, pixels [1, H, W, 3])` in [−1, 1] to `[1, h, w, c]`. */
export const starting =
  ({ vae }: PipelineConfig) => (params: ParameterTree, pixels: Tensor): Tensor =>
    toLatent(vae, vaeEncode(vae, params, pixels));
