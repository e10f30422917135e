/**
 * One training step's loss, as a function of parameters and a batch: targets are encoded (the regularization set's
 * posteriors are known beforehand) and both halves go through the diffusion loss together. All of a step's randomness
 * comes from its key.
 */
import { checkpoint } from "../autograd/checkpoint.ts";
import type { Mask } from "../autograd/mask.ts";
import { concat, slice } from "../ops/movement.ts";
import { tensor } from "../ops/leaf.ts";
import { foldIn, keyFromSeed } from "../ops/random.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Pipeline, PipelineParams } from "../diffusion/pipeline.ts";
import { type Posterior, vaeEncode } from "../models/vae.ts";
import { diffusionLoss, type LossModel } from "../diffusion/loss.ts";
import type { BatchOptions, HostBatch } from "./batches.ts";
import { encodedTogether, type LatentSet, latentsOf } from "./latents.ts";
import { type CompiledStep, compileStep, type OptimizerStep, optimizerStep } from "./optimize.ts";

/** A batch as tensors. The first pictures are targets, the others regularization. */
export type StepBatch = {
  /** Targets, `[Bt, S, S, 3]` in [−1, 1]. */
  readonly pixels: Tensor;
  /** Posteriors of the regularization pictures, `[Br, h, w, c]`; absent without a set. */
  readonly mean?: Tensor;
  readonly logvar?: Tensor;
  /** Token ids, u32 `[B, T]`; `[B, 2, T]` of models with two text encoders. */
  readonly ids: Tensor;
  /** Valid regions, `[B, h, w]`. */
  readonly mask: Tensor;
  /** Key of this step's draws, u32 `[2]`. */
  readonly key: Tensor;
};

/** How a step is laid out. Every layout computes the same step (but for rounding), in another time and memory. */
export interface StepLayout {
  /** The UNet's blocks are computed again in the backward pass instead of being kept. Default no. */
  readonly checkpoint?: boolean;
  /** Equal parts of the batch that go through the model one after the other, their gradients added. Default 1. */
  readonly parts?: number;
}

/** What a step computes beside its layout. */
export interface StepOptions extends StepLayout {
  /** No gradient reaches keys and values from the start token (default). */
  readonly cutStartToken?: boolean;
}

/**
 * Parts that a plan needs to see: the first encodes the most pictures, the second shows what is carried along, and every
 * further one takes the same memory.
 */
export const PLANNED_PARTS = 2;

/** What a step needs of a model. A `Pipeline` is one. */
export type StepModel = LossModel & { readonly params: PipelineParams };

/**
 * The training step of a model.
 *
 * @param traced how many of the parts to trace: all of them, but for {@linkcode PLANNED_PARTS}
 * @throws RangeError when the batch cannot be cut into that many equal parts
 */
export function stepFunction(
  model: StepModel,
  trainable: Mask,
  decay: number,
  options: StepOptions = {},
  traced?: number,
): OptimizerStep<StepBatch> {
  return optimizerStep(
    model.params,
    trainable,
    decay,
    (params, batch, part) => stepLoss(model, params, batch, options, part),
    { parts: options.parts, traced, scale: lossScale(model) },
  );
}

/**
 * What gradients are multiplied by where activations, and so their gradients, are f16: those of a mean over a batch's
 * latents are as small as there are many, and would lose bits below 6e-5, f16's least normal number. By as many (as a
 * power of two, which rounds nothing) they are about 1 where they enter the UNet.
 */
const lossScale = ({ config: { unet } }: StepModel) => ({ mask }: StepBatch): number =>
  unet.activations === "f16" ? 2 ** Math.round(Math.log2(mask.size * unet.outChannels)) : 1;

/** The same, compiled: state and batch in, new state and loss out, in place. */
export const trainingStep = (
  pipeline: StepModel & Pick<Pipeline, "device">,
  trainable: Mask,
  decay: number,
  options: StepOptions = {},
): CompiledStep<StepBatch> =>
  compileStep(pipeline.device, stepFunction(pipeline, trainable, decay, options));

/**
 * Mean over the batch of the masked mean squared error: target and regularization pictures weigh the same.
 *
 * @param part which of `options.parts` parts of the batch: the mean over that part alone
 */
export function stepLoss(
  model: LossModel,
  params: PipelineParams,
  batch: StepBatch,
  { checkpoint: recompute = false, parts = 1, cutStartToken = true }: StepOptions = {},
  part = 0,
): Tensor {
  const [of] = batch.ids.shape;
  if (of % parts) throw new RangeError(`a batch of ${of} has no ${parts} equal parts`);
  const each = of / parts;
  const first = part * each;
  const mine = (t: Tensor) => parts === 1 ? t : slice(t, 0, first, first + each);
  return diffusionLoss(model, params, {
    posterior: posteriorOf(model, params, batch, first, first + each),
    ids: mine(batch.ids),
    mask: mine(batch.mask),
    key: batch.key,
    part: parts === 1 ? undefined : { first, of },
  }, { cutStartToken, wrap: recompute ? (_, block) => checkpoint(block) : undefined });
}

/** Posteriors of samples `from … to` of a batch: targets are encoded here, the regularization set's are known. */
function posteriorOf(
  { config }: LossModel,
  { vae }: PipelineParams,
  { pixels, mean, logvar }: StepBatch,
  from: number,
  to: number,
): Posterior {
  const [targets, size] = pixels.shape;
  const found: Posterior[] = [];
  const some = encodedTogether(size);
  for (let at = from; at < Math.min(to, targets); at += some) {
    const end = Math.min(at + some, to, targets);
    const all = at === 0 && end === targets;
    found.push(vaeEncode(config.vae, vae, all ? pixels : slice(pixels, 0, at, end)));
  }
  if (mean && logvar && to > targets) {
    const known = (t: Tensor) => slice(t, 0, Math.max(0, from - targets), to - targets);
    found.push({ mean: known(mean), logvar: known(logvar) });
  }
  const joined = (name: keyof Posterior) => concat(found.map((p) => p[name]), 0);
  return found.length === 1 ? found[0] : { mean: joined("mean"), logvar: joined("logvar") };
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
