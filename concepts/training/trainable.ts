/**
 * What trains, as a mask over the parameter tree: Custom Diffusion's choice, and those of the methods that the paper
 * compares it with.
 */
import { expectKinds, having, listOf, TEXT } from "../../tensor/kinds.ts";
import { type Mask, mask, rows, type Selection } from "../../autograd/mask.ts";
import type { Pipeline } from "../../diffusion/pipeline.ts";
import type { MethodChoices, Trains } from "./methods.ts";

/** Patterns of parameter names by what trains. */
const PATTERNS: Readonly<Record<Trains, readonly string[]>> = {
  kv: ["unet.**.attn2.to_k.weight", "unet.**.attn2.to_v.weight"],
  attention: ["unet.**.attn2.**"],
  unet: ["unet.**"],
  token: [],
};

/**
 * The parameters that Custom Diffusion trains: cross-attention keys and values, and the tokens' rows.
 *
 * @param tokens new tokens that the pipeline knows; none where no word is to be taught
 * @param trains other parameters of the UNet than keys and values
 * @throws TypeError when nothing would train
 */
export function customDiffusionMask(
  pipeline: Pick<Pipeline, "config" | "params" | "tokenIds">,
  tokens: readonly string[],
  trains: Trains = "kv",
): Mask {
  expectKinds("customDiffusionMask", {
    pipeline: [
      pipeline,
      having("a model, as loadPipeline gives it", "config", "params", "tokenIds"),
    ],
    tokens: [tokens, listOf(TEXT)],
  });
  return trainingMask(pipeline, trains, tokens.flatMap((t) => pipeline.tokenIds(t)));
}

/** The new words of concepts that train: all, unless those are frozen. */
export const trainedWords = (
  concepts: readonly { readonly token: string }[],
  { freezeTokens = false }: Partial<Pick<MethodChoices, "freezeTokens">>,
): string[] => freezeTokens ? [] : concepts.map((c) => c.token).filter(Boolean);

/** What training of concepts changes: their tokens too, unless those are frozen. */
export function conceptMask(
  pipeline: Pick<Pipeline, "config" | "params" | "tokenIds">,
  concepts: readonly { readonly token: string }[],
  choices: Partial<Pick<MethodChoices, "trains" | "freezeTokens">>,
): Mask {
  return customDiffusionMask(pipeline, trainedWords(concepts, choices), choices.trains);
}

/** The same with rows of the token table by number. */
export function trainingMask(
  pipeline: Pick<Pipeline, "config" | "params">,
  trains: Trains,
  ids: readonly number[],
): Mask {
  const patterns: Record<string, Selection> = {};
  for (const pattern of PATTERNS[trains]) patterns[pattern] = true;
  const encoders = ["text_encoder", ...pipeline.config.text_encoder_2 ? ["text_encoder_2"] : []];
  for (const part of ids.length ? encoders : []) {
    patterns[`${part}.**.token_embedding.weight`] = rows(ids);
  }
  if (!Object.keys(patterns).length) {
    throw new TypeError("nothing would train: there is neither a new token nor a part of the UNet");
  }
  return mask(pipeline.params, patterns);
}
