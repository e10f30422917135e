/** This library's training step and sampler on the miniature, as its own commands run them. */
import { adamInit } from "../../autograd/optimizer.ts";
import { evaluate } from "../../compile/compile.ts";
import type { Mask } from "../../autograd/mask.ts";
import type { CompiledStep } from "../../concepts/training/optimize.ts";
import { type StepBatch, type StepModel, trainingStep } from "../../concepts/training/step.ts";
import { trainingMask } from "../../concepts/training/trainable.ts";
import type { Device } from "../../device/device.ts";
import { loadPipeline, type Pipeline } from "../../diffusion/pipeline.ts";
import { Sampler } from "../../diffusion/sample.ts";
import { tensor } from "../../ops/leaf.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Operands } from "../cases/case.ts";
import type { Prepared } from "../harness.ts";
import {
  DECAY,
  extentsOf,
  KEY,
  MINIATURE,
  type ModelCase,
  RATE,
  type SampleCase,
  shapesOf,
  spread,
  type StepCase,
} from "../cases/miniature.ts";

/** Makes a case of the miniature ready. */
export async function prepareModel(
  device: Device,
  c: ModelCase,
  operands: Operands,
): Promise<Prepared<Tensor[]>> {
  const model = await loadPipeline(device, MINIATURE);
  return c.kind === "step" ? training(model, c, operands) : sampling(model, c, operands);
}

/** A case's operands as a batch. */
export function stepBatch(c: StepCase, operands: Operands): StepBatch {
  const shapes = shapesOf(c), { cells } = extentsOf(c);
  const floats = (...names: string[]) =>
    Object.fromEntries(
      names.filter((n) => shapes[n]).map((n) => [n, tensor(operands[n], shapes[n])]),
    );
  return {
    ...floats("mean", "logvar", "context", "pixels"),
    ids: tensor(Uint32Array.from(operands.ids), shapes.ids),
    mask: tensor(new Float32Array(c.batch * cells ** 2).fill(1), [c.batch, cells, cells]),
    key: tensor(Uint32Array.from(KEY), [2]),
  };
}

/** The step without its cut at the start token, which PyTorch's has not. */
export const plainStep = (
  model: StepModel & Pick<Pipeline, "device">,
  c: StepCase,
): { trainable: Mask; step: CompiledStep<StepBatch> } => {
  const trainable = trainingMask(model, "kv", [extentsOf(c).row]);
  return { trainable, step: trainingStep(model, trainable, DECAY, { cutStartToken: false }) };
};

function training(model: Pipeline, c: StepCase, operands: Operands): Prepared<Tensor[]> {
  const { device } = model;
  const { trainable, step } = plainStep(model, c);
  const batch = stepBatch(c, operands);
  const rate = tensor(RATE, []);
  let state = evaluate(device, adamInit(trainable.pick(model.params)));
  return {
    issue() {
      const result = step(state, batch, rate);
      state = result.state;
      return [result.loss];
    },
    finish: () => device.finished(),
    async read([loss]) {
      const results: ArrayLike<number>[] = [await device.read(loss) as Float32Array];
      // The table first, then keys and values by name. The first moment after one step is (1 − β₁) times the gradient.
      for (const path of trainable.paths.toSorted()) {
        const moment = await device.read(state.m[path]) as Float32Array;
        results.push(spread(moment.map((v) => v / 0.1)));
      }
      return results;
    },
  };
}

function sampling(
  model: Pipeline,
  { prompts, steps, guidance, ...c }: SampleCase,
  operands: Operands,
): Prepared<Tensor[]> {
  const { device } = model;
  const sampler = new Sampler(model);
  const shape = shapesOf({ prompts, steps, guidance, ...c }).noise;
  const noise = tensor(operands.noise, shape);
  return {
    issue: async () => [await sampler.latents(prompts, { steps, guidance, eta: 0, noise })],
    finish: () => device.finished(),
    read: async ([x]) => [spread(await device.read(x) as Float32Array)],
    release: (xs) => device.free(...xs),
  };
}
