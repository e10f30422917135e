/** Every sampler against diffusers' schedulers, step by step, and by the laws that samplers have. */
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { Denoiser } from "../diffusion/denoise.ts";
import { chosenSampler, SAMPLER_NAMES, trajectory } from "../diffusion/samplers.ts";
import type { SamplerName } from "../diffusion/sampler_names.ts";
import { noiseSchedule, noising, type Prediction, target } from "../diffusion/schedule.ts";
import type { Trajectory } from "../diffusion/trajectory.ts";
import { parseJsonObject, withInfinities } from "../files/json.ts";
import type { UNetConfig } from "../models/unet.ts";
import { add, mul } from "../ops/arithmetic.ts";
import { tensor } from "../ops/leaf.ts";
import { reshape } from "../ops/movement.ts";
import { openGolden } from "./models_golden.ts";
import { deviceAs, relativeError } from "./support/check.ts";

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
