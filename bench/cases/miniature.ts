/**
 * The cases that take a whole model, the miniature: what every library is given, and how much of its results it gives. The
 * training step is one of Stable Diffusion 1.5, too, for `moongate doctor --measure`, which compares its time alone.
 */
import { beside } from "../../files/beside.ts";
import { STREAMS } from "../../diffusion/loss.ts";
import { hostNormal, hostUniform } from "../../ops/random.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { NEW_TOKEN } from "../memory.ts";
import { uniforms } from "../portable_weights.ts";
import { type Operands, placesOf } from "./case.ts";

interface Named {
  /** Name for `--cases`. */
  readonly name: string;
  /** Name in the table. */
  readonly title: string;
}

/** Models of which a step is timed. */
export type ModelName = "miniature" | "sd15";

/**
 * A training step of Custom Diffusion: half of the batch (of an odd one more) are targets, which are encoded, the others
 * regularization, whose posteriors and captions' features are known. AdamW on keys, values and one row of the token table.
 * Operands as {@linkcode modelOperands} has them. Results: the loss, and of each trained parameter's gradient
 * {@linkcode spread} values.
 */
export interface StepCase extends Named {
  readonly kind: "step";
  readonly batch: number;
  readonly model: ModelName;
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

/** A step of so many pictures. */
export const stepCase = (batch: number, model: ModelName = "miniature"): StepCase => ({
  ...{ kind: "step", batch, model, name: "step" } as const,
  title: `training step of the ${model}, batch ${batch}`,
});

export const MODELS: readonly ModelCase[] = [
  stepCase(8),
  sample(1),
  sample(4),
];

/** Where it lies. */
export const MINIATURE = beside("../../world/miniature", import.meta.url);

/** Of a model: pixels and latents of a side, channels, tokens of a caption, width of their features, and words. */
interface Extents {
  readonly side: number;
  readonly cells: number;
  readonly channels: number;
  readonly tokens: number;
  readonly width: number;
  /** Ids of captions are below it. */
  readonly words: number;
  /** Which row of the token table trains; every encoded caption has it. */
  readonly row: number;
}

const EXTENTS: Readonly<Record<ModelName, Extents>> = {
  miniature: { side: 64, cells: 8, channels: 16, tokens: 32, width: 112, words: 800, row: 7 },
  sd15: {
    ...{ side: 512, cells: 64, channels: 4, tokens: 77, width: 768 },
    ...{ words: NEW_TOKEN, row: NEW_TOKEN },
  },
};
const TIMESTEPS = 1000;

/** Extents of a case's model. */
export const extentsOf = (c: ModelCase): Extents =>
  EXTENTS[c.kind === "step" ? c.model : "miniature"];

/** Key of a step's draws. */
export const KEY = [1, 2] as const;
export const RATE = 1e-5;
export const DECAY = 0.01;

/** Shapes of a case's operands, by name. */
export function shapesOf(c: ModelCase): Record<string, readonly number[]> {
  const { side, cells, channels, tokens, width } = extentsOf(c);
  const latents = (n: number) => [n, cells, cells, channels];
  if (c.kind === "sample") return { noise: latents(c.prompts.length) };
  const targets = Math.ceil(c.batch / 2), known = c.batch - targets;
  return {
    pixels: [targets, side, side, 3],
    ...(known && {
      mean: latents(known),
      logvar: latents(known),
      context: [known, tokens, width],
    }),
    ids: [targets, tokens],
    posterior: latents(c.batch),
    noise: latents(c.batch),
    timesteps: [c.batch],
  };
}

/** What every library gets. The last three are what moongate draws from the step's key itself. */
export function modelOperands(c: ModelCase): Operands {
  const shapes = shapesOf(c), { tokens, words, row } = extentsOf(c);
  const draw = (name: string, stream: number) =>
    Float32Array.from(hostNormal(KEY, sizeOf(shapes[name]), { stream }));
  if (c.kind === "sample") return { noise: draw("noise", STREAMS.noise) };
  const some = (name: string, scale: number) => uniforms(name, sizeOf(shapes[name]), scale);
  const times = hostUniform(KEY, c.batch, { stream: STREAMS.timesteps });
  const half = words / 2;
  return {
    pixels: some("pixels", 1),
    ...(shapes.mean && {
      mean: some("mean", 1.7),
      logvar: some("logvar", 1).map((v) => v - 4),
      context: some("context", 1.7),
    }),
    ids: some("ids", half).map((v, i) => i % tokens === 5 ? row : Math.floor(v + half)),
    posterior: draw("posterior", STREAMS.posterior),
    noise: draw("noise", STREAMS.noise),
    timesteps: Float32Array.from(times, (u) => Math.floor(u * TIMESTEPS)),
  };
}

/** The values of a result that are compared. */
export const spread = (values: ArrayLike<number>): number[] =>
  placesOf(values.length).map((k) => values[k]);
