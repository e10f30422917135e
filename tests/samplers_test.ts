/** Every sampler against diffusers' schedulers, step by step, and by the laws that samplers have. */
import { assert, assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { Denoiser, type Denoising } from "../diffusion/denoise.ts";
import {
  chosenSampler,
  SAMPLER_NAMES,
  trajectory,
  type TrajectoryOptions,
} from "../diffusion/samplers/samplers.ts";
import { sigmaAt, sigmaTable } from "../diffusion/samplers/sigmas.ts";
import type { SamplerName } from "../diffusion/samplers/names.ts";
import {
  type NoiseSchedule,
  noiseSchedule,
  noising,
  type Prediction,
} from "../diffusion/samplers/schedule.ts";
import type { Trajectory } from "../diffusion/samplers/trajectory.ts";
import { parseJsonObject, withInfinities } from "../files/json.ts";
import type { UNetConfig } from "../models/unet/unet.ts";
import { add, mul } from "../ops/elementwise/arithmetic.ts";
import { tensor } from "../ops/leaf.ts";
import { reshape } from "../ops/movement.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { openGolden } from "./models_golden.ts";
import { relativeError, testDevice, uniform } from "./support/check.ts";
import { test } from "./support/devices.ts";

interface Variant {
  readonly sampler: SamplerName;
  readonly file: string;
  readonly steps: number;
  readonly eta?: number;
  readonly strength?: number;
}

const golden = await openGolden("samplers");
const variants = golden.config.variants as Variant[];
const vector = (name: string) => [...golden.get(name).data];
const [A, B, C, PICTURE] = ["a", "b", "c", "picture"].map(vector);
const SIZE = A.length;
const row = (name: string, i: number) => golden.get(name).data.subarray(i * SIZE, (i + 1) * SIZE);
const scheduleOf = ({ file }: Variant) => noiseSchedule(parseJsonObject(withInfinities(file), "f"));
const nameOf = ({ sampler, file, ...run }: Variant, i: number) => {
  const { _class_name, ...config } = JSON.parse(withInfinities(file));
  return `${i}: ${sampler} ${JSON.stringify(run)} ${JSON.stringify(config)}`;
};

/** A walk by its definition, in float64; every sample, the start first. */
function replay(
  walk: Trajectory,
  start: { noise: ArrayLike<number>; picture?: ArrayLike<number> },
  model: (x: number[], timestep: number) => number[],
  noise: (i: number) => ArrayLike<number>,
): number[][] {
  const { picture } = start;
  let x = Array.from(
    start.noise,
    (z, k) => picture ? walk.picture.signal * picture[k] + walk.picture.noise * z : walk.noise * z,
  );
  let history: number[][] = [];
  const trace = [x];
  walk.steps.forEach((step, i) => {
    const answer = model(x.map((v) => step.input * v), step.timestep);
    const z = noise(i), kept = step.remember;
    const next = x.map((v, k) =>
      step.x * v + step.model * answer[k] + step.noise * (z[k] ?? 0) +
      step.history.reduce((sum, factor, age) => sum + factor * history[age][k], 0)
    );
    if (kept) history = [x.map((v, k) => kept.x * v + kept.model * answer[k]), ...history];
    trace.push(x = next);
  });
  return trace;
}

Deno.test("samplers: every step of every walk is that of diffusers, in float64", () => {
  assertEquals(new Set(variants.map((v) => v.sampler)), new Set(SAMPLER_NAMES));
  const wrong: string[] = [];
  variants.forEach((variant, n) => {
    const schedule = scheduleOf(variant);
    const N = schedule.trainSteps;
    const walk = trajectory(schedule, variant);
    const asked = vector(`${n}.timesteps`);
    const picture = variant.strength === undefined ? undefined : PICTURE;
    const trace = replay(
      walk,
      { noise: vector(`${n}.start`), picture },
      (x, t) => x.map((v, k) => A[k] * v + B[k] * t / N + C[k]),
      (i) => row(`${n}.noise`, i),
    );
    assertEquals(walk.steps.length, asked.length, nameOf(variant, n));
    asked.forEach((t, i) =>
      assertAlmostEquals(walk.steps[i].timestep, t, 0.01, nameOf(variant, n))
    );
    const off = Math.max(...trace.map((x, i) => relativeError(x, row(`${n}.trace`, i))));
    if (!(off < 5e-5)) wrong.push(`${off} ${nameOf(variant, n)}`);
  });
  assertEquals(wrong, []);
});

/** The golden script's model on a device: its parameters are a, b/N and c. */
const formula: Denoising = (_config, params, x, timesteps) => {
  const { a, b, c } = params as unknown as Record<string, Tensor>;
  return add(add(mul(x, a), mul(reshape(timesteps, [-1, 1, 1, 1]), b)), c);
};
const SHAPE = [2, 1, 4] as const;
const latent = (values: ArrayLike<number>) => tensor(Float32Array.from(values), [1, ...SHAPE]);

test("samplers: every step of every walk is that of diffusers on the device", async (device) => {
  const denoiser = new Denoiser(device, {} as UNetConfig, { ask: formula });
  const before = device.buffers.allocated;
  const wrong: string[] = [];
  for (const [n, variant] of variants.entries()) {
    const schedule = scheduleOf(variant);
    const b = B.map((v) => v / schedule.trainSteps);
    const { sampler, steps, eta, strength } = variant;
    let off = 0;
    const x = await denoiser.run(
      { a: latent(A), b: latent(b), c: latent(C) },
      latent(C),
      schedule,
      {
        sampler,
        steps,
        eta,
        strength,
        picture: strength === undefined ? undefined : latent(PICTURE),
        shape: SHAPE,
        seeds: [0],
        guidance: 1,
        noise: latent(vector(`${n}.start`)),
        freshNoise: Array.from(
          { length: golden.get(`${n}.timesteps`).data.length },
          (_, i) => latent(row(`${n}.noise`, i)),
        ),
        async onStep(done, _, sample) {
          const got = await device.read(sample) as Float32Array;
          off = Math.max(off, relativeError(got, row(`${n}.trace`, done)));
        },
      },
    );
    device.free(x);
    if (!(off < 1e-4)) wrong.push(`${off} ${nameOf(variant, n)}`);
  }
  assertEquals(wrong, []);
  denoiser.free();
  assert(device.buffers.allocated <= before, "all memory is given back");
});

Deno.test("samplers: one program serves a whole walk, takes no more memory as it goes, and gives all back", async () => {
  const device = await testDevice();
  const before = device.buffers.allocated;
  for (
    const [sampler, depth] of [["euler", 0], ["ddpm", 0], ["dpm++2m", 1], ["pndm", 3]] as const
  ) {
    let traced = 0, allocated = 0;
    const denoiser = new Denoiser(device, {} as UNetConfig, {
      ask(...args) {
        traced++;
        return formula(...args);
      },
    });
    const asked: number[] = [];
    const x = await denoiser.run(
      { a: latent(A), b: latent(B), c: latent(C) },
      latent(C),
      noiseSchedule(SD),
      {
        ...{ sampler, steps: 8, shape: SHAPE, seeds: [1], guidance: 1 },
        onStep(done) {
          asked.push(done);
          if (done === 1) allocated = device.buffers.allocated;
          assertEquals(device.buffers.allocated, allocated, `${sampler} takes more at ${done}`);
        },
      },
    );
    assertEquals(traced, 1, sampler);
    assertEquals(asked.length, sampler === "pndm" ? 9 : 8);
    const walk = trajectory(noiseSchedule(SD), { sampler, steps: 8 });
    assertEquals(Math.max(...walk.steps.map((step) => step.history.length)), depth);
    device.free(x);
    denoiser.free();
    assertEquals(device.buffers.allocated, before, sampler);
  }
  const denoiser = new Denoiser(device, {} as UNetConfig, { ask: formula });
  await assertRejects(
    () =>
      denoiser.run({ a: latent(A), b: latent(B), c: latent(C) }, latent(C), noiseSchedule(SD), {
        ...{ sampler: "pndm", steps: 8, shape: SHAPE, seeds: [1], guidance: 1 },
        onStep(done) {
          if (done === 3) throw new Error("stop here");
        },
      }),
    Error,
    "stop here",
  );
  denoiser.free();
  assertEquals(device.buffers.allocated, before, "a walk that was cut off");
});

/** Stable Diffusion's schedule, to be walked down to no noise at all. */
const SD = {
  num_train_timesteps: 1000,
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: "scaled_linear",
  set_alpha_to_one: true,
};

/** √ᾱ and √(1−ᾱ) at a timestep, or between two. */
function levelAt(schedule: NoiseSchedule, t: number) {
  if (Number.isInteger(t)) return noising(schedule, t);
  const sigma = sigmaAt(sigmaTable(schedule), t);
  return { signal: 1 / Math.hypot(sigma, 1), noise: sigma / Math.hypot(sigma, 1) };
}

/** What a model answers that knows x₀ to be `clean` of a sample x. */
function answerFor(schedule: NoiseSchedule, x: number, t: number, clean: number): number {
  const { signal, noise } = levelAt(schedule, t);
  const epsilon = (x - signal * clean) / noise;
  const answers = { epsilon, v_prediction: signal * epsilon - noise * clean, sample: clean };
  return answers[schedule.prediction];
}

Deno.test("samplers: with a model that knows the picture every sampler ends in it, from anywhere", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...SAMPLER_NAMES),
      fc.constantFrom<Prediction>("epsilon", "v_prediction", "sample"),
      fc.constantFrom("leading", "trailing"),
      fc.constantFrom(1, 2, 5, 10, 20, 40),
      fc.double({ min: -2, max: 2, noNaN: true }),
      fc.option(fc.double({ min: 0.2, max: 1, noNaN: true }), { nil: undefined }),
      fc.integer({ min: 0, max: 1000 }),
      (sampler, prediction, spacing, steps, clean, strength, seed) => {
        if (strength !== undefined && steps * strength < 1) return;
        // Karras' levels fall between timesteps, of which a model is asked the nearest; PNDM takes means of answers,
        // of which only ε is the same at every timestep, and keeps to its levels where strides are even.
        const prediction_type = sampler === "dpm++2m-karras"
          ? "sample"
          : sampler === "pndm"
          ? "epsilon"
          : prediction;
        if (sampler === "pndm" && spacing === "trailing") return;
        const schedule = noiseSchedule({ ...SD, prediction_type, timestep_spacing: spacing });
        const random = uniform(seed);
        const draws = () => Array.from({ length: 3 }, random);
        const walk = trajectory(schedule, { sampler, steps, strength });
        const [start, picture] = [draws(), strength === undefined ? undefined : draws()];
        const trace = replay(
          walk,
          { noise: start, picture },
          (x, t) => x.map((v) => answerFor(schedule, v, t, clean)),
          draws,
        );
        for (const v of trace.at(-1)!) assertAlmostEquals(v, clean, 1e-9, sampler);
      },
    ),
    { numRuns: 400, seed: 5 },
  );
});

/** A model that knows that pixels are normal, with this mean and deviation. */
const MEAN = 0.7, DEVIATION = 0.4;
function normalModel(schedule: NoiseSchedule) {
  return (xs: number[], t: number) => {
    const { signal, noise } = levelAt(schedule, t);
    const total = (signal * DEVIATION) ** 2 + noise ** 2;
    return xs.map((x) => {
      const clean = MEAN + signal * DEVIATION ** 2 * (x - signal * MEAN) / total;
      return answerFor(schedule, x, t, clean);
    });
  };
}

/** How far a walk without fresh noise ends from where the exact flow takes its start. */
function flowError(sampler: SamplerName, steps: number, prediction_type: Prediction): number {
  const schedule = noiseSchedule({ ...SD, prediction_type, timestep_spacing: "trailing" });
  const walk = trajectory(schedule, { sampler, steps });
  const starts = [-1.5, 0, 0.3, 2];
  const trace = replay(walk, { noise: starts }, normalModel(schedule), () => []);
  const { signal, noise } = levelAt(schedule, walk.steps[0].timestep);
  const end = trace.at(-1)!;
  return Math.max(...trace[0].map((x, k) => {
    const shown = walk.steps[0].input * x;
    const exact = MEAN +
      DEVIATION * (shown - signal * MEAN) / Math.hypot(signal * DEVIATION, noise);
    return Math.abs(end[k] - exact);
  }));
}

Deno.test("samplers: without fresh noise all follow one flow, the closer the more steps they take", () => {
  for (const prediction of ["epsilon", "v_prediction", "sample"] as const) {
    for (const sampler of ["ddim", "pndm", "euler", "dpm++2m", "dpm++2m-karras"] as const) {
      const [few, more, many] = [10, 50, 500].map((n) => flowError(sampler, n, prediction));
      const message = `${sampler} ${prediction}: ${few} ${more} ${many}`;
      assert(few < 0.3 && more < few / 2 && many < 0.01, message);
    }
    const [first, second] = (["euler", "dpm++2m-karras"] as const)
      .map((name) => flowError(name, 25, prediction));
    assert(second < first / 5, `of second order: ${second}, of first: ${first}`);
  }
});

Deno.test("samplers: with fresh noise all end in the distribution that the model knows", () => {
  for (const sampler of ["ddpm", "ddim", "euler-ancestral"] as const) {
    const schedule = noiseSchedule({ ...SD, timestep_spacing: "trailing" });
    const eta = sampler === "ddim" ? 1 : undefined;
    const walk = trajectory(schedule, { sampler, eta, steps: 500 });
    // Each step is x' = a x + b + c z: mean and variance need no sampling.
    const model = normalModel(schedule);
    let mean = 0, variance = walk.noise ** 2;
    for (const step of walk.steps) {
      const of = (x: number) => step.x * x + step.model * model([step.input * x], step.timestep)[0];
      const slope = of(1) - of(0);
      mean = of(mean);
      variance = slope ** 2 * variance + step.noise ** 2;
    }
    assertAlmostEquals(mean, MEAN, 0.01, sampler);
    assertAlmostEquals(Math.sqrt(variance), DEVIATION, 0.01, sampler);
  }
});

Deno.test("samplers: a walk from a picture is the end of a whole one, and starts at that end's noise", () => {
  for (const sampler of SAMPLER_NAMES) {
    const schedule = noiseSchedule({ ...SD, timestep_spacing: "leading", steps_offset: 1 });
    const whole = trajectory(schedule, { sampler, steps: 20 });
    const part = trajectory(schedule, { sampler, steps: 20, strength: 0.6 });
    const tail = whole.steps.slice(-part.steps.length);
    const extra = sampler === "pndm" ? 1 : 0;
    assertEquals(part.steps.length, 12 + extra);
    // Solvers with a memory begin anew: their first steps differ.
    const anew = { pndm: 4, "dpm++2m": 1, "dpm++2m-karras": 1 }[sampler as string] ?? 0;
    assertEquals(part.steps.slice(anew), tail.slice(anew), sampler);
    assertEquals(part.steps[0].timestep, tail[extra].timestep, sampler);
    const { signal, noise } = part.picture;
    const sigma = sigmaAt(sigmaTable(schedule), part.steps[0].timestep);
    const slack = sampler === "dpm++2m-karras" ? 5e-4 : 1e-12; // Its timesteps are rounded.
    assertAlmostEquals(noise / signal, sigma, slack, sampler);
    const full = trajectory(schedule, { sampler, steps: 20, strength: 1 });
    assertEquals(full.steps, whole.steps, sampler);
  }
});

Deno.test("samplers: the scheduler's class and eta choose one, and what makes no sense is refused", () => {
  const of = (_class_name?: string, more = {}) => noiseSchedule({ ...SD, _class_name, ...more });
  const classes: [string | undefined, SamplerName][] = [
    [undefined, "ddim"],
    ["DDPMScheduler", "ddpm"],
    ["DDIMScheduler", "ddim"],
    ["EulerDiscreteScheduler", "euler"],
    ["EulerAncestralDiscreteScheduler", "euler-ancestral"],
    ["DPMSolverMultistepScheduler", "dpm++2m"],
    ["UniPCMultistepScheduler", "dpm++2m"],
    ["KDPM2AncestralDiscreteScheduler", "euler-ancestral"],
  ];
  for (const [name, sampler] of classes) assertEquals(chosenSampler(of(name), {}).sampler, sampler);
  const pndm = of("PNDMScheduler", { skip_prk_steps: true });
  assertEquals(chosenSampler(pndm, {}).sampler, "pndm");
  assertEquals(chosenSampler(pndm, { eta: 0.5 }), { sampler: "ddim", eta: 0.5 });
  assertEquals(chosenSampler(of("DDIMScheduler"), {}), { sampler: "ddim", eta: 1 });
  assertEquals(chosenSampler(pndm, { sampler: "ddim" }), { sampler: "ddim", eta: 0 });
  const refused = (options: Partial<TrajectoryOptions>, message: string) =>
    assertThrows(() => trajectory(of(), { steps: 10, ...options }), RangeError, message);
  refused({ sampler: "heun" as SamplerName }, "no sampler is called heun: there are ddpm, ddim");
  refused({ sampler: "toString" as SamplerName }, "no sampler is called toString");
  refused({ sampler: "euler", eta: 0 }, "only ddim takes one");
  refused({ eta: 2 }, "eta is 2");
  refused({ eta: NaN }, "eta is NaN");
  for (const strength of [0, -1, 1.5, NaN]) refused({ strength }, `strength is ${strength}`);
  refused({ strength: 0.05 }, "less than one step");
  for (const steps of [0, 1001, 2.5]) {
    for (const sampler of SAMPLER_NAMES) refused({ sampler, steps }, `${steps} steps`);
  }
});
