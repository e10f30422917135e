/** The noise schedule and the sampling coefficients against diffusers' DDIMScheduler. */
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { noiseSchedule, noising, target } from "../diffusion/samplers/schedule.ts";
import type { Spacing } from "../diffusion/samplers/config.ts";
import { trajectory } from "../diffusion/samplers/samplers.ts";
import { timesteps } from "../diffusion/samplers/timesteps.ts";
import { FileError } from "../files/errors.ts";
import golden from "./golden/schedule.json" with { type: "json" };

const configs = golden.alphaBars as Record<
  string,
  { config: Record<string, unknown>; some: Record<string, number> }
>;
const sd = configs["stable diffusion 1"].config;

const ddim = (config: unknown, steps: number, eta: number) =>
  trajectory(noiseSchedule(config), { sampler: "ddim", steps, eta }).steps;

/** Runs a walk with the golden script's made-up model and noise; gives every sample, and the last guess at x₀. */
function walk(config: unknown, steps: number, eta: number) {
  let x = [1, -0.5, 0.25, 2];
  const trace: number[][] = [];
  let clean: number[] = [];
  ddim(config, steps, eta).forEach((step, k) => {
    const model = x.map((_, i) => Math.sin(1.3 * k + 0.7 * i));
    clean = x.map((v, i) => step.clean.x * v + step.clean.model * model[i]);
    x = x.map((v, i) => step.x * v + step.model * model[i] + step.noise * Math.cos(2.1 * k + i));
    trace.push(x);
  });
  return { trace, clean };
}

/** Largest difference, relative to values beyond 1. */
const apart = (a: readonly number[][], b: readonly number[][]) =>
  Math.max(
    ...a.flatMap((row, k) => row.map((v, i) => Math.abs(v - b[k][i]) / Math.max(1, Math.abs(v)))),
  );

Deno.test("schedule: ᾱ agrees with diffusers, and with the published figures", () => {
  for (const [name, { config, some }] of Object.entries(configs)) {
    const { alphaBars } = noiseSchedule(config);
    for (const [t, expected] of Object.entries(some)) {
      // diffusers' running product is in float32
      assertAlmostEquals(alphaBars[+t] / expected, 1, 2e-5, `${name} at ${t}`);
    }
  }
  const { alphaBars } = noiseSchedule(sd);
  assertAlmostEquals(alphaBars[0], 0.99915, 1e-12);
  assertAlmostEquals(alphaBars[499], 0.277670, 5e-7);
  assertAlmostEquals(alphaBars[999], 0.004660099, 5e-10);
});

Deno.test("schedule: every step of every walk agrees with diffusers to 1e-9", () => {
  let worst = 0;
  for (const { config, steps, eta, exact } of golden.walks) {
    const got = walk(configs[config].config, steps, eta);
    const at = timesteps(noiseSchedule(configs[config].config), steps);
    assertEquals(at, exact.timesteps, `${config}, ${steps} steps`);
    assertEquals(got.trace.length, exact.trace.length);
    const off = Math.max(apart(got.trace, exact.trace), apart([got.clean], [exact.clean]));
    assert(off < 1e-9, `${config}, ${steps} steps, eta ${eta}: ${off}`);
    worst = Math.max(worst, off);
  }
  assert(worst > 0);
});

Deno.test("schedule: a walk agrees with diffusers' own float32 tables step by step", () => {
  for (const { config, steps, eta, stock } of golden.walks) {
    if (!stock) continue;
    const off = apart(walk(configs[config].config, steps, eta).trace, stock);
    assert(off < 5e-6, `${config}, ${steps} steps, eta ${eta}: ${off}`);
  }
});

Deno.test("schedule: timesteps agree with diffusers for every spacing and many lengths", () => {
  for (const [spacing, steps, length, sum, weighted, first] of golden.timesteps) {
    const got = timesteps(noiseSchedule({ ...sd, timestep_spacing: spacing }), steps as number);
    const message = `${spacing}, ${steps} steps`;
    assertEquals(got.length, length, message);
    assertEquals(got.slice(0, 5), first, message);
    assertEquals(got.reduce((a, t) => a + t, 0), sum, message);
    assertEquals(got.reduce((a, t, i) => a + i * t, 0), weighted, message);
  }
});

Deno.test("schedule: noising and the training target agree with diffusers", () => {
  for (
    const [name, t, noisy, velocity] of golden.noised as [string, number, number[], number[]][]
  ) {
    const schedule = noiseSchedule(configs[name].config);
    const { signal, noise } = noising(schedule, t);
    const v = target({ ...schedule, prediction: "v_prediction" }, t);
    [[0.7, 1.1], [-2, 0.3]].forEach(([x, e], i) => {
      assertAlmostEquals(signal * x + noise * e, noisy[i], 3e-6);
      assertAlmostEquals(v.clean * x + v.noise * e, velocity[i], 3e-6);
    });
  }
  assertEquals(target(noiseSchedule(sd), 500), { clean: 0, noise: 1 });
  assertThrows(() => noising(noiseSchedule(sd), 1000), RangeError, "1000");
  assertThrows(() => noising(noiseSchedule(sd), 0.5), RangeError);
});

Deno.test("schedule: a model that always answers the truth is walked back to the picture", () => {
  fc.assert(
    fc.property(
      fc.constantFrom("epsilon", "v_prediction"),
      fc.constantFrom<Spacing>("leading", "trailing", "linspace"),
      fc.integer({ min: 2, max: 60 }),
      (prediction_type, timestep_spacing, steps) => {
        const config = {
          ...sd,
          prediction_type,
          timestep_spacing,
          set_alpha_to_one: true,
          steps_offset: 0,
        };
        const schedule = noiseSchedule(config);
        const walk = ddim(config, steps, 0);
        const clean = 0.8, noise = -1.3;
        const stride = Math.floor(1000 / steps);
        let last = NaN;
        for (const step of walk) {
          const now = noising(schedule, step.timestep);
          const want = target(schedule, step.timestep);
          const x = now.signal * clean + now.noise * noise;
          const answer = want.clean * clean + want.noise * noise;
          assertAlmostEquals(step.clean.x * x + step.clean.model * answer, clean, 1e-9);
          last = step.x * x + step.model * answer;
          const before = step.timestep - stride;
          const then = before < 0 ? { signal: 1, noise: 0 } : noising(schedule, before);
          assertAlmostEquals(last, then.signal * clean + then.noise * noise, 1e-9);
        }
        if (walk.at(-1)!.timestep < stride) assertAlmostEquals(last, clean, 1e-9);
      },
    ),
    { numRuns: 100, seed: 3 },
  );
});

Deno.test("schedule: a walk over pure noise never gains variance, for any η", () => {
  // ε = x·√(1−ᾱ) is the right answer of a model for data that is white noise of unit variance
  fc.assert(
    fc.property(
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.integer({ min: 2, max: 100 }),
      (eta, steps) => {
        const schedule = noiseSchedule(sd);
        for (const step of ddim(sd, steps, eta)) {
          const { noise } = noising(schedule, step.timestep);
          const variance = (step.x + step.model * noise) ** 2 + step.noise ** 2;
          assert(variance <= 1 + 1e-9, `${variance}`);
        }
      },
    ),
    { numRuns: 50, seed: 4 },
  );
});

Deno.test("schedule: what is missing, wrong or unsupported is named", () => {
  const refuses = (change: Record<string, unknown>, part: string) => {
    const error = assertThrows(
      () => noiseSchedule({ ...sd, ...change }, "m/scheduler_config.json"),
      FileError,
    );
    assert(error.message.startsWith("m/scheduler_config.json: "), error.message);
    assert(error.message.includes(part), error.message);
  };
  refuses({ beta_start: undefined }, "beta_start is missing");
  refuses({ beta_end: "0.02" }, 'beta_end is "0.02"');
  refuses(
    { beta_schedule: "sigmoid" },
    "Supported is scaled_linear or linear or squaredcos_cap_v2",
  );
  refuses({ beta_schedule: undefined }, "beta_schedule is missing");
  refuses({ prediction_type: "flow_prediction" }, "prediction_type");
  refuses({ timestep_spacing: "karras" }, "timestep_spacing");
  refuses({ num_train_timesteps: 0 }, "num_train_timesteps is 0");
  refuses({ num_train_timesteps: 1e12 }, "num_train_timesteps");
  refuses({ steps_offset: -1 }, "steps_offset is -1");
  refuses({ clip_sample: true }, "clip_sample");
  refuses({ thresholding: true }, "thresholding");
  refuses({ rescale_betas_zero_snr: true }, "prediction_type of epsilon");
  refuses({ use_beta_sigmas: true }, "use_beta_sigmas");
  refuses({ sigma_max: 80 }, "sigma_max");
  refuses({ timestep_type: "continuous" }, "timestep_type");
  refuses({ _class_name: "PNDMScheduler" }, "skip_prk_steps is missing");
  refuses({ _class_name: "DDPMScheduler", variance_type: "learned_range" }, "variance_type");
  refuses({ _class_name: "LCMScheduler" }, "_class_name");
  for (
    const change of [
      { solver_order: 3 },
      { algorithm_type: "sde-dpmsolver++" },
      { solver_type: "bh2" },
      { lambda_min_clipped: -5.1 },
      { variance_type: "learned_range" },
    ]
  ) refuses({ _class_name: "DPMSolverMultistepScheduler", ...change }, Object.keys(change)[0]);
  refuses({ trained_betas: [0.1] }, "trained_betas");
  refuses({ set_alpha_to_one: "no" }, "set_alpha_to_one");
  refuses({ _class_name: "FlowMatchEulerDiscreteScheduler" }, "FlowMatch");
  assertThrows(() => noiseSchedule(null), FileError);
  const schedule = noiseSchedule(sd);
  for (const steps of [0, 1001, 2.5, NaN]) {
    assertThrows(() => timesteps(schedule, steps), RangeError, `${steps} steps`);
  }
  assertThrows(() => timesteps(schedule, 1000), RangeError, "timestep 1000");
  assertThrows(() => ddim(sd, 10, 2), RangeError, "eta is 2");
});

Deno.test("schedule: a PNDM config that leaves things out is read as Stable Diffusion means it", () => {
  const schedule = noiseSchedule({
    _class_name: "PNDMScheduler",
    beta_start: 0.00085,
    beta_end: 0.012,
    beta_schedule: "scaled_linear",
    num_train_timesteps: 1000,
    skip_prk_steps: true,
    trained_betas: null,
  });
  assertEquals(schedule.sampling.sampler, "pndm");
  const end = trajectory(schedule, { steps: 50 }).steps.at(-1)!;
  assertEquals(end.timestep, 0);
  assertEquals(end.x, 1, "it ends where it is: at the noise of timestep 0");
  assertEquals(schedule.prediction, "epsilon");
  const last = (set_alpha_to_one?: boolean) =>
    ddim({ ...sd, steps_offset: 0, set_alpha_to_one }, 50, 0).at(-1)!;
  assertEquals(last(), last(true));
  assert(last().x > last(false).x);
});
