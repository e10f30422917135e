/** How much GPU memory a training step will take, from its plan: known before anything of it is allocated. */
import { adamInit } from "../autograd/optimizer.ts";
import { targetsOf } from "../concepts/batches.ts";
import type { StepBatch } from "../concepts/step.ts";
import { trainingStep } from "../concepts/train.ts";
import { customDiffusionMask } from "../concepts/trains.ts";
import { tensor } from "../ops/leaf.ts";
import type { Pipeline } from "../diffusion/pipeline.ts";
import { vaeFactor } from "../models/vae.ts";
import { byteSize } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatten } from "../tensor/tree.ts";
import { UsageError } from "./errors.ts";
import type { TrainPlan } from "./train_plan.ts";

/** Bytes that training will hold: weights, optimizer state, and the step's own memory. */
export function plannedMemory(
  model: Pipeline,
  { settings, addTokens, classes }: TrainPlan,
): number {
  const { batch, size } = settings;
  const { trains, freezeTokens, decay, cutStartToken } = settings;
  const tokens = freezeTokens ? [] : Object.keys(addTokens);
  const trainable = customDiffusionMask(model, tokens, trains);
  const step = trainingStep(model, trainable, decay, { cutStartToken });
  const state = adamInit(trainable.pick(model.params));
  const targets = targetsOf(batch, classes.length);
  const cells = size / vaeFactor(model.config.vae);
  const zeros = (...shape: number[]) =>
    tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
  const latent = () => zeros(batch - targets, cells, cells, model.config.vae.latentChannels);
  const data: StepBatch = {
    pixels: zeros(targets, size, size, 3),
    ...(batch > targets ? { mean: latent(), logvar: latent() } : {}),
    ids: model.tokenize(Array.from({ length: batch }, () => "")),
    mask: zeros(batch, cells, cells),
    key: tensor(new Uint32Array(2), [2]),
  };
  const { memory } = step.plan(state, data, tensor([0], []));
  const held = flatten<Tensor>({ ...state }).reduce((sum, [, t]) => sum + byteSize(t.spec), 0);
  step.free();
  const own = memory.slabs.reduce((sum, bytes) => sum + bytes, 0);
  return model.device.buffers.allocated + held + own;
}

/** Refuses a run that would not fit into `budget` bytes. */
export function checkMemory(model: Pipeline, plan: TrainPlan, budget: number): void {
  const needed = plannedMemory(model, plan);
  if (needed <= budget) return;
  const show = (bytes: number) =>
    bytes < 1e9 ? `${Math.ceil(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
  throw new UsageError(
    `training at ${plan.settings.size} pixels in batches of ${plan.settings.batch} takes ` +
      `${show(needed)} of GPU memory, and --memory allows ${
        show(budget)
      }. Lower --batch or --size, ` +
      `or keep the weights in --precision f16`,
  );
}
