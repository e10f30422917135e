/**
 * How much GPU memory a training step takes, and the layout of it that fits a budget. What is planned is the very step
 * that would run, from shapes alone: a model can be planned before it is loaded, on any adapter's limits.
 */
import { expectKinds, having, NUMBER, RECORD } from "../../tensor/kinds.ts";
import type { Mask } from "../../autograd/mask.ts";
import type { AdamState } from "../../autograd/optimizer.ts";
import { type Draft, draft, type ProgramBytes } from "../../compile/estimate.ts";
import { BindingError } from "../../compile/errors.ts";
import { MemoryError } from "../../device/memory.ts";
import { encodersOf, idsShape } from "../../diffusion/conditions.ts";
import { planWithin, type Precision, weightBytes } from "../../diffusion/memory.ts";
import type { PipelineConfig, PipelineParams } from "../../diffusion/pipeline.ts";
import type { NoiseSchedule } from "../../diffusion/samplers/schedule.ts";
import { vaeFactor } from "../../models/vae/vae.ts";
import { input } from "../../ops/leaf.ts";
import type { DType } from "../../tensor/dtype.ts";
import { wholeNumber } from "../../tensor/element.ts";
import type { AdapterProfile } from "../../tensor/kernel.ts";
import type { Shape } from "../../tensor/shape.ts";
import { featuresOf } from "./caption_features.ts";
import { encodingOf, setTogether } from "./posteriors.ts";
import {
  piecewiseStep,
  PLANNED_PARTS,
  type StepBatch,
  stepFunction,
  type StepLayout,
  type StepModel,
} from "./step.ts";
import { bytesNeeded } from "../../numerics/quantities.ts";

/** A step, as far as its memory depends on it. */
export interface StepShape {
  /** Pictures a step. */
  readonly batch: number;
  /** How many of them are targets; the others are of a regularization set. */
  readonly targets: number;
  /** Side of the pictures, in pixels. */
  readonly size: number;
  /** Whether the targets' posteriors are known before training, since they are not augmented. Default no. */
  readonly latentsKnown?: boolean;
  /** How many captions of a batch the step encodes; the features of the others are known. Default: all. */
  readonly encoded?: number;
  /** Bytes of weights that an earlier delta holds beside the model's own. Default 0. */
  readonly held?: number;
  /** See `TrainOptions`. */
  readonly cutStartToken?: boolean;
  /** See `TrainOptions`. */
  readonly accumulate?: number;
  /** See `TrainOptions`. */
  readonly clip?: number;
}

/** What a step takes beside the frozen weights, in bytes. */
export interface StepMemory {
  /** How it is laid out. */
  readonly layout: StepLayout;
  /** Trained parameters and the optimizer's moments, in f32; and sums of gradients, where batches are accumulated. */
  readonly trained: number;
  /** The compiled step; where batches are accumulated, of one of them. */
  readonly step: ProgramBytes;
  /** All of it, at the worst moment. */
  readonly total: number;
  /** Operations of the products in a step. */
  readonly work: number;
  /** Whether values of the step lie in pieces, since the adapter has no binding or no buffer that takes them whole. */
  readonly pieces: boolean;
}

/** The programs of a step, planned. */
export interface StepDrafts {
  /** Trained parameters, moments and sums of gradients in bytes. */
  readonly trained: number;
  /** What runs at each step, the batch's gradients first. */
  readonly step: readonly Draft[];
  /** What runs before the first step and is gone then. */
  readonly before: readonly Draft[];
}

/** Plans the programs of a step in one layout. @throws BindingError where the adapter cannot bind it */
export function stepDrafts(
  profile: AdapterProfile,
  model: StepModel,
  trainable: Mask,
  shape: StepShape,
  layout: StepLayout,
): StepDrafts {
  const { batch, targets, size, latentsKnown = false, encoded = batch } = shape;
  const { cutStartToken, accumulate = 1, clip } = shape;
  const { config, params } = model, { vae } = config;
  const cells = size / vaeFactor(vae);
  const some = (shape: Shape, dtype: DType = "f32") => input({ shape, dtype }, 0);
  const known = latentsKnown ? batch : batch - targets;
  const posterior = () => some([known, cells, cells, vae.latentChannels]);
  const ids = (captions: number) => some(idsShape(config, captions), "u32");
  const features = [
    batch - encoded,
    config.unet.contextWidth,
    config.unet.added?.pooledWidth,
  ] as const;
  const data: StepBatch = {
    ...(known < batch && { pixels: some([batch - known, size, size, vae.inChannels]) }),
    ...(known && { mean: posterior(), logvar: posterior() }),
    ...(encoded && { ids: ids(encoded) }),
    ...(encoded < batch && { context: some([features[0], ids(1).shape.at(-1)!, features[1]]) }),
    ...(encoded < batch && features[2] && { pooled: some([features[0], features[2]]) }),
    mask: some([batch, cells, cells]),
    key: some([2], "u32"),
    ...(accumulate > 1 && { rows: some([batch], "u32") }),
  };
  const picked = Object.entries(trainable.pick(params));
  const named = () => Object.fromEntries(picked.map(([path, t]) => [path, some(t.shape)]));
  const corrections = [some([]), some([])] as const;
  const state: AdamState = { params: named(), m: named(), v: named(), corrections };
  const options = { ...layout, cutStartToken, accumulate, clip };
  let trained = weightBytes({ ...state });
  const step: Draft[] = [];
  if (accumulate > 1) {
    const sum = { value: some([]), grads: named() };
    const { gather, update } = piecewiseStep(model, trainable, 0.01, options, PLANNED_PARTS);
    const pieces = [sum, state.params, data, some([])] as const;
    step.push(draft(profile, gather, [...pieces], { donate: [0], hosted: [2, 3] }));
    const updated = [state, sum.grads, some([])] as const;
    step.push(draft(profile, update, [...updated], { donate: [0], hosted: [2] }));
    trained += weightBytes(sum);
  } else {
    const one = stepFunction(model, trainable, 0.01, options, PLANNED_PARTS);
    step.push(draft(profile, one, [state, data, some([])], { donate: [0], hosted: [1, 2] }));
  }
  // What is known is encoded before there is a state; those programs are gone when training begins.
  const before = [
    ...known
      ? [draft(
        profile,
        encodingOf(model),
        [some([setTogether(size), size, size, vae.inChannels])],
        { hosted: [0] },
      )]
      : [],
    ...encoded < batch
      ? [draft(profile, featuresOf(config), [encodersOf(params), ids(1)], { hosted: [1] })]
      : [],
  ];
  return { trained, step, before };
}

/** What the step would take in one layout. @throws BindingError where the adapter cannot bind it */
export function stepMemory(
  profile: AdapterProfile,
  model: StepModel,
  trainable: Mask,
  shape: StepShape,
  layout: StepLayout,
): StepMemory {
  const { trained, step, before } = stepDrafts(profile, model, trainable, shape, layout);
  const { accumulate = 1, held = 0 } = shape, { parts = 1 } = layout;
  const running = step.reduce((sum, { bytes }) => sum + bytes.total, trained);
  const most = Math.max(running, ...before.map(({ bytes }) => bytes.total));
  const work = accumulate * step[0].flops * parts / Math.min(parts, PLANNED_PARTS);
  const pieces = step.some((d) => d.pieces);
  return { layout, trained, step: step[0].bytes, total: held + most, work, pieces };
}

/**
 * Layouts of a batch, the fastest first: a batch cut into parts costs little time as long as a part keeps the device
 * busy, computing the forward pass again costs about a third more.
 */
export function layouts(batch: number): StepLayout[] {
  expectKinds("layouts", { batch: [batch, NUMBER] });
  const parts = Array.from({ length: wholeNumber("layouts", "the batch", batch) }, (_, i) => i + 1)
    .filter((n) => batch % n === 0);
  return [false, true].flatMap((checkpoint) => parts.map((n) => ({ checkpoint, parts: n })));
}

/**
 * The fastest layout whose plan takes at most `room` bytes, and that the adapter can bind: whole, if any can be.
 *
 * @throws MemoryError saying what the smallest plan takes
 * @throws BindingError where the adapter can bind none of them
 */
export function fitStep(
  profile: AdapterProfile,
  model: StepModel,
  trainable: Mask,
  shape: StepShape,
  room = Infinity,
): StepMemory {
  let smallest: StepMemory | undefined;
  let inPieces: StepMemory | undefined;
  let unbindable: BindingError | undefined;
  for (const layout of layouts(shape.batch)) {
    try {
      const found = stepMemory(profile, model, trainable, shape, layout);
      if (found.total <= room && !found.pieces) return found;
      if (found.total <= room) inPieces ??= found;
      if (!smallest || found.total < smallest.total) smallest = found;
    } catch (error) {
      if (!(error instanceof BindingError)) throw error;
      unbindable = error;
    }
  }
  if (inPieces) return inPieces;
  if (!smallest) throw unbindable!;
  throw new MemoryError(
    `a training step of ${shape.batch} pictures of ${shape.size} pixels takes ${
      bytesNeeded(smallest.total)
    } beside the weights in its smallest plan (${describeLayout(shape.batch, smallest.layout)})`,
    smallest.total,
  );
}

/** A layout in words. */
export function describeLayout(
  batch: number,
  { parts = 1, checkpoint = false }: StepLayout,
): string {
  const cut = parts === 1
    ? `a batch of ${batch} at once`
    : `${batch / parts} of ${batch} at a time`;
  return checkpoint ? `${cut}, blocks computed again in the backward pass` : cut;
}

/** What is to be trained, before anything of it is loaded. */
export interface TrainingShape extends StepShape {
  /** Configs of the model's components; the text encoder's vocabulary counts new tokens. */
  readonly config: PipelineConfig;
  /** The model's noise schedule. */
  readonly schedule: NoiseSchedule;
  /** What trains. */
  readonly trains: (params: PipelineParams) => Mask;
}

/** How a model is to be trained. */
export interface TrainingPlan extends StepMemory {
  /** Element type of the frozen weights. */
  readonly precision: Precision;
  /** Bytes of the frozen weights. */
  readonly weights: number;
}

/**
 * Chooses precision and layout so that training fits into a budget: exact weights before rounded ones, then the fastest.
 *
 * @param budget bytes of GPU memory, weights included
 * @param precisions those that are allowed, in the order of preference
 * @throws MemoryError saying what is needed and what the smallest plan is
 * @throws BindingError where the adapter can bind no plan
 */
export function planTrainingMemory(
  profile: AdapterProfile,
  shape: TrainingShape,
  budget = Infinity,
  precisions: readonly Precision[] = ["f32"],
): TrainingPlan {
  expectKinds("planTrainingMemory", {
    profile: [profile, RECORD],
    shape: [
      shape,
      having("a training's { config, schedule, trains, … }", "config", "schedule", "trains"),
    ],
    budget: [budget, NUMBER],
  });
  const { config, schedule } = shape;
  return planWithin(config, budget, precisions, "training", (params, room) => {
    const model: StepModel = { config, schedule, params };
    return fitStep(profile, model, shape.trains(params), shape, room);
  });
}
