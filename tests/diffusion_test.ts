/** The training loss by its definition, and the walk from noise against diffusers' own loop. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { vjp } from "../autograd/grad.ts";
import { interpret } from "../compile/interpret.ts";
import { Denoiser } from "../diffusion/denoise.ts";
import { diffusionLoss, type LossBatch, maskedError, STREAMS } from "../diffusion/loss.ts";
import { noiseSchedule, noising, type Prediction, target } from "../diffusion/samplers/schedule.ts";
import { clipConfig } from "../models/clip/vision.ts";
import { clipText, clipTextSpecs } from "../models/clip/text.ts";
import {
  type PromptKeys,
  unet,
  type UNetConfig,
  unetConfig,
  unetSpecs,
} from "../models/unet/unet.ts";
import { vaeConfig, vaeEncode, vaeSpecs } from "../models/vae/vae.ts";
import { add, mul } from "../ops/elementwise/arithmetic.ts";
import { tensor } from "../ops/leaf.ts";
import { randomNormal } from "../ops/random.ts";
import { ShapeError, sizeOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatten, mapTree, unflatten } from "../tensor/tree.ts";
import { testDevice, uniform } from "./support/check.ts";
import * as gold from "./models_golden.ts";

const golden = await gold.openGolden("sampling");
const schedule = noiseSchedule(golden.config.scheduler);

Deno.test("sampling: five steps of DDIM with guidance are those of diffusers", async () => {
  const device = await testDevice();
  const config = unetConfig(golden.config.unet);
  const params = gold.goldenParams(golden, unetSpecs(config));
  const denoiser = new Denoiser(device, config);
  const [b, t, d] = golden.get("in.context").shape;
  const empty = golden.get("in.empty").data;
  const context = tensor(
    Float32Array.of(...empty, ...empty, ...golden.get("in.context").data),
    [2 * b, t, d],
  );
  const uploaded = mapTree<Tensor, Tensor>(params, (p) => {
    const { data } = p.node.attrs as { data: Float32Array };
    return device.upload(data, p.shape, p.dtype);
  }) as typeof params;
  const seen: number[] = [];
  const x = await denoiser.run(uploaded, context, schedule, {
    shape: [4, 4, 3],
    seeds: [0, 1],
    steps: 5,
    eta: 0,
    guidance: 3,
    noise: gold.goldenTensor(golden, "in.noise"),
    onStep: (done, total) => void seen.push(done / total),
  });
  const { shape, data } = golden.get("out.x");
  gold.assertNear(
    await device.read(x) as Float32Array,
    gold.toNHWC(data, shape),
    1e-4,
    "the latents",
  );
  assertEquals(seen, [0.2, 0.4, 0.6, 0.8, 1]);
  device.free(x, ...flatten<Tensor>(uploaded).map(([, p]) => p));
  denoiser.free();
});

Deno.test("sampling: every step gets what the model made of the prompt before, and another walk what it makes of its own", async () => {
  const device = await testDevice();
  let read = 0;
  const shape = [1, 1, 2] as const;
  const denoiser = new Denoiser(device, {} as UNetConfig, {
    read(_config, params, context) {
      read++;
      return { twice: [mul(context, params.a as Tensor), mul(context, 2)] };
    },
    ask(_config, _params, x, _times, prompt) {
      const [a, b] = (prompt as PromptKeys).twice;
      return add(x, add(a, b));
    },
  });
  const walked = async (a: number, c: number) => {
    const x = await denoiser.run(
      { a: tensor([a]) },
      tensor([c, -c], [1, ...shape]),
      schedule,
      { shape, seeds: [3], steps: 2, eta: 0, guidance: 1 },
    );
    const values = [...await device.read(x)];
    device.free(x);
    return values;
  };
  // (a + 2) · c is all that a walk depends on.
  const [first, same, other] = [await walked(1, 2), await walked(4, 1), await walked(1, 1)];
  assertEquals(first, same);
  assert(Math.abs(first[0] - other[0]) > 0.01, "another prompt");
  assertEquals(read, 1, "one program for all");
  denoiser.free();
});

Deno.test("sampling: a seed gives the same picture at every place in a batch, and another seed another", async () => {
  const device = await testDevice();
  const config = unetConfig(golden.config.unet);
  const params = gold.goldenParams(golden, unetSpecs(config));
  const uploaded = mapTree<Tensor, Tensor>(params, (p) => {
    const { data } = p.node.attrs as { data: Float32Array };
    return device.upload(data, p.shape, p.dtype);
  }) as typeof params;
  const denoiser = new Denoiser(device, config);
  const row = golden.get("in.empty");
  const run = async (seeds: number[], eta = 1, signal?: AbortSignal) => {
    const context = tensor(
      Float32Array.from({ length: 3 * row.data.length }, (_, i) => row.data[i % row.data.length]),
      [3, ...row.shape.slice(1)],
    );
    const walk = { shape: [4, 4, 3] as const, seeds, steps: 3, eta, guidance: 1, signal };
    const x = await denoiser.run(uploaded, context, schedule, walk);
    const values = await device.read(x) as Float32Array;
    device.free(x);
    return [0, 1, 2].map((i) => [...values.subarray(i * 48, (i + 1) * 48)]);
  };
  const first = await run([5, 6, 7]);
  const moved = await run([7, 8, 5]);
  assertEquals(moved[2], first[0]);
  assertEquals(moved[0], first[2]);
  assertEquals(await run([5, 6, 7]), first);
  assert(first[0].some((v, i) => Math.abs(v - first[1][i]) > 0.1), "other seeds, other pictures");
  const still = await run([5, 6, 7], 0);
  assert(first[0].some((v, i) => Math.abs(v - still[0][i]) > 0.01), "eta adds noise");
  await assertRejects(() => run([-1, 0, 1]), RangeError, "-1");
  await assertRejects(() => run([1, 2, 3], 2), RangeError, "eta");
  await assertRejects(() => run([1, 2, 3], 1, AbortSignal.abort()), DOMException);
  device.free(...flatten<Tensor>(uploaded).map(([, p]) => p));
  denoiser.free();
});

/** A model of the goldens' parts that fit together: a UNet for the autoencoder's latents and CLIP's features. */
async function smallModel(prediction: Prediction = "epsilon") {
  const [vae, clip] = [await gold.openGolden("vae"), await gold.openGolden("clip")];
  const config = {
    vae: vaeConfig(vae.config),
    text_encoder: clipConfig(clip.config).text,
    unet: unetConfig({ ...golden.config.unet as object, cross_attention_dim: 12 }),
  };
  const random = uniform(9);
  const params = {
    vae: gold.goldenParams(vae, vaeSpecs(config.vae)),
    text_encoder: gold.goldenParams(clip, clipTextSpecs(config.text_encoder)),
    unet: unflatten([...unetSpecs(config.unet)].map(([name, { shape, layout }]) => {
      const at = layout === "conv" ? [shape[2], shape[3], shape[1], shape[0]] : shape;
      const values = Float32Array.from({ length: sizeOf(at) }, () => random() / 2);
      return [name, tensor(values, at)] as const;
    })),
  };
  const own = { ...golden.config.scheduler as object, prediction_type: prediction };
  return { model: { config, schedule: noiseSchedule(own) }, params };
}

const KEY = tensor(Uint32Array.of(3, 4));
const IDS = tensor(Uint32Array.of(22, 3, 9, 23, 23, 22, 8, 1, 5, 23), [2, 5]);

async function picturesAndMask(): Promise<LossBatch> {
  const vae = await gold.openGolden("vae");
  const mask = Float32Array.from({ length: 48 }, (_, i) => i < 24 ? 1 : Number(i % 6 < 3));
  return {
    pixels: gold.goldenTensor(vae, "in.x"),
    ids: IDS,
    key: KEY,
    mask: tensor(mask, [2, 4, 6]),
    timesteps: tensor(Uint32Array.of(10, 800)),
  };
}

for (const prediction of ["epsilon", "v_prediction", "sample"] as const) {
  Deno.test(`loss: by its definition, written out sample by sample (${prediction})`, async () => {
    const { model, params } = await smallModel(prediction);
    const batch = await picturesAndMask();
    const loss = diffusionLoss(model, params, batch);
    const posterior = vaeEncode(model.config.vae, params.vae, batch.pixels!);
    const shape = posterior.mean.shape;
    const [value, mean, logvar, n0, eps] = interpret([
      loss,
      posterior.mean,
      posterior.logvar,
      randomNormal(KEY, shape, { stream: STREAMS.posterior }),
      randomNormal(KEY, shape, { stream: STREAMS.noise }),
    ]);
    const times = [10, 800];
    const size = sizeOf(shape) / 2;
    const z0 = mean.map((m, i) => 0.18215 * (m + Math.exp(logvar[i] / 2) * n0[i]));
    const zt = z0.map((z, i) => {
      const { signal, noise } = noising(model.schedule, times[Math.floor(i / size)]);
      return signal * z + noise * eps[i];
    });
    const { hidden } = clipText(model.config.text_encoder, params.text_encoder, IDS);
    const [answer] = interpret([
      unet(model.config.unet, params.unet, tensor([...zt], shape), tensor(times), hidden),
    ]);
    const mask = (batch.mask!.node.attrs as { data: Float32Array }).data;
    let total = 0;
    times.forEach((t, s) => {
      const wanted = target(model.schedule, t);
      let error = 0, kept = 0;
      for (let i = s * size; i < (s + 1) * size; i++) {
        const m = mask[Math.floor(i / 3)];
        error += m * (answer[i] - wanted.clean * z0[i] - wanted.noise * eps[i]) ** 2;
        kept += m;
      }
      total += error / kept / 2;
    });
    gold.assertNear(value, [total], 1e-5, "the loss");
  });
}

Deno.test("loss: timesteps drawn from the key reach all of the schedule, and another key draws others", async () => {
  const { model, params } = await smallModel();
  const batch = await picturesAndMask();
  const { timesteps: _, ...open } = batch;
  const [a, b, same] = interpret([
    diffusionLoss(model, params, open),
    diffusionLoss(model, params, { ...open, key: tensor(Uint32Array.of(3, 5)) }),
    diffusionLoss(model, params, open),
  ]);
  assertEquals(a[0], same[0]);
  assert(a[0] !== b[0]);
});

Deno.test("loss: weights of samples and posteriors computed before are taken", async () => {
  const { model, params } = await smallModel();
  const batch = await picturesAndMask();
  const posterior = vaeEncode(model.config.vae, params.vae, batch.pixels!);
  const { pixels: _, ...rest } = batch;
  const of = (weights?: number[]) =>
    diffusionLoss(model, params, { ...rest, posterior, weights: weights && tensor(weights) });
  const [plain, cached, first, second] = interpret([
    diffusionLoss(model, params, batch),
    of(),
    of([2, 0]),
    of([0, 2]),
  ]);
  assertEquals(cached[0], plain[0]);
  gold.assertNear([(first[0] + second[0]) / 2], plain, 1e-9, "the mean of the samples' losses");
});

Deno.test("loss: keys and values get no gradient from the start token unless that is asked for", async () => {
  const { model, params } = await smallModel();
  const batch = await picturesAndMask();
  const keys = flatten<Tensor>(params.unet).filter(([n]) => /attn2\.to_[kv]\.weight$/.test(n));
  assertEquals(keys.length, 8);
  const grads = (options = {}) => {
    const loss = diffusionLoss(model, params, batch, options);
    const wanted = keys.map(([, t]) => t);
    return interpret(vjp([[loss, tensor([1], [])]], wanted) as Tensor[]);
  };
  const cut = grads(), uncut = grads({ cutStartToken: false });
  cut.forEach((g, i) => assert(g.some((v, k) => Math.abs(v - uncut[i][k]) > 1e-6)));
});

for (const [engine, run] of Object.entries(gold.ENGINES)) {
  Deno.test(`loss: only what the mask keeps counts, equally for every sample ${engine}`, async () => {
    const random = uniform(3);
    const shape = [3, 2, 2, 5];
    const a = Float32Array.from({ length: 60 }, random),
      b = Float32Array.from({ length: 60 }, random);
    const mask = [1, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0];
    const [actual, plain] = await run([
      maskedError(tensor(a, shape), tensor(b, shape), tensor(mask, [3, 2, 2])),
      maskedError(tensor(a, shape), tensor(b, shape)),
    ]);
    const meanOf = (from: number, to: number) => {
      let s = 0;
      for (let i = from; i < to; i++) s += (a[i] - b[i]) ** 2;
      return s / (to - from);
    };
    gold.assertNear(actual, [meanOf(0, 20), meanOf(25, 30), 0], 1e-6, "the masked error");
    gold.assertNear(plain, [meanOf(0, 20), meanOf(20, 40), meanOf(40, 60)], 1e-6, "the error");
  });
}

Deno.test("loss: a mask or noise of another shape, and a batch without pictures or key, are refused", async () => {
  const { model, params } = await smallModel();
  const batch = await picturesAndMask();
  const mask = gold.symbolic([2, 8, 12]);
  assertThrows(() => diffusionLoss(model, params, { ...batch, mask }), ShapeError, "[2,4,6]");
  const { pixels: _, ...without } = batch;
  assertThrows(
    () => diffusionLoss(model, params, without),
    TypeError,
    "neither pixels, posterior nor latents",
  );
  const { key: _key, timesteps: _t, ...keyless } = batch;
  assertThrows(() => diffusionLoss(model, params, keyless), TypeError, "there is no key");
  const given = {
    ...without,
    latents: gold.symbolic([2, 4, 6, 3]),
    noise: gold.symbolic([2, 4, 6, 2]),
  };
  assertThrows(() => diffusionLoss(model, params, given), ShapeError, "the noise is f32[2,4,6,2]");
});
