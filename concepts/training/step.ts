/**
 * One training step's loss, as a function of parameters and a batch: what is known beforehand (posteriors of pictures
 * that are always seen whole, features of captions through which nothing trains) is taken as it is, the rest is encoded,
 * and all goes through the diffusion loss together. All of a step's randomness comes from its key.
 */
import { checkpoint } from "../../autograd/checkpoint.ts";
import type { Mask } from "../../autograd/mask.ts";
import { concat } from "../../ops/concat.ts";
import { slice } from "../../ops/movement.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type PromptFeatures, promptFeatures } from "../../diffusion/conditions.ts";
import type { Pipeline, PipelineParams } from "../../diffusion/pipeline.ts";
import { type Posterior, vaeEncode } from "../../models/vae/vae.ts";
import { diffusionLoss, type LossModel } from "../../diffusion/loss.ts";
import { encodedTogether } from "./posteriors.ts";
import {
  type AccumulatedStep,
  accumulatedStep,
  type CompiledPieces,
  type CompiledStep,
  compilePieces,
  compileStep,
  type OptimizerStep,
  optimizerStep,
  type PartLoss,
} from "./optimize.ts";

/** A batch as tensors. The first pictures are targets, the others regularization. */
export type StepBatch = {
  /** Those whose posteriors are not known, `[Bt, S, S, 3]` in [−1, 1]; absent where all are. */
  readonly pixels?: Tensor;
  /** Posteriors of the pictures behind those, `[Br, h, w, c]`; absent where none is known. */
  readonly mean?: Tensor;
  readonly logvar?: Tensor;
  /** Token ids of captions whose features are not known, u32 `[Bc, T]`; `[Bc, 2, T]` of models with two text encoders. */
  readonly ids?: Tensor;
  /** Features of the captions behind those, `[B − Bc, T, C]`; absent where none is known. */
  readonly context?: Tensor;
  /** The same in one vector `[B − Bc, P]`, of models with two text encoders. */
  readonly pooled?: Tensor;
  /** Valid regions, `[B, h, w]`. */
  readonly mask: Tensor;
  /** Key of this step's draws, u32 `[2]`. */
  readonly key: Tensor;
  /** Where each sample lies in all batches of an optimizer step, u32 `[B]`; read where there are several. */
  readonly rows?: Tensor;
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
  /** Batches of an optimizer step. Default 1. */
  readonly accumulate?: number;
  /** The most that the norm of all gradients together may be. Default: any. */
  readonly clip?: number;
}

/**
 * Parts that a plan needs to see: the first encodes the most pictures, the second shows what is carried along, and every
 * further one takes the same memory.
 */
export const PLANNED_PARTS = 2;

/** What a step needs of a model. A `Pipeline` is one. */
export type StepModel = LossModel & { readonly params: PipelineParams };

/**
 * The training step of a model, of one batch.
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
  const loss = partLoss(model, options), { parts, clip } = options;
  return optimizerStep(model.params, trainable, decay, loss, {
    parts,
    clip,
    traced,
    scale: lossScale(model),
  });
}

/** The same for a step of `options.accumulate` batches. */
export function piecewiseStep(
  model: StepModel,
  trainable: Mask,
  decay: number,
  options: StepOptions = {},
  traced?: number,
): AccumulatedStep<StepBatch> {
  const loss = partLoss(model, options), { parts, clip, accumulate = 1 } = options;
  return accumulatedStep(model.params, trainable, decay, loss, accumulate, {
    parts,
    clip,
    traced,
    scale: lossScale(model),
  });
}

const partLoss =
  (model: StepModel, options: StepOptions): PartLoss<StepBatch> => (params, batch, part) =>
    stepLoss(model, params, batch, options, part);

/**
 * What gradients are multiplied by where activations, and so their gradients, are f16: those of a mean over a batch's
 * latents are as small as there are many, and would lose bits below 6e-5, f16's least normal number. By as many (as a
 * power of two, which rounds nothing) they are about 1 where they enter the UNet.
 */
const lossScale = ({ config: { unet } }: StepModel) => ({ mask }: StepBatch): number =>
  unet.activations === "f16" ? 2 ** Math.round(Math.log2(mask.size * unet.outChannels)) : 1;

/** A step of one batch, compiled: state and batch in, new state and loss out, in place. */
export const trainingStep = (
  pipeline: StepModel & Pick<Pipeline, "device">,
  trainable: Mask,
  decay: number,
  options: StepOptions = {},
): CompiledStep<StepBatch> =>
  compileStep(pipeline.device, stepFunction(pipeline, trainable, decay, options));

/** A step of as many batches as the options say, compiled. */
export function trainingSteps(
  pipeline: StepModel & Pick<Pipeline, "device">,
  trainable: Mask,
  decay: number,
  options: StepOptions,
): CompiledPieces<StepBatch> {
  const { device } = pipeline;
  if ((options.accumulate ?? 1) > 1) {
    return compilePieces(device, piecewiseStep(pipeline, trainable, decay, options));
  }
  const step = trainingStep(pipeline, trainable, decay, options);
  return {
    run: (state, [batch], rate) => step(state, batch, rate),
    free: step.free,
  };
}

/**
 * Mean over the batch of the masked mean squared error: target and regularization pictures weigh the same.
 *
 * @param part which of `options.parts` parts of the batch: the mean over that part alone
 */
export function stepLoss(
  model: LossModel,
  params: PipelineParams,
  batch: StepBatch,
  options: StepOptions = {},
  part = 0,
): Tensor {
  const { checkpoint: recompute = false, parts = 1, cutStartToken = true, accumulate = 1 } =
    options;
  const [of] = batch.mask.shape;
  if (of % parts) throw new RangeError(`a batch of ${of} has no ${parts} equal parts`);
  const each = of / parts;
  const first = part * each;
  const mine = (t: Tensor) => parts === 1 ? t : slice(t, 0, first, first + each);
  const drawn = accumulate > 1
    ? { of: of * accumulate, rows: mine(batch.rows!) }
    : parts > 1
    ? { of, first }
    : undefined;
  return diffusionLoss(model, params, {
    posterior: posteriorOf(model, params, batch, first, first + each),
    prompts: promptsOf(model, params, batch, first, first + each),
    mask: mine(batch.mask),
    key: batch.key,
    part: drawn,
  }, { cutStartToken, wrap: recompute ? (_, block) => checkpoint(block) : undefined });
}

/** Rows `from … to` of what some tensors are, one behind the other; those that are known lie behind `done` others. */
const rowsBehind = (t: Tensor, done: number, from: number, to: number): Tensor =>
  slice(t, 0, Math.max(0, from - done), to - done);

const joined = (parts: readonly Tensor[]): Tensor =>
  parts.length === 1 ? parts[0] : concat([...parts], 0);

/** Posteriors of samples `from … to` of a batch: targets are encoded here, unless they are known, as others are. */
function posteriorOf(
  { config }: LossModel,
  { vae }: PipelineParams,
  { pixels, mean, logvar }: StepBatch,
  from: number,
  to: number,
): Posterior {
  const [targets, size] = pixels?.shape ?? [0, 0];
  const found: Posterior[] = [];
  const some = encodedTogether(size);
  for (let at = from; at < Math.min(to, targets); at += some) {
    const end = Math.min(at + some, to, targets);
    const all = at === 0 && end === targets;
    found.push(vaeEncode(config.vae, vae, all ? pixels! : slice(pixels!, 0, at, end)));
  }
  if (mean && logvar && to > targets) {
    const known = (t: Tensor) => rowsBehind(t, targets, from, to);
    found.push({ mean: known(mean), logvar: known(logvar) });
  }
  return { mean: joined(found.map((p) => p.mean)), logvar: joined(found.map((p) => p.logvar)) };
}

/** What the captions of samples `from … to` say: some are encoded here, the others are known. */
function promptsOf(
  { config }: LossModel,
  params: PipelineParams,
  { ids, context, pooled }: StepBatch,
  from: number,
  to: number,
): PromptFeatures {
  const encoded = ids?.shape[0] ?? 0;
  const found: PromptFeatures[] = [];
  if (ids && from < encoded) {
    const end = Math.min(to, encoded);
    const own = from === 0 && end === encoded ? ids : slice(ids, 0, from, end);
    found.push(promptFeatures(config, params, own));
  }
  if (context && to > encoded) {
    const known = (t: Tensor) => rowsBehind(t, encoded, from, to);
    found.push({ context: known(context), pooled: pooled && known(pooled) });
  }
  const vectors = found.flatMap((p) => p.pooled ?? []);
  return {
    context: joined(found.map((p) => p.context)),
    pooled: vectors.length ? joined(vectors) : undefined,
  };
}
