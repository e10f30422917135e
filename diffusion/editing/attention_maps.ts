/**
 * Where a picture attends to each word of its prompt, averaged over steps, layers and heads (Custom Diffusion, Figure
 * 16; Hertz et al. 2022, Figure 4).
 */
import { MODEL } from "../given.ts";
import { expectKinds, having, type Kind, listOf, TEXT } from "../../tensor/kinds.ts";
import { mean } from "../../ops/reduce.ts";
import { upsampleNearest } from "../../ops/concat.ts";
import { reshape, slice } from "../../ops/movement.ts";
import { type Picture, zoom } from "../../files/pictures/picture.ts";
import { sheet } from "../../files/pictures/sheet.ts";
import type { AttentionControl, HookMaker } from "../attention_control.ts";
import type { Pipeline } from "../pipeline.ts";
import { type SampleOptions, samplerOf } from "../sample.ts";
import { wordPositions } from "./token_alignment.ts";

/** Options of {@linkcode attentionMaps}. */
export type AttentionMapOptions = Omit<SampleOptions, "batch" | "memory">;

/** The map of a word. */
export interface WordMap {
  /** As the tokenizer reads it: lower case, punctuation apart. */
  readonly word: string;
  /** The attention that each place pays to all of its tokens, `[height, width]`, from 0 to 1. */
  readonly map: Float32Array;
}

const MAPS: Kind = having("what attentionMaps gives", "picture", "words", "positions");

/** A picture, and where it attends to what. */
export interface AttentionMaps {
  /** The picture. */
  readonly picture: Picture;
  /** What it was to show. */
  readonly prompt: string;
  /** Of the latent, in places. */
  readonly height: number;
  /** Of the latent, in places. */
  readonly width: number;
  /** Every position of the prompt, `[height, width, T]`: start, words, end, padding. Each place's sum to 1. */
  readonly positions: Float32Array;
  /** The prompt's words in order; those that are cut off are missing. */
  readonly words: readonly WordMap[];
}

/**
 * Samples one picture for each prompt, all in one batch, and keeps what they attend to. Coarser layers count as much as
 * finer ones; each of their features stands for the places that it covers.
 *
 * @throws RangeError for options that make no sense
 */
export async function attentionMaps(
  model: Pipeline,
  prompts: readonly string[],
  options: AttentionMapOptions = {},
): Promise<AttentionMaps[]> {
  expectKinds("attentionMaps", { model: [model, MODEL], prompts: [prompts, listOf(TEXT)] });
  if (!prompts.length) return [];
  const sampler = samplerOf(model);
  const [height, width] = sampler.latentShape(options);
  const length = model.tokenize(prompts).shape.at(-1)!;
  const attention = recordControl([height, width], length)(prompts.length);
  const watched = await sampler.watch(prompts, { ...options, attention }, model.params);
  const size = height * width * length;
  return watched.pictures.map((picture, i) => {
    const positions = watched.recorded!.slice(i * size, (i + 1) * size);
    return {
      ...{ picture, prompt: prompts[i], height, width, positions },
      words: wordMaps(model, prompts[i], positions, length),
    };
  });
}

/** Records the mean over heads of each layer's attention to the prompt, on the latent's grid. */
export const recordCross: HookMaker = ({ pictures, latent, record }) => ({ kind, cells }) => {
  if (kind === "self") return undefined;
  return (probabilities) => {
    const all = probabilities.shape[0];
    const heads = mean(slice(probabilities, 0, all - pictures, all), [1]);
    const grid = reshape(heads, [pictures, ...cells, heads.shape[2]]);
    record(upsampleNearest(grid, latent[0] / cells[0]));
    return probabilities;
  };
};

/** Recording on a latent's grid, for prompts of so many positions, as a walk of so many pictures takes it. */
export const recordControl =
  ([height, width]: readonly [number, number], length: number) =>
  (pictures: number): AttentionControl => ({
    ...{ hook: recordCross, at: () => ({}) },
    recorded: [pictures, height, width, length],
  });

function wordMaps(
  { tokenizer }: Pipeline,
  prompt: string,
  positions: Float32Array,
  length: number,
): WordMap[] {
  const words = tokenizer.wordsOf(prompt);
  const places = wordPositions(words, length);
  return words.flatMap((ids, w) => {
    if (!places[w].length) return [];
    const map = Float32Array.from(
      { length: positions.length / length },
      (_, place) => places[w].reduce((sum, p) => sum + positions[place * length + p], 0),
    );
    return [{ word: tokenizer.decode(ids, { special: true }), map }];
  });
}

/**
 * Pictures with the maps of their words beside them, a row for each. Each map runs from black, no attention, to white,
 * its own maximum: maps of different words are compared by their shapes.
 */
export function attentionSheet(
  maps: readonly AttentionMaps[],
  options: { readonly zoom?: number } = {},
): Picture {
  expectKinds("attentionSheet", { maps: [maps, listOf(MAPS)] });
  if (!maps.length) throw new RangeError("attentionSheet: there are no pictures to show");
  const rows = maps.map(({ picture, words, width, height }) => [
    picture,
    ...words.map(({ map }) => zoom(shades(map, width, height), picture.width / width)),
  ]);
  const labels = maps.map(({ words }) => ["", ...words.map(({ word }) => word)]);
  return sheet(rows, { titles: maps.map(({ prompt }) => prompt), labels, ...options });
}

function shades(map: Float32Array, width: number, height: number): Picture {
  const top = map.reduce((a, b) => Math.max(a, b), 0) || 1;
  const data = Uint8Array.from(
    { length: 3 * map.length },
    (_, i) => Math.round(255 * map[Math.floor(i / 3)] / top),
  );
  return { width, height, data };
}
