/**
 * Training: Custom Diffusion of one or several concepts (§3.1 and §3.2 of the paper). Only the key and value matrices of
 * the cross-attention layers and the rows of the new tokens train; that is a mask over the parameter tree, and the step
 * is an ordinary function of tensors, compiled once and replayed.
 */
import { evaluate } from "../compile/compile.ts";
import { flatten } from "../tensor/tree.ts";
import type { Mask } from "../autograd/mask.ts";
import { adamInit, type AdamState } from "../autograd/optimizer.ts";
import { tensor } from "../ops/leaf.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Pipeline } from "../diffusion/pipeline.ts";
import { MemoryError, memorySize, showSize } from "../device/memory.ts";
import { vaeFactor } from "../models/vae.ts";
import {
  type BatchOptions,
  type CaptionedPicture,
  type Concept,
  makeBatch,
  targetsOf,
} from "./batches.ts";
import { defaultSteps, TRAINING } from "./defaults.ts";
import type { Delta } from "./delta.ts";
import { deltaOf } from "./delta_weights.ts";
import { encodeRegularization } from "./latents.ts";
import { fitStep, type StepShape } from "./memory.ts";
import type { Trains } from "./methods.ts";
import { stepBatch, type StepLayout, trainingStep } from "./step.ts";
import { conceptMask } from "./trains.ts";
import type { Checkpoint } from "./checkpoints.ts";

/** What to train on, and how. */
export interface TrainOptions {
  /** What to teach; several are taught together. */
  readonly concepts: readonly Concept[];
  /** Pictures of the classes with captions; none halves the steps that are needed and lets the model drift. */
  readonly regularization: readonly CaptionedPicture[];
  /** Optimizer steps. Default 250 for each concept, and half of that without regularization. */
  readonly steps?: number;
  /** What trains beside the new tokens. Default "kv": the cross-attention's keys and values. */
  readonly trains?: Trains;
  /** New tokens keep the rows that they start from. */
  readonly freezeTokens?: boolean;
  /** No gradient reaches keys and values from the start token (default). */
  readonly cutStartToken?: boolean;
  /** AdamW's rate as applied. Default 1e-5 × batch. */
  readonly rate?: number;
  /** Pictures a step, half of them regularization. Default 8. */
  readonly batch?: number;
  /** Decoupled weight decay on what is trained. Default 0.01. */
  readonly decay?: number;
  /** Seed of every random draw. Default 0. */
  readonly seed?: number;
  /** Caption around the concept's words, with one `{}`. Default "photo of a {}". */
  readonly template?: string;
  /** Draw sizes and places, and say so in the caption (default). */
  readonly augment?: boolean;
  /** Mirror half of the pictures (default). */
  readonly flip?: boolean;
  /** Side of the training pictures. Default: the model's own. */
  readonly size?: number;
  /**
   * GPU memory to stay within, weights included: `"6GB"`, or bytes. The step is then cut into parts, and parts of the
   * model computed again, as far as is needed; what is learnt is the same but for rounding. Default: no limit.
   */
  readonly memory?: string | number;
  /** How a step is laid out; chosen by `memory` where left out. */
  readonly layout?: StepLayout;
  /** Go on from here. */
  readonly resume?: Checkpoint;
  /** Steps between two reports (each reads the loss). Default 10. */
  readonly reportEvery?: number;
  /** Asks for a report, and so for a chance to stop, at the next step. */
  readonly signal?: AbortSignal;
  /** Called after every `reportEvery` steps; may return "stop". */
  readonly onReport?: (report: TrainReport) => void | "stop" | Promise<void | "stop">;
}

/** How training stands. */
export interface TrainReport {
  /** Finished steps. */
  readonly step: number;
  /** Steps in all. */
  readonly steps: number;
  /** Loss of the step just finished. */
  readonly loss: number;
  /** Bytes that the device holds now. */
  readonly memory: number;
  /** The state, to be saved with `saveCheckpoint`; valid until the callback returns. */
  readonly state: AdamState;
}

/**
 * Trains concepts into a delta. The pipeline must know the tokens already (`loadPipeline` with `addTokens`).
 *
 * @throws MemoryError before any work where `memory` is too little, saying what is needed
 * @throws BindingError before any work where the adapter cannot bind what the smallest plan needs
 */
export async function trainConcepts(pipeline: Pipeline, options: TrainOptions): Promise<Delta> {
  const { concepts, regularization, seed = 0, reportEvery = 10 } = options;
  const decay = options.decay ?? TRAINING.decay;
  const steps = options.steps ??
    defaultSteps(TRAINING.steps, concepts.length, regularization.length > 0);
  const rate = tensor([options.rate ?? TRAINING.rate], []);
  const { trains = "kv", freezeTokens = false, cutStartToken = true } = options;
  const trainable = conceptMask(pipeline, concepts, { trains, freezeTokens });
  const factor = vaeFactor(pipeline.config.vae);
  const batches: BatchOptions = {
    seed,
    size: options.size ?? pipeline.config.unet.sampleSize * factor,
    factor,
    batch: options.batch ?? TRAINING.batch,
    template: options.template ?? TRAINING.template,
    augment: options.augment,
    flip: options.flip,
  };
  const layout = options.layout ?? layoutWithin(pipeline, trainable, options.memory, {
    batch: batches.batch,
    targets: targetsOf(batches.batch, regularization.length),
    size: batches.size,
    cutStartToken,
  });
  const latents = await encodeRegularization(pipeline, regularization, batches.size);
  const step = trainingStep(pipeline, trainable, decay, { ...layout, cutStartToken });
  const fresh = options.resume?.state ?? adamInit(trainable.pick(pipeline.params));
  let state = evaluate(pipeline.device, fresh);
  let done = options.resume?.step ?? 0;
  while (done < steps) {
    const host = makeBatch(concepts, regularization, done, batches);
    const batch = stepBatch(pipeline, host, latents, { ...batches, step: done });
    const result = step(state, batch, rate);
    state = result.state;
    done++;
    // Lets Ctrl-C and timers through; the GPU works on meanwhile.
    await new Promise((resolve) => setTimeout(resolve));
    if (done % reportEvery !== 0 && done !== steps && !options.signal?.aborted) continue;
    const loss = await pipeline.device.item(result.loss);
    if (!Number.isFinite(loss)) throw new TrainingError(done, loss);
    const memory = pipeline.device.buffers.allocated;
    if (await options.onReport?.({ step: done, steps, loss, memory, state }) === "stop") break;
  }
  const notes = {
    kind: "trained",
    ...{ trains, freezeTokens, cutStartToken },
    ...batches,
    rate: options.rate ?? TRAINING.rate,
    decay,
    steps: done,
    regularization: regularization.length,
  };
  const delta = await deltaOf(pipeline, trainable, state.params, concepts, notes);
  step.free();
  pipeline.device.free(...flatten<Tensor>({ ...state }).map(([, t]) => t));
  return delta;
}

/** The layout that keeps what the device holds within a budget. What it holds already is counted in. */
function layoutWithin(
  pipeline: Pipeline,
  trainable: Mask,
  memory: string | number | undefined,
  shape: StepShape,
): StepLayout {
  const { profile, buffers } = pipeline.device;
  const budget = memory === undefined ? Infinity : memorySize(memory);
  try {
    return fitStep(profile, pipeline, trainable, shape, budget - buffers.allocated).layout;
  } catch (error) {
    if (!(error instanceof MemoryError)) throw error;
    const needed = buffers.allocated + error.needed;
    throw new MemoryError(
      `training needs ${showSize(needed)} of GPU memory, and ${showSize(budget)} are allowed: ` +
        `${error.message}, and the device holds ${showSize(buffers.allocated)} already`,
      needed,
    );
  }
}

/** The loss is no longer a number. */
export class TrainingError extends Error {
  /** Always "TrainingError". */
  override name = "TrainingError";
  /** Puts the message together. */
  constructor(step: number, loss: number) {
    super(
      `the loss is ${loss} at step ${step}: the learning rate is too high, the pictures are broken, ` +
        "or activations in f16 overflow (f32 ones do not)",
    );
  }
}
