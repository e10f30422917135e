/** The cases that take a whole model, the miniature: what every library is given, and how much of its results it gives. */
import { STREAMS } from "../../diffusion/loss.ts";
import { hostNormal, hostUniform } from "../../ops/random.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { uniforms } from "../portable_weights.ts";
import { type Operands, placesOf } from "./case.ts";

interface Named {
  /** Name for `--cases`. */
  readonly name: string;
  /** Name in the table. */
  readonly title: string;
}

/**
 * A training step of Custom Diffusion: half of the batch are targets, which are encoded, the other half regularization,
 * whose posteriors and captions' features are known. AdamW on keys, values and one row of the token table. Operands as
 * {@linkcode stepOperands} has them. Results: the loss, and of each trained parameter's gradient {@linkcode spread} values.
 */
export interface StepCase extends Named {
  readonly kind: "step";
  readonly batch: number;
}

/** Prompts to latents by the model's own sampler. Operand `noise`; result latents NHWC, {@linkcode spread}. */
export interface SampleCase extends Named {
  readonly kind: "sample";
  readonly prompts: readonly string[];
  readonly steps: number;
  readonly guidance: number;
}

export type ModelCase = StepCase | SampleCase;

const PROMPTS = ["a red mug", "photo of a mug in the snow", "a blue car", "two mugs on a table"];

const sample = (pictures: number): SampleCase => ({
  kind: "sample",
  prompts: PROMPTS.slice(0, pictures),
  steps: 20,
  guidance: 4,
  name: `sample-${pictures}`,
  title: `20 steps of sampling, ${pictures === 1 ? "a picture" : `${pictures} pictures`}`,
});

export const MODELS: readonly ModelCase[] = [
  { kind: "step", batch: 8, name: "step", title: "training step of the miniature, batch 8" },
  sample(1),
  sample(4),
];

export const MINIATURE = new URL("../../world/miniature", import.meta.url).pathname;

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
export function modelOperands(c: ModelCase): Operands {
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

/** The values of a result that are compared. */
export const spread = (values: ArrayLike<number>): number[] =>
  placesOf(values.length).map((k) => values[k]);
