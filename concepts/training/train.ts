/**
 * Training: Custom Diffusion of one or several concepts (§3.1 and §3.2 of the paper). Only the key and value matrices of
 * the cross-attention layers and the rows of the new tokens train; that is a mask over the parameter tree, and the step
 * is an ordinary function of tensors, compiled once and replayed.
 */
import { MODEL } from "../../diffusion/given.ts";
import { expectKinds, RECORD } from "../../tensor/kinds.ts";
import { evaluate } from "../../compile/compile.ts";
import { flatten } from "../../tensor/tree.ts";
import type { Mask } from "../../autograd/mask.ts";
import { adamInit, type AdamState } from "../../autograd/optimizer.ts";
import { tensor } from "../../ops/leaf.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type Pipeline, textWindow } from "../../diffusion/pipeline.ts";
import { MemoryError, memorySize } from "../../device/memory.ts";
import { StepReports } from "../../device/step_reports.ts";
import { turn } from "../../device/turn.ts";
import { checkTexts, type OnWarning } from "../../models/text_window.ts";
import { vaeFactor } from "../../models/vae/vae.ts";
import {
  type BatchOptions,
  type CaptionedPicture,
  type Concept,
  targetsOf,
} from "../data/batches.ts";
import { encodedCaptions } from "./caption_features.ts";
import { checkCaptions, readsTokens } from "../data/captions.ts";
import { defaultSteps, scaledRate, TRAINING } from "../defaults.ts";
import type { Delta } from "../deltas/delta.ts";
import { deltaOf } from "../deltas/from_parameters.ts";
import { knownBefore, type Preparing, stepBatches, type TrainingData } from "./precomputed.ts";
import { fitStep, type StepShape } from "./memory.ts";
import type { Trains } from "./methods.ts";
import { endsInTime, rateFactor, type RateSchedule, scheduleOf } from "./rates.ts";
import { expectGiven } from "./given.ts";
import { onTopOf, startingFrom } from "./earlier_delta.ts";
import { type StepLayout, trainingSteps } from "./step.ts";
import { conceptMask, trainedWords } from "./trainable.ts";
import type { Checkpoint } from "./checkpoints.ts";
import { bytes, bytesNeeded } from "../../numerics/quantities.ts";

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
  /** An earlier delta to train on top of: the pipeline must know its tokens, too. */
  readonly start?: Delta;
  /** AdamW's rate as applied, at its highest. Default 1e-5 × batch × accumulate. */
  readonly rate?: number;
  /** How the rate runs over the steps. Default "constant", behind a warm-up if there is one. */
  readonly schedule?: RateSchedule;
  /** Steps in which the rate rises from 0. Default 0. */
  readonly warmUp?: number;
  /** Pictures that go through the model together, half of them regularization. Default 8. */
  readonly batch?: number;
  /**
   * Batches whose gradients make up one optimizer step: the same, but for rounding, as a batch (of an even number of
   * pictures) that is so many times as large, in the memory of one. Default 1.
   */
  readonly accumulate?: number;
  /** The most that the norm of all gradients together may be; longer ones are shortened to it. Default: any. */
  readonly clip?: number;
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
  /** Called with the steps that are done when training begins, and when the GPU has done another. */
  readonly onStep?: (done: number, steps: number) => void;
  /** Called with how many pictures or captions are encoded, of those that are known before training begins. */
  readonly onPrepare?: Preparing;
  /** Hears of captions that are longer than the model reads. */
  readonly onWarning?: OnWarning;
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
  /** What is taught so far, read from the device; to be called before the callback returns. */
  readonly delta: () => Promise<Delta>;
}

/**
 * Trains concepts into a delta. The pipeline must know the tokens already (`loadPipeline` with `addTokens`).
 *
 * @throws RangeError before any work for numbers that make no sense, or do not go together
 * @throws FileError before any work when the delta to start from is of another model
 * @throws TokenError before any work where a new word of a caption lies behind what the model reads
 * @throws MemoryError before any work where `memory` is too little, saying what is needed
 * @throws BindingError before any work where the adapter cannot bind what the smallest plan needs
 */
export async function trainConcepts(base: Pipeline, options: TrainOptions): Promise<Delta> {
  expectKinds("trainConcepts", { base: [base, MODEL], options: [options, RECORD] });
  expectGiven(options);
  const settings = checkedSettings(options);
  const { device } = base;
  const start = await startingFrom(base, options.start);
  const { pipeline } = start;
  const { concepts, reportEvery = 10 } = options;
  const { decay, steps, rate, accumulate, clip, cutStartToken } = settings;
  const trainable = conceptMask(pipeline, concepts, settings);
  const { shape, data } = planned(pipeline, options, settings);
  const { regularization, onWarning } = options;
  checkCaptions(textWindow(pipeline), concepts, data.options, onWarning);
  checkTexts(
    textWindow(pipeline),
    regularization.map((r) => r.caption),
    "regularization caption",
    onWarning,
  );
  const layout = options.layout ?? layoutWithin(pipeline, trainable, options.memory, shape);
  const known = await knownBefore(pipeline, data, options.onPrepare);
  const step = trainingSteps(pipeline, trainable, decay, {
    ...layout,
    ...{ cutStartToken, accumulate, clip },
  });
  const fresh = options.resume?.state ?? adamInit(trainable.pick(pipeline.params));
  let state = evaluate(device, fresh);
  let done = options.resume?.step ?? 0;
  const snapshot = async () => {
    const { length } = regularization;
    const notes = {
      kind: "trained",
      ...data.options,
      ...settings,
      steps: done,
      // Where the rate would have gone on falling: else the note would say that it had come down.
      ...(done < steps && endsInTime(settings.schedule) && { ofSteps: steps }),
      regularization: length,
    };
    const trained = await deltaOf(pipeline, trainable, state.params, concepts, notes);
    return onTopOf(options.start, trained);
  };
  const reports = new StepReports(device, options.onStep);
  options.onStep?.(done, steps);
  while (done < steps) {
    const now = tensor([rate * rateFactor(settings, done, steps)], []);
    const result = step.run(state, stepBatches(pipeline, data, known, done), now);
    state = result.state;
    reports.handed(++done, steps);
    // Lets Ctrl-C and timers through; the GPU works on meanwhile.
    await turn();
    if (done % reportEvery !== 0 && done !== steps && !options.signal?.aborted) continue;
    const loss = await device.item(result.loss);
    if (!Number.isFinite(loss)) throw new TrainingError(done, loss);
    const memory = device.buffers.allocated;
    const report = { step: done, steps, loss, memory, state, delta: snapshot };
    await reports.settled();
    if (await options.onReport?.(report) === "stop") break;
  }
  const delta = await snapshot();
  step.free();
  device.free(...flatten<Tensor>({ ...state }).map(([, t]) => t));
  start.free();
  return delta;
}

/** The numbers of a run, with defaults filled in. @throws RangeError for those that make no sense */
function checkedSettings(options: TrainOptions) {
  const { concepts, regularization, accumulate = 1, clip, warmUp = 0 } = options;
  const batch = options.batch ?? TRAINING.batch;
  if (!Number.isInteger(accumulate) || accumulate < 1) {
    throw new RangeError(`accumulate is ${accumulate}: it must be a whole number, 1 or more`);
  }
  if (clip !== undefined && !(clip > 0)) {
    throw new RangeError(`gradients are clipped at ${clip}: it must be more than 0`);
  }
  return {
    trains: options.trains ?? "kv",
    freezeTokens: options.freezeTokens ?? false,
    cutStartToken: options.cutStartToken ?? true,
    rate: options.rate ?? scaledRate(TRAINING, batch * accumulate),
    schedule: scheduleOf(options),
    ...{ warmUp, batch, accumulate, clip },
    decay: options.decay ?? TRAINING.decay,
    steps: options.steps ??
      defaultSteps(TRAINING.steps, concepts.length, regularization.length > 0),
  };
}

/** What a run's batches are made of, and what a step of it takes memory for. */
function planned(
  pipeline: Pipeline,
  options: TrainOptions,
  settings: ReturnType<typeof checkedSettings>,
): { shape: StepShape; data: TrainingData } {
  const { concepts, regularization, augment = true } = options;
  const { batch, accumulate, clip, cutStartToken } = settings;
  const factor = vaeFactor(pipeline.config.vae);
  const size = options.size ?? pipeline.config.unet.sampleSize * factor;
  const targets = targetsOf(batch, regularization.length);
  const words = trainedWords(concepts, settings);
  const encoded = encodedCaptions(words, regularization.map((r) => r.caption), batch, targets);
  const batches: BatchOptions = {
    seed: options.seed ?? 0,
    ...{ size, factor, batch, accumulate },
    template: options.template ?? TRAINING.template,
    augment: options.augment,
    flip: options.flip,
  };
  return {
    shape: {
      batch,
      targets,
      size,
      encoded,
      latentsKnown: !augment,
      accumulate,
      clip,
      cutStartToken,
    },
    data: {
      ...{ concepts, regularization, options: batches, encoded },
      reads: (caption) => readsTokens(textWindow(pipeline), caption),
    },
  };
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
      `training needs ${bytesNeeded(needed)} of GPU memory, and ${bytes(budget)} are allowed: ` +
        `${error.message}, and the device holds ${bytesNeeded(buffers.allocated)} already`,
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
