/**
 * One training step's loss, as a function of parameters and a batch: targets are encoded (the regularization set's
 * posteriors are known beforehand) and both halves go through the diffusion loss together. All of a step's randomness
 * comes from its key.
 */
import { concat } from "../ops/movement.ts";
import { tensor } from "../ops/leaf.ts";
import { foldIn, keyFromSeed } from "../ops/random.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Pipeline, PipelineParams } from "../diffusion/pipeline.ts";
import { vaeEncode } from "../models/vae.ts";
import { diffusionLoss } from "../diffusion/loss.ts";
import type { BatchOptions, HostBatch } from "./batches.ts";
import { type LatentSet, latentsOf } from "./latents.ts";

/** A batch as tensors. The first pictures are targets, the others regularization. */
export type StepBatch = {
  /** Targets, `[Bt, S, S, 3]` in [−1, 1]. */
  readonly pixels: Tensor;
  /** Posteriors of the regularization pictures, `[Br, h, w, c]`; absent without a set. */
  readonly mean?: Tensor;
  readonly logvar?: Tensor;
  /** Token ids, u32 `[B, T]`. */
  readonly ids: Tensor;
  /** Valid regions, `[B, h, w]`. */
  readonly mask: Tensor;
  /** Key of this step's draws, u32 `[2]`. */
  readonly key: Tensor;
};

/** What a step computes. */
export interface StepOptions {
  /** No gradient reaches keys and values from the start token (default). */
  readonly cutStartToken?: boolean;
}

/** Mean over the batch of the masked mean squared error: target and regularization pictures weigh the same. */
export function stepLoss(
  model: Pipeline,
  params: PipelineParams,
  batch: StepBatch,
  { cutStartToken = true }: StepOptions = {},
): Tensor {
  const own = vaeEncode(model.config.vae, params.vae, batch.pixels);
  const { mean, logvar, ids, mask, key } = batch;
  const posterior = mean && logvar
    ? { mean: concat([own.mean, mean], 0), logvar: concat([own.logvar, logvar], 0) }
    : own;
  return diffusionLoss(model, params, { posterior, ids, mask, key }, { cutStartToken });
}

/** Makes the tensors of a host batch. */
export function stepBatch(
  model: Pipeline,
  host: HostBatch,
  set: LatentSet,
  options: BatchOptions & { readonly step: number },
): StepBatch {
  const { size, factor, batch, seed, step } = options;
  const cells = size / factor;
  return {
    pixels: tensor(host.pixels, [host.targets, size, size, 3]),
    ...(host.regularization.length ? latentsOf(set, host.regularization) : {}),
    ids: model.tokenize(host.captions),
    mask: tensor(host.mask, [batch, cells, cells]),
    key: tensor(Uint32Array.from(foldIn(keyFromSeed(seed), step)), [2]),
  };
}
