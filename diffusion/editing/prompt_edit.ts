/**
 * Prompt-to-Prompt (Hertz et al. 2022): a picture is edited by its prompt. Source and edited prompt are sampled side by
 * side from the same noise; while the picture takes shape, the edited one attends as the source does, so that it keeps
 * the composition.
 */
import { MODEL } from "../given.ts";
import { expectKinds, TEXT } from "../../tensor/kinds.ts";
import { add, mul } from "../../ops/elementwise/arithmetic.ts";
import { greaterEqual, where } from "../../ops/elementwise/compare.ts";
import { tensor } from "../../ops/leaf.ts";
import { matmul } from "../../ops/matmul.ts";
import { concat } from "../../ops/concat.ts";
import { slice } from "../../ops/movement.ts";
import type { Picture } from "../../files/pictures/picture.ts";
import type { Tokenizer } from "../../models/clip/tokenizer.ts";
import type { AttentionControl, HookMaker } from "../attention_control.ts";
import type { Pipeline } from "../pipeline.ts";
import { type SampleOptions, samplerOf } from "../sample.ts";
import {
  phrasePositions,
  refinementMap,
  replacementMap,
  type TokenMap,
} from "./token_alignment.ts";

/** How much of a source's attention an edited picture takes, and what its words weigh. */
export interface EditChoices {
  /** Share of the steps, from the first, in which it attends to its prompt as the source does. Default 0.8. */
  readonly crossSteps?: number;
  /** The same for pixels attending to one another, in layers of up to 32×32 features. Default 0.4. */
  readonly selfSteps?: number;
  /** Factors on the attention to words or phrases of the edited prompt, in all steps: `{ hat: 2 }`. */
  readonly weights?: Readonly<Record<string, number>>;
  /**
   * `"replace"`: word by word; `"refine"`: along the tokens that both prompts have. Default: replace where both have as
   * many words, else refine.
   */
  readonly alignment?: "replace" | "refine";
}

/** Options of {@linkcode editPrompt}. */
export interface EditOptions extends Omit<SampleOptions, "batch" | "memory">, EditChoices {}

/** A picture before and after. */
export interface EditedPicture {
  /** What the model makes of the source prompt: the same as without an edit, but for rounding. */
  readonly source: Picture;
  /** What it makes of the edited one. */
  readonly edited: Picture;
}

/** An edit that was looked through. */
export interface EditPlan {
  /** Which tokens stand for which. */
  readonly map: TokenMap;
  /** Factors on the attention to each position, `[T]`. */
  readonly factors: Float32Array;
  /** Share of the steps in which the source's attention to the prompt is taken. */
  readonly crossSteps: number;
  /** Share of the steps in which its attention of pixels to one another is. */
  readonly selfSteps: number;
}

/**
 * Looks an edit through, before any work.
 *
 * @param length positions of a prompt, T
 * @throws RangeError for shares and weights that make no sense, a weight for words that the edited prompt has not, and
 * prompts that cannot be aligned as asked for
 */
export function planEdit(
  tokenizer: Tokenizer,
  length: number,
  from: string,
  to: string,
  { crossSteps = 0.8, selfSteps = 0.4, weights = {}, alignment }: EditChoices = {},
): EditPlan {
  for (const [name, share] of Object.entries({ crossSteps, selfSteps })) {
    if (!(share >= 0 && share <= 1)) {
      throw new RangeError(`${name} is ${share}: it is a share of the steps, from 0 to 1`);
    }
  }
  const [source, edited] = [from, to].map((prompt) => tokenizer.wordsOf(prompt));
  const factors = new Float32Array(length).fill(1);
  for (const [words, factor] of Object.entries(weights)) {
    if (!Number.isFinite(factor)) {
      throw new RangeError(`the weight of "${words}" is ${factor}: it must be a number`);
    }
    const positions = phrasePositions(edited, tokenizer.idsOf(words), length);
    if (!positions.length) {
      throw new RangeError(`the prompt "${to}" has no "${words}" that could be given a weight`);
    }
    for (const p of positions) factors[p] *= factor;
  }
  const replace = (alignment ?? (source.length === edited.length ? "replace" : "refine")) ===
    "replace";
  const map = (replace ? replacementMap : refinementMap)(source, edited, length);
  return { map, factors, crossSteps, selfSteps };
}

/**
 * Samples a prompt and an edited prompt together, once for each seed, all in one batch.
 *
 * Taught words may be in either prompt: both are asked of the model that is given, with its deltas.
 *
 * @param model with deltas or without
 * @param from the source prompt
 * @param to the edited one
 * @param options `seed` is one seed or several, 0 when left out
 * @returns a pair of pictures for each seed
 * @throws RangeError for options that make no sense
 */
export async function editPrompt(
  model: Pipeline,
  from: string,
  to: string,
  options: EditOptions = {},
): Promise<EditedPicture[]> {
  expectKinds("editPrompt", { model: [model, MODEL], from: [from, TEXT], to: [to, TEXT] });
  const { crossSteps, selfSteps, weights, alignment, seed = 0, ...sampling } = options;
  const length = model.tokenize([to]).shape.at(-1)!;
  const choices = { crossSteps, selfSteps, weights, alignment };
  const plan = planEdit(model.tokenizer, length, from, to, choices);
  const seeds = typeof seed === "number" ? [seed] : seed;
  if (!seeds.length) return [];
  const prompts = [from, to].flatMap((prompt) => seeds.map(() => prompt));
  const { pictures } = await samplerOf(model).watch(
    prompts,
    { ...sampling, seed: [...seeds, ...seeds], attention: editControl(plan) },
    model.params,
  );
  return seeds.map((_, i) => ({ source: pictures[i], edited: pictures[seeds.length + i] }));
}

/**
 * An edit as a walk takes it. The first half of the batch is sources, the second half their edits. Steps in which it
 * changes nothing are made without a hook.
 */
export function editControl({ map, factors, crossSteps, selfSteps }: EditPlan): AttentionControl {
  const length = factors.length;
  const from = tensor(map.from, [length, length]);
  const [own, weights] = [map.own, factors].map((values) => tensor(values));
  const weighted = factors.some((f) => f !== 1);
  return {
    hook: promptToPrompt,
    at(step, steps) {
      const [cross, self] = [crossSteps, selfSteps].map((s) => step < Math.round(s * steps));
      if (!cross && !self && !weighted) return undefined;
      const gate = (on: boolean) => tensor(Float32Array.of(on ? 1 : 0));
      return { cross: gate(cross), self: gate(self), from, own, weights };
    },
  };
}

/** Self-attention is taken over in layers of at most this many features: finer ones hold texture, and much memory. */
const SELF_FEATURES = 32 ** 2;

/** The hook of an edit. The answers without a prompt, which guidance asks for, stay as they are. */
export const promptToPrompt: HookMaker = ({ given, pictures }) => ({ kind, cells: [h, w] }) => {
  if (kind === "self" && h * w > SELF_FEATURES) return undefined;
  return (probabilities) => {
    const all = probabilities.shape[0], first = all - pictures, middle = first + pictures / 2;
    const source = slice(probabilities, 0, first, middle);
    const edited = slice(probabilities, 0, middle, all);
    const on = greaterEqual(given[kind], 1);
    const taken = kind === "self"
      ? source
      : add(matmul(source, given.from), mul(edited, given.own));
    const chosen = where(on, taken, edited);
    const next = kind === "self" ? chosen : mul(chosen, given.weights);
    return concat([slice(probabilities, 0, 0, middle), next], 0);
  };
};
