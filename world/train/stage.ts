/** What every stage works with, and the random draws and captions that they share. */
import { hostRandom, type Random } from "../../numerics/random.ts";
import type { Device } from "../../device/device.ts";
import type { Tokenizer } from "../../models/clip/tokenizer.ts";
import { tensor } from "../../ops/leaf.ts";
import { foldIn, keyFromSeed } from "../../ops/random.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Configs } from "./folder.ts";
import type { RunOptions } from "./loop.ts";
import { type Pictures, type RenderOptions, renderPictures } from "./pictures.ts";
import { type Settings, type Stage, STAGES } from "./settings.ts";

/** What a stage works with. */
export interface Workplace extends RunOptions {
  readonly device: Device;
  readonly configs: Configs;
  readonly pictures: Pictures;
  readonly settings: Settings;
  readonly tokenizer: Tokenizer;
}

/** Draws a set of pictures, and says how far it is. */
export async function drawPictures(
  { progress, signal }: RunOptions,
  options: RenderOptions,
): Promise<Pictures> {
  progress?.start("pictures", options.count);
  const onProgress = (done: number) => progress?.update(done);
  const pictures = await renderPictures({ ...options, signal, onProgress });
  progress?.stop();
  return pictures;
}

/** The stream of host numbers of a stage's step. */
export const drawsOf = ({ settings }: Workplace, stage: Stage, step: number): Random =>
  hostRandom(settings.seed, STAGES.indexOf(stage), step);

/** The key of the numbers that the device draws in a stage's step, u32 `[2]`. */
export function keyOf({ settings }: Workplace, stage: Stage, step: number): Tensor {
  const key = foldIn(foldIn(keyFromSeed(settings.seed), STAGES.indexOf(stage)), step);
  return tensor(Uint32Array.from(key), [2]);
}

/** The seed of a stage's first weights. */
export const seedOf = ({ settings }: Workplace, stage: Stage): number =>
  16 * settings.seed + STAGES.indexOf(stage);

/** `n` pictures, any of them as likely each time. */
export const choose = ({ pictures }: Workplace, random: Random, n: number): number[] =>
  Array.from({ length: n }, () => random.integer(0, pictures.count - 1));

/** What decides a stage's result: see {@linkcode Recipe}. */
export function runOf(
  { settings, configs, pictures }: Workplace,
  stage: Exclude<Stage, "tokenizer">,
) {
  const { seed } = settings;
  const { count, size } = pictures;
  const config = stage === "classifier" ? configs.classifier : configs[stage];
  return JSON.stringify({ stage, seed, pictures: count, size, ...settings[stage], config });
}

/** Captions as ids, u32 `[n, T]`; each caption is looked up once. */
export class Captions {
  readonly #known = new Map<string, readonly number[]>();
  readonly #length: number;
  readonly #tokenizer: Tokenizer;

  constructor({ tokenizer, configs }: Workplace) {
    this.#tokenizer = tokenizer;
    this.#length = Math.min(tokenizer.maxLength, configs.text_encoder.positions);
  }

  /** Ids of one caption, padded. */
  one(caption: string): readonly number[] {
    let ids = this.#known.get(caption);
    if (!ids) {
      this.#known.set(caption, ids = this.#tokenizer.encodePadded(caption, this.#length));
    }
    return ids;
  }

  /** @param change puts another id in the place of one that caption i holds */
  ids(
    captions: readonly string[],
    change: (id: number, i: number) => number = (id) => id,
  ): Tensor {
    const flat = captions.flatMap((caption, i) => this.one(caption).map((id) => change(id, i)));
    return tensor(Uint32Array.from(flat), [captions.length, this.#length]);
  }
}
