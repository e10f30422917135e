/**
 * The cases that take a whole model, the miniature: what every library is given, and where the right answers come from.
 * Those are PyTorch's in float64, in `tests/golden/bench.json`, which `bench/peers/pytorch.ts` writes.
 */
import { STREAMS } from "../diffusion/loss.ts";
import { hostNormal, hostUniform } from "../ops/random.ts";
import { sizeOf } from "../tensor/shape.ts";
import { uniforms } from "./portable_weights.ts";
import golden from "../tests/golden/bench.json" with { type: "json" };

/**
 * A training step of Custom Diffusion: half of the batch are targets, which are encoded, the other half regularization,
 * whose posteriors and captions' features are known. AdamW on keys, values and one row of the token table. Operands as
 * {@linkcode stepOperands} has them. Results: the loss, and of each trained parameter's gradient {@linkcode spread} values.
 */
export interface StepCase {
  readonly kind: "step";
  readonly batch: number;
}

/** Prompts to latents by the model's own sampler. Operand `noise`; result latents NHWC, {@linkcode spread}. */
export interface SampleCase {
  readonly kind: "sample";
  readonly prompts: readonly string[];
  readonly steps: number;
  readonly guidance: number;
}

export type ModelCase = StepCase | SampleCase;

export const MINIATURE = new URL("../world/miniature", import.meta.url).pathname;

/** The miniature's extents: pixels and latents of a side, channels, tokens of a caption, width of their features. */
const SIDE = 64, CELLS = 8, CHANNELS = 12, TOKENS = 32, WIDTH = 96, TIMESTEPS = 1000;

/** Which row of the token table trains; every encoded caption has it. */
export const ROW = 7;
/** Key of a step's draws. */
export const KEY = [1, 2] as const;
export const RATE = 1e-5;
export const DECAY = 0.01;

/** Shapes of a case's operands, by name. */
export function shapesOf(c: ModelCase): Record<string, readonly number[]> {
  if (c.kind === "sample") return { noise: [c.prompts.length, CELLS, CELLS, CHANNELS] };
  const half = c.batch / 2;
  const latents = (n: number) => [n, CELLS, CELLS, CHANNELS];
  return {
    pixels: [half, SIDE, SIDE, 3],
    mean: latents(half),
    logvar: latents(half),
    ids: [half, TOKENS],
    context: [half, TOKENS, WIDTH],
    posterior: latents(c.batch),
    noise: latents(c.batch),
    timesteps: [c.batch],
  };
}

/** What every library gets. The last three are what moongate draws from the step's key itself. */
export function modelOperands(c: ModelCase): Record<string, Float32Array> {
  const shapes = shapesOf(c);
  const draw = (name: string, stream: number) =>
    Float32Array.from(hostNormal(KEY, sizeOf(shapes[name]), { stream }));
  if (c.kind === "sample") return { noise: draw("noise", STREAMS.noise) };
  const some = (name: string, scale: number) => uniforms(name, sizeOf(shapes[name]), scale);
  const times = hostUniform(KEY, c.batch, { stream: STREAMS.timesteps });
  return {
    pixels: some("pixels", 1),
    mean: some("mean", 1.7),
    logvar: some("logvar", 1).map((v) => v - 4),
    ids: some("ids", 400).map((v, i) => i % TOKENS === 5 ? ROW : Math.floor(v + 400)),
    context: some("context", 1.7),
    posterior: draw("posterior", STREAMS.posterior),
    noise: draw("noise", STREAMS.noise),
    timesteps: Float32Array.from(times, (u) => Math.floor(u * TIMESTEPS)),
  };
}

/** At most 64 of many values, evenly spread. */
export function spread(values: ArrayLike<number>): number[] {
  const count = Math.min(64, values.length);
  return Array.from({ length: count }, (_, i) => values[Math.floor(i * values.length / count)]);
}

/** The right results. */
export function modelResults(name: string) {
  const found = (golden as Record<string, number[][]>)[name];
  if (!found) throw new Error(`tests/golden/bench.json has no ${name}; see bench/peers/pytorch.ts`);
  return found.map((values) => ({ size: values.length, at: (k: number) => values[k] }));
}
