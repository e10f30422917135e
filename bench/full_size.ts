/**
 * Stable Diffusion 1.5 in its full size: one answer of the UNet and one Custom Diffusion training step (autoencoder, text
 * encoder, UNet, AdamW on the cross-attention's keys and values and a new token's row), with portable random weights, and
 * how far both are from PyTorch's.
 *
 *     deno run -A bench/full_size.ts inputs IN.safetensors [--size 512]
 *     python tests/golden/full_size.py IN.safetensors GOLD.safetensors
 *     deno run -A bench/full_size.ts run IN.safetensors GOLD.safetensors [--weights f16] [--checkpoint]
 *
 * Exits with 1 where a relative error ‖a−b‖/‖b‖ is above 1e-4 (1e-3 with weights in f16).
 */
import { parseArgs } from "node:util";
import { adamInit } from "../autograd/optimizer.ts";
import { compile, evaluate } from "../compile/compile.ts";
import { programBytes } from "../compile/estimate.ts";
import { type StepBatch, trainingStep } from "../concepts/training/step.ts";
import { trainingMask } from "../concepts/training/trainable.ts";
import { gpu } from "../device/adapter.ts";
import type { Device } from "../device/device.ts";
import { STREAMS } from "../diffusion/loss.ts";
import type { PipelineParams } from "../diffusion/pipeline.ts";
import { noiseSchedule } from "../diffusion/samplers/schedule.ts";
import { openSafetensors, type TensorSource } from "../files/safetensors/read.ts";
import { writeSafetensors } from "../files/safetensors/write.ts";
import { engineShape, heldAs } from "../models/params.ts";
import { type ModelConfig, parameterSpecs } from "../models/specs.ts";
import { unet } from "../models/unet/unet.ts";
import { hostNormal, hostUniform } from "../ops/random.ts";
import { tensor } from "../ops/leaf.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatten, unflatten } from "../tensor/tree.ts";
import { NEW_TOKEN, taught } from "./memory.ts";
import { portable, uniforms } from "./portable_weights.ts";
import { bytes as inBytes, count as inAll, duration, figures } from "../numerics/quantities.ts";

const TOLERANCE = { f32: 1e-4, f16: 1e-3 } as const;
const RATE = 1e-3;
const DECAY = 0.01;
const KEY = [1, 2] as const;

const config = taught("sd15");
const schedule = noiseSchedule({
  beta_schedule: "scaled_linear",
  beta_start: 0.00085,
  beta_end: 0.012,
  num_train_timesteps: 1000,
}, "scheduler_config.json");

/** A caption of 77 ids with the new token in it. */
const captionIds = (): Uint32Array =>
  Uint32Array.from({ length: 77 }, (_, i) => [49406, 1125, 539, 320, NEW_TOKEN, 1929][i] ?? 49407);

/** Writes what both sides start from: the step's random draws, made here, and its pictures. */
async function writeInputs(path: string, size: number): Promise<void> {
  const cells = size / 8;
  const latent = [1, cells, cells, 4];
  const count = cells * cells * 4;
  const draw = (stream: number) => Float32Array.from(hostNormal(KEY, count, { stream }));
  const t = Math.floor(hostUniform(KEY, 1, { stream: STREAMS.timesteps })[0] * schedule.trainSteps);
  const valid = Float32Array.from(
    { length: cells * cells },
    (_, i) => i % cells < cells / 2 ? 1 : 0,
  );
  const f32 = (data: Float32Array<ArrayBuffer>, shape: number[]) =>
    ({ data, shape, dtype: "F32" }) as const;
  await writeSafetensors(
    path,
    new Map([
      ["pixels", f32(uniforms("pixels", size * size * 3), [1, size, size, 3])],
      ["posterior_noise", f32(draw(STREAMS.posterior), latent)],
      ["noise", f32(draw(STREAMS.noise), latent)],
      ["timestep", f32(Float32Array.of(t), [1])],
      ["mask", f32(valid, [1, cells, cells])],
      ["ids", f32(Float32Array.from(captionIds()), [1, 77])],
      ["sample", f32(uniforms("sample", count, 1.7), latent)],
      ["context", f32(uniforms("context", 77 * 768, 1.7), [1, 77, 768])],
    ]),
  );
}

/** The model with portable weights, component by component. */
function upload(device: Device, dtype: "f32" | "f16"): PipelineParams {
  const component = (config: ModelConfig) =>
    unflatten([...parameterSpecs(config)].map(([name, spec]) => {
      const type = heldAs(spec, dtype);
      const values = portable(name, spec);
      const data = type === "f16" ? new Float16Array(values) : values;
      const leaf = device.upload(data, engineShape(spec), type);
      device.gpu.queue.submit([]); // Frees the staging memory.
      return [name, leaf] as const;
    }));
  return {
    text_encoder: component(config.text_encoder),
    vae: component(config.vae),
    unet: component(config.unet),
  };
}

const took = (since: number) => duration((performance.now() - since) / 1e3);
const resident = () => inBytes(Deno.memoryUsage().rss);

async function run(inputs: string, gold: string, dtype: "f32" | "f16", checkpoint: boolean) {
  using given = await openSafetensors(inputs);
  using expected = await openSafetensors(gold);
  using device = await gpu();
  console.log(`adapter: ${device.facts.description}; weights in ${dtype}`);
  let since = performance.now();
  const params = upload(device, dtype);
  const weights = device.buffers.allocated;
  console.log(`weights: ${inBytes(weights)} in ${took(since)}`);
  const bad: string[] = [];
  const compare = async (name: string, actual: ArrayLike<number>) => {
    const e = relative(actual, await floats(expected, name));
    if (!(e <= TOLERANCE[dtype])) bad.push(name);
    return e;
  };
  const take = async (name: string) =>
    tensor(await floats(given, name), given.tensors.get(name)!.shape);

  const answer = compile(
    device,
    (x: Tensor, t: Tensor, context: Tensor) => unet(config.unet, params.unet, x, t, context),
  );
  const asked = [await take("sample"), tensor([500], [1]), await take("context")] as const;
  answer.program(...asked);
  since = performance.now();
  const out = await device.read(answer(...asked));
  console.log(
    `UNet forward: ${took(since)}, error ${figures(await compare("unet_out", out))}, ` +
      `peak ${inBytes(device.buffers.peak)} on the device, process ${resident()}`,
  );
  answer.free();

  const trainable = trainingMask({ config, params }, "kv", [NEW_TOKEN]);
  const step = trainingStep({ device, config, schedule, params }, trainable, DECAY, { checkpoint });
  const state = evaluate(device, adamInit(trainable.pick(params)));
  const batch: StepBatch = {
    pixels: await take("pixels"),
    ids: tensor(captionIds(), [1, 77]),
    mask: await take("mask"),
    key: tensor(Uint32Array.from(KEY), [2]),
  };
  const rate = tensor([RATE], []);
  const bytes = programBytes(step.plan(state, batch, rate), device.profile, []);
  console.log(
    `training step, planned: activations ${inBytes(bytes.activations)}, scratch ${
      inBytes(bytes.scratch)
    }, slabs ${inBytes(bytes.activations + bytes.scratch + bytes.gaps)}`,
  );
  step.program(state, batch, rate);
  since = performance.now();
  const { state: after, loss } = step(state, batch, rate);
  const value = await device.read(loss);
  console.log(
    `training step: ${took(since)}, loss ${value[0]} (error ${
      figures(await compare("loss", value))
    }), ${inBytes(device.buffers.allocated)} on the device (peak ${
      inBytes(device.buffers.peak)
    }), process ${resident()}`,
  );
  const worst = { grad: 0, after: 0 };
  for (const path of trainable.paths) {
    // The first moment after one step is (1 − β₁) times the gradient.
    const moment = await device.read(after.m[path]) as Float32Array;
    const now = await device.read(after.params[path]);
    worst.grad = Math.max(worst.grad, await compare(`grad.${path}`, moment.map((v) => v / 0.1)));
    worst.after = Math.max(worst.after, await compare(`after.${path}`, now));
  }
  console.log(
    `of ${trainable.paths.length} trained parameters, the largest errors: gradient ${
      figures(worst.grad)
    }, value after the step ${figures(worst.after)}`,
  );
  const count = flatten<Tensor>(after.params).filter(([p]) => p.includes("attn2"))
    .reduce((n, [, t]) => n + t.size, 0);
  console.log(
    `keys and values: ${inAll(count)} parameters in ${trainable.paths.length - 1} matrices`,
  );
  if (!bad.length) return;
  console.error(`beyond ${TOLERANCE[dtype]}: ${bad.join(", ")}`);
  Deno.exitCode = 1;
}

const floats = async (source: TensorSource, name: string) =>
  Float32Array.from((await source.read(name)).data as Float32Array);

function relative(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Infinity;
  let difference = 0, norm = 0;
  for (let i = 0; i < b.length; i++) {
    difference += (a[i] - b[i]) ** 2;
    norm += b[i] ** 2;
  }
  return Math.sqrt(difference / norm);
}

if (import.meta.main) {
  const { positionals: [verb, inputs, gold], values } = parseArgs({
    allowPositionals: true,
    options: {
      size: { type: "string", default: "512" },
      weights: { type: "string", default: "f32" },
      checkpoint: { type: "boolean", default: false },
    },
  });
  if (verb === "inputs") await writeInputs(inputs, Number(values.size));
  else await run(inputs, gold, values.weights === "f16" ? "f16" : "f32", values.checkpoint);
}
