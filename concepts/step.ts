/**
 * The loss of one training step, as a function of parameters and a batch: targets are encoded (the regularization set's
 * posteriors are known beforehand), latents are sampled, noise and timesteps drawn from the step's key, and the squared
 * error taken where the pictures are valid. All of a step's randomness comes from its key.
 */
import { concat } from "../ops/movement.ts";
import { tensor } from "../ops/leaf.ts";
import { randomNormal } from "../ops/random.ts";
import { keyOfStep } from "./keys.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Pipeline, PipelineParams } from "../models/pipeline.ts";
import { clipText } from "../models/clip_text.ts";
import { unet } from "../models/unet.ts";
import { toLatent, vaeEncode } from "../models/vae.ts";
import { diffusionLoss } from "../diffusion/loss.ts";
import type { BatchOptions, HostBatch } from "./batches.ts";
import { type LatentSet, latentsOf } from "./latents.ts";

/** A batch as tensors. The first pictures are targets, the others regularization. */
export interface StepBatch {
  /** Targets, `[Bt, S, S, 3]` in [−1, 1]. */
  readonly pixels: Tensor;
  /** Posteriors of the regularization pictures, `[Br, h, w, c]`; absent without a set. */
  readonly mean?: Tensor;
  readonly logvar?: Tensor;
  /** Token ids, u32 `[B, T]`. */
  readonly ids: Tensor;
  /** Valid regions, `[B, h, w, 1]`. */
  readonly mask: Tensor;
  /** Key of this step's draws, u32 `[2]`. */
  readonly key: Tensor;
}

/** Streams of a step's key: one for each thing that is drawn. */
const LATENT_STREAM = 1;

/** Mean over the batch of the masked mean squared error (METHOD: target and regularization weigh the same). */
export function stepLoss(pipeline: Pipeline, params: PipelineParams, batch: StepBatch): Tensor {
  const { config, schedule } = pipeline;
  const own = vaeEncode(config.vae, params.vae, batch.pixels);
  const { mean, logvar } = batch;
  const posterior = mean && logvar
    ? { mean: concat([own.mean, mean], 0), logvar: concat([own.logvar, logvar], 0) }
    : own;
  const noise = randomNormal(batch.key, posterior.mean.shape, { stream: LATENT_STREAM });
  const latents = toLatent(config.vae, posterior, noise);
  const { hidden } = clipText(config.textEncoder, params.text_encoder, batch.ids);
  return diffusionLoss(schedule, {
    latents,
    mask: batch.mask,
    key: batch.key,
    model: (noisy, timesteps) =>
      unet(config.unet, params.unet, noisy, timesteps, hidden, { cutStartToken: true }),
  });
}

/** Makes the tensors of a host batch. */
export function stepBatch(
  pipeline: Pipeline,
  host: HostBatch,
  set: LatentSet,
  options: BatchOptions & { readonly step: number },
): StepBatch {
  const { size, factor, batch, seed, step } = options;
  const cells = size / factor;
  const { tokenizer } = pipeline;
  const ids = host.captions.flatMap((c) => tokenizer.encodePadded(c));
  return {
    pixels: tensor(host.pixels, [host.targets, size, size, 3]),
    ...(host.regularization.length ? latentsOf(set, host.regularization) : {}),
    ids: tensor(Uint32Array.from(ids), [batch, ids.length / batch]),
    mask: tensor(host.mask, [batch, cells, cells, 1]),
    key: keyOfStep(seed, step),
  };
}
