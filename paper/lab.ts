/** Where the work is done: the folder that keeps what is finished, and the model, opened when something is missing. */
import { INITIALIZERS } from "../concepts/defaults.ts";
import { type ModelDefaults, modelDefaults } from "../concepts/training/model_settings.ts";
import type { Progress } from "../terminal/progress.ts";
import { gpu, type GpuOptions } from "../device/adapter.ts";
import type { Device } from "../device/device.ts";
import { loadPipeline, type Pipeline } from "../diffusion/pipeline.ts";
import { type SampleOptions, samplerOf } from "../diffusion/sample.ts";
import { openScorer, type Scorer } from "../evaluate/scorer.ts";
import { fingerprint } from "../files/models/fingerprint.ts";
import { openModelFolder } from "../files/models/folder.ts";
import type { Picture } from "../files/pictures/picture.ts";
import { CONCEPT_CLASSIFIER, type Judge, openJudge } from "../world/measure/judge.ts";
import { token, type Training } from "./recipes.ts";
import type { Settings } from "./settings.ts";

/** The folder, and what decides what is in it. */
export interface Shelf {
  /** Finished deltas, rows, pictures. */
  readonly out: string;
  /** The model's folder. */
  readonly folder: string;
  /** The model's own numbers. */
  readonly defaults: ModelDefaults;
  /** The model's fingerprint, scorers and autoencoder included. */
  readonly base: string;
}

/** A shelf and the model on a device. */
export interface Lab extends Shelf {
  readonly model: Pipeline;
  readonly scorer: Scorer;
  readonly judge: Judge;
  readonly progress: Progress;
  /** All runs that are planned: a long one leaves the shorter ones on its way. */
  readonly trainings: readonly Training[];
  /** Milliseconds between two checkpoints of a training run. */
  readonly saveEvery: number;
  /** Samples pictures in the model's own way. */
  sample(
    prompts: readonly string[],
    options: Pick<SampleOptions, "seed" | "guidance">,
    model: Pipeline,
  ): Promise<Picture[]>;
  /** The vocabulary token whose row a V* starts from, whatever that is. */
  startToken(initializer: string): string;
  free(): void;
}

/** Components whose weights decide a measurement. */
const WEIGHTS = ["unet", "vae", "text_encoder", "clip", "classifier", CONCEPT_CLASSIFIER];

/**
 * Looks at a model folder and makes the output folder.
 *
 * @param training numbers that go before the model's own
 */
export async function openShelf(
  folder: string,
  out: string,
  training: Settings["training"],
): Promise<Shelf> {
  const model = await openModelFolder(folder);
  for (const part of ["deltas", "rows", "pictures"]) {
    await Deno.mkdir(`${out}/${part}`, { recursive: true });
  }
  const base = await fingerprint(model, model.components.filter((c) => WEIGHTS.includes(c)));
  return { out, folder, defaults: await modelDefaults(folder, training), base };
}

/** What a lab is opened with. */
export interface LabOptions {
  readonly progress: Progress;
  /** A device that is opened already. */
  readonly device?: Device;
  /** Which one is opened where that is not given, and how many threads of the CPU's. */
  readonly choose?: Pick<GpuOptions, "backend" | "threads">;
  /** Milliseconds between two checkpoints. Default: a minute. */
  readonly saveEvery?: number;
}

/** Pictures sampled at once. */
export const TOGETHER = 8;

/** Loads the model with every V* and everything that one starts from. */
export async function openLab(
  shelf: Shelf,
  trainings: readonly Training[],
  { progress, device: given, choose, saveEvery = 60_000 }: LabOptions,
): Promise<Lab> {
  const device = given ?? await gpu({ ...choose, onCompile: progress.compiling });
  const initializers = [...new Set(trainings.flatMap((t) => t.initializers))];
  const startToken = (initializer: string) => `<start${initializers.indexOf(initializer) + 1}>`;
  const model = await loadPipeline(device, shelf.folder, {
    addTokens: Object.fromEntries([
      ...[0, 1].map((n) => [token(n), INITIALIZERS[n]]),
      ...initializers.map((entry) => [startToken(entry), entry]),
    ]),
  });
  const scorer = await openScorer(device, shelf.folder);
  const judge = await openJudge(device, shelf.folder, scorer);
  const { steps, guidance, eta, sampler } = shelf.defaults.sampling;
  return {
    ...shelf,
    ...{ model, scorer, judge, progress, trainings, startToken, saveEvery },
    async sample(prompts, options, { params }) {
      // A whole number of batches, so that programs are compiled for one shape.
      const all = [
        ...prompts,
        ...Array((TOGETHER - prompts.length % TOGETHER) % TOGETHER).fill(""),
      ];
      const own = { steps, guidance, eta, sampler, batch: TOGETHER };
      const made = await samplerOf(model).generate(all, { ...own, ...options }, params);
      return made.slice(0, prompts.length);
    },
    free() {
      judge.free();
      scorer.free();
      model.free();
      if (!given) device[Symbol.dispose]();
    },
  };
}
