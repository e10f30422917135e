/**
 * The loss of a golden file, its gradients, and what some steps of AdamW make of the parameters: by the trainer's own
 * loss, mask and step, on the file's noise and timesteps.
 */
import { valueAndGrad } from "../../autograd/grad.ts";
import type { Mask } from "../../autograd/mask.ts";
import { adamInit, type Named } from "../../autograd/optimizer.ts";
import { compile, evaluate } from "../../compile/compile.ts";
import { diffusionLoss, type LossBatch } from "../../diffusion/loss.ts";
import type { Pipeline, PipelineParams } from "../../diffusion/pipeline.ts";
import { tensor } from "../../ops/leaf.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { flatten } from "../../tensor/tree.ts";
import { compileStep, optimizerStep } from "../training/optimize.ts";
import { DERIVED, FORWARD } from "./forward.ts";
import type { Gold } from "./gold.ts";
import { GoldParameters } from "./parameters.ts";

/** How the trained values of a golden file were trained, unless it says otherwise. */
export const TRAINED = { rate: 1e-3, decay: 0.01, steps: 5, trains: "kv" } as const;

const BATCH = ["x0", "noise", "unet_t", "mask", "ids"];
const PREFIXES = ["grad.", "after."] as const;

/** What is to be computed again. */
export interface TrainingChecks {
  /** Results in the file, by name, with the largest error that passes. */
  readonly limits: ReadonlyMap<string, number>;
  /**
   * Computes them, in the file's layout.
   *
   * @param cutStartToken whether keys and values get no gradient from position 0
   */
  run(cutStartToken: boolean): Promise<Map<string, Float32Array>>;
}

/** Checks what a golden file holds of training; undefined where it holds nothing. */
export async function prepareTraining(
  model: Pipeline,
  gold: Gold,
): Promise<TrainingChecks | undefined> {
  const [grads, after] = PREFIXES.map((prefix) => gold.names(prefix));
  const results = [
    ...gold.has("loss") ? ["loss"] : [],
    ...grads.map((n) => `grad.${n}`),
    ...after.map((n) => `after.${n}`),
  ];
  if (!results.length) return undefined;
  const { trains = TRAINED.trains, ...said } = gold.training();
  const withRow = grads.includes("row") || after.length > 0;
  for (const name of results) {
    const row = name === "grad.row" || name.startsWith("after.");
    gold.demand(name, row ? [...BATCH, "row"] : BATCH);
  }
  const row = withRow ? await rowOf(model, gold) : [];
  const parameters = new GoldParameters(model, gold);
  const masks = {
    grad: grads.length ? parameters.named(grads, row) : undefined,
    after: after.length ? parameters.trained(after, trains, row) : undefined,
  };
  const batch = await batchOf(model, gold);
  return {
    limits: new Map(results.map((name) => [name, name === "loss" ? FORWARD : DERIVED])),
    async run(cutStartToken) {
      const data = evaluate(model.device, batch);
      const loss = (params: PipelineParams, b: LossBatch) =>
        diffusionLoss(model, params, b, { cutStartToken });
      const found = new Map<string, Float32Array>();
      const keep = async (prefix: string, names: readonly string[], values: Named) => {
        for (const n of names) found.set(prefix + n, await parameters.read(n, values));
      };
      try {
        if (masks.grad || gold.has("loss")) {
          const { value, grads: computed } = await gradients(model, masks.grad, loss, data);
          if (gold.has("loss")) found.set("loss", value);
          await keep("grad.", grads, computed);
          model.device.free(...Object.values(computed));
        }
        if (masks.after) {
          const trained = train(model, masks.after, loss, data, said);
          await keep("after.", after, trained.params);
          trained.free();
        }
        return found;
      } finally {
        model.device.free(...Object.values(data));
      }
    },
  };
}

type Loss = (params: PipelineParams, batch: LossBatch) => Tensor;

/** The loss, and its gradients with respect to what the mask selects, which the caller frees. */
async function gradients(
  model: Pipeline,
  trainable: Mask | undefined,
  loss: Loss,
  batch: LossBatch,
): Promise<{ value: Float32Array; grads: Named }> {
  const { device, params } = model;
  const start: Named = trainable ? evaluate(device, trainable.pick(params)) : {};
  const program = compile(
    device,
    (trained: Named, b: LossBatch) =>
      trainable
        ? valueAndGrad((t: Named) => loss(trainable.merge(params, t) as PipelineParams, b))(trained)
        : { value: loss(params, b), grads: {} as Named },
  );
  try {
    const { value, grads } = program(start, batch);
    const read = await device.read(value) as Float32Array;
    return { value: read, grads: evaluate(device, grads) };
  } finally {
    program.free();
    device.free(...Object.values(start));
  }
}

/** What is trained, after some steps on one batch. */
function train(
  model: Pipeline,
  trainable: Mask,
  loss: Loss,
  batch: LossBatch,
  { steps = TRAINED.steps, rate = TRAINED.rate }: { steps?: number; rate?: number },
): { params: Named; free(): void } {
  const { device, params } = model;
  const step = compileStep(device, optimizerStep(params, trainable, TRAINED.decay, loss));
  const applied = tensor([rate], []);
  let state = evaluate(device, adamInit(trainable.pick(params)));
  for (let i = 0; i < steps; i++) state = step(state, batch, applied).state;
  const free = () => {
    step.free();
    device.free(...flatten<Tensor>({ ...state }).map(([, t]) => t));
  };
  return { params: state.params, free };
}

async function batchOf({ config, schedule }: Pipeline, gold: Gold): Promise<LossBatch> {
  const { unet, text_encoder: text } = config;
  const latents = await gold.maps("x0", unet.inChannels, 2 ** (unet.channels.length - 1));
  const [b] = latents.shape;
  gold.expect("noise", gold.shape("x0"));
  const ids = await gold.ids("ids", text.vocabulary, text.positions);
  if (ids.shape[0] !== b) throw gold.misshapen("ids", `[${b},T], as many rows as x0`);
  return {
    latents,
    noise: await gold.maps("noise", unet.inChannels),
    timesteps: await gold.timesteps("unet_t", b, schedule.trainSteps),
    mask: await gold.mask("mask", latents.shape),
    ids,
  };
}

/** The row of the token table that trains. */
async function rowOf({ config }: Pipeline, gold: Gold): Promise<number[]> {
  const row = await gold.whole("row", config.text_encoder.vocabulary);
  if (row.length !== 1) throw gold.misshapen("row", "one whole number");
  return [...row];
}
