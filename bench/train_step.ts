/**
 * One Custom Diffusion training step on the shipped miniature model: its time, its dispatches and its memory. The batch is
 * made of random pictures, which take as long as real ones.
 *
 * Usage: `deno run -A bench/train_step.ts [steps]`
 */
import { beside } from "../files/beside.ts";
import { adamInit } from "../autograd/optimizer.ts";
import { evaluate } from "../compile/compile.ts";
import { type BatchOptions, type Concept, targetsOf } from "../concepts/data/batches.ts";
import { TRAINING } from "../concepts/defaults.ts";
import { knownBefore, stepBatches } from "../concepts/training/precomputed.ts";
import type { Pixels } from "../concepts/data/resample.ts";
import { trainingStep } from "../concepts/training/step.ts";
import { customDiffusionMask } from "../concepts/training/trainable.ts";
import { gpu } from "../device/adapter.ts";
import type { LoweredDispatch } from "../compile/lower.ts";
import { loadPipeline } from "../diffusion/pipeline.ts";
import { vaeFactor } from "../models/vae/vae.ts";
import { tensor } from "../ops/leaf.ts";
import { median } from "./harness.ts";
import { bytes, duration, figures, scale } from "../numerics/quantities.ts";

function noise(side: number): Pixels {
  const data = Uint8Array.from({ length: side * side * 3 }, () => Math.random() * 256);
  return { width: side, height: side, data };
}

/** Dispatches and arithmetic of each kind of kernel, most dispatches first. */
function kinds(dispatches: readonly LoweredDispatch[]): string[] {
  const groups = Map.groupBy(
    dispatches,
    ({ step }) => step.kind === "map" ? "elementwise" : step.node.op.name,
  );
  return [...groups].sort(([, a], [, b]) => b.length - a.length).map(([name, ds]) => {
    const flops = ds.reduce((n, d) => n + d.flops, 0);
    const work = flops ? scale(flops, "FLOP") : "";
    return `  ${name.padEnd(22)} ${String(ds.length).padStart(5)}  ${work}`;
  });
}

if (import.meta.main) {
  const steps = Number(Deno.args[0] ?? 10);
  const device = await gpu();
  const folder = beside("../world/miniature", import.meta.url);
  const model = await loadPipeline(device, folder, { addTokens: { "<new1>": "ktn" } });
  const factor = vaeFactor(model.config.vae);
  const { batch, template, decay } = TRAINING;
  const size = model.config.unet.sampleSize * factor;
  const options: BatchOptions = { seed: 0, size, factor, batch, template };

  const concept: Concept = { token: "<new1>", className: "mug", pictures: [noise(size)] };
  const regularization = [{ picture: noise(size), caption: "photo of a mug" }];
  const encoded = targetsOf(batch, regularization.length);
  const data = { concepts: [concept], regularization, options, encoded };
  const known = await knownBefore(model, data);
  const host = (step: number) => stepBatches(model, data, known, step).next().value!;

  const trainable = customDiffusionMask(model, [concept.token]);
  const step = trainingStep(model, trainable, decay);
  const rate = tensor([TRAINING.rate], []);
  let state = evaluate(device, adamInit(trainable.pick(model.params)));
  const { dispatches, tape } = step.plan(state, host(0), rate);

  const times: number[] = [];
  let loss = NaN;
  for (let i = 0; i <= steps; i++) {
    const start = performance.now();
    const result = step(state, host(i), rate);
    state = result.state;
    loss = await device.item(result.loss);
    times.push(performance.now() - start);
  }
  const [first, ...later] = times;
  const ms = median(later);
  const flops = dispatches.reduce((n, d) => n + d.flops, 0);
  console.log(
    `${device.facts.description}: batch ${batch}, ${size} pixels
${duration(ms / 1000)} a step, median of ${steps}, reading the loss included (fastest ${
      duration(Math.min(...later) / 1000)
    }, first ${duration(first / 1000)})
${dispatches.length} dispatches for a tape of ${tape.length} nodes; ${
      scale(flops, "FLOP")
    } in products, ${scale(1000 * flops / ms, "FLOP/s")} over the step
${bytes(device.buffers.allocated)} on the device; last loss ${figures(loss)}
dispatches:
${kinds(dispatches).join("\n")}`,
  );
  device.destroy();
}
