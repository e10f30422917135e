/**
 * The pictures and words that a step sees (paper §3.2 and appendix). Read in this order: `prompts.ts` (how concepts are named),
 * `batches.ts` (a step's batch, a pure function of seed and step), `augment.ts` (sizes and places, and what captions say of
 * them; `resample.ts` does it), `captions.ts` (which text a picture gets), `regularization.ts` and `choose.ts` (the pictures of
 * the class that keep the model what it was).
 */
export type { Pixels } from "./resample.ts";
export type { CaptionedPicture, Concept } from "./batches.ts";
export {
  type ChooseOptions,
  chooseRegularization,
  type ChosenSet,
  type ComparingOptions,
  type PromptEncoder,
  rankCaptions,
} from "./choose.ts";
export { readRegularization } from "./regularization.ts";
