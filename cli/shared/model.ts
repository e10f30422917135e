/**
 * What can be known of a model before a GPU is asked for: that its folder is whole, its words, its size, its defaults.
 *
 * Why apart from loading it: an error should come at once, not after minutes of work.
 */
import { type ModelDefaults, modelDefaults } from "../../concepts/training/model_settings.ts";
import { idsShape } from "../../diffusion/conditions.ts";
import { checkFit, pipelineConfig } from "../../diffusion/pipeline.ts";
import { type NoiseSchedule, noiseSchedule } from "../../diffusion/samplers/schedule.ts";
import { type ClipFolder, inspectClip } from "../../evaluate/clip.ts";
import { fingerprint } from "../../files/models/fingerprint.ts";
import { type ModelFolder, openModelFolder } from "../../files/models/folder.ts";
import { compareComponent } from "../../models/load.ts";
import type { TextWindow } from "../../models/text_window.ts";
import { loadTokenizer, type Tokenizer } from "../../models/clip/tokenizer.ts";
import { vaeFactor } from "../../models/vae/vae.ts";
import { UsageError } from "../../terminal/errors.ts";

/** A model folder that was looked through. */
export interface ModelFacts {
  /** The folder. */
  folder: ModelFolder;
  /** Its tokenizer; new words are added to it when it is known which. */
  tokenizer: Tokenizer;
  /** How much of a text it reads, by that tokenizer. */
  window: TextWindow;
  /** Its defaults of training and sampling. */
  defaults: ModelDefaults;
  /** How much noise there is at each timestep. */
  schedule: NoiseSchedule;
  /** What deltas are told apart by. */
  base: string;
  /** Side of its own pictures, in pixels. */
  size: number;
  /** Sides are multiples of this. */
  grain: number;
  /** Layers per block of its UNet, by which other tools name its parameters. */
  layers: number;
}

/**
 * Looks a model folder through: its parts are there and whole, and it can be read.
 *
 * @throws FileError naming what is missing or damaged
 */
export async function inspectModel(path: string): Promise<ModelFacts> {
  const folder = await openModelFolder(path);
  const parts = pipelineConfig(folder);
  checkFit(folder.path, parts);
  const { unet } = parts, factor = vaeFactor(parts.vae);
  const schedule = noiseSchedule(
    folder.config("scheduler"),
    `${folder.folder("scheduler")}/scheduler_config.json`,
  );
  const tokenizer = await loadTokenizer(await folder.tokenizer());
  const length = Math.min(tokenizer.maxLength, idsShape(pipelineConfig(folder), 1).at(-1)!);
  const window = { tokenizer, length };
  const defaults = await modelDefaults(folder.path);
  for (const [name, config] of Object.entries(parts)) {
    if (typeof config !== "object") continue;
    using weights = await folder.weights(name);
    compareComponent(weights, config);
  }
  const base = await fingerprint(folder);
  const grain = factor * 2 ** (unet.channels.length - 1);
  const size = unet.sampleSize * factor;
  return {
    ...{ folder, tokenizer, window, defaults, schedule, base, size, grain },
    layers: unet.layersPerBlock,
  };
}

/** The side to work at: what was asked for, where the model can take it. */
export function sideFor(
  { size, grain }: ModelFacts,
  asked: number | undefined,
  flag = "--size",
): number {
  const side = asked ?? size;
  if (side % grain === 0) return side;
  throw new UsageError(
    `${flag} ${side}: this model takes multiples of ${grain} (its own is ${size})`,
  );
}

/** The CLIP that scores: the folder that is given, or the model's own `clip/`. */
export async function inspectScorer(
  { scorer, model }: { scorer?: string; model?: string },
): Promise<ClipFolder> {
  if (scorer !== undefined) return await inspectClip(scorer);
  if (model === undefined) throw new UsageError("scoring takes --scorer, the folder of a CLIP");
  const folder = await openModelFolder(model);
  if (folder.components.includes("clip")) return await inspectClip(folder.folder("clip"));
  throw new UsageError(`${model} holds no clip/ of its own: give --scorer, the folder of a CLIP`);
}

/** Vocabularies under this size are of whole words: what falls to pieces there is a word that the model never saw. */
const SMALL = 10_000;

/** Words in angle brackets, and others that begin with a letter: what is counted or punctuated means what it says. */
const WORDS = /<[^<>\s]+>|[\p{L}\p{M}][\p{L}\p{M}\p{N}'’]*/gu;

/** Words of a text that mean nothing to the model: what is left of them is letters, or pieces of other words. */
export function unknownWords({ tokenizer }: ModelFacts, text: string): string[] {
  return (text.match(WORDS) ?? []).filter((word) => {
    const entries = tokenizer.entries(tokenizer.idsOf(word));
    if (entries.length === 1) return false;
    return tokenizer.size < SMALL ||
      entries.every((entry) => entry.replace("</w>", "").length === 1);
  });
}
