/** All scores of a set of generated pictures at once: what `moongate evaluate` shows. */
import type { Picture } from "../files/picture.ts";
import { imageAlignmentEstimate, textAlignmentEstimate, withoutTokens } from "./alignment.ts";
import type { BootstrapOptions, Estimate } from "./bootstrap.ts";
import type { ClipScorer } from "./clip.ts";
import type { ImageEncoder } from "./encoder.ts";
import { frechetEstimate } from "./fid.ts";
import { kidEstimate } from "./kid.ts";

/** What is scored, and against what. */
export interface ScoredPictures {
  /** The pictures to score. */
  readonly generated: readonly Picture[];
  /** The prompt of each, for text alignment; words in angle brackets are taken out. */
  readonly prompts?: readonly string[];
  /** Pictures of the concept, for image alignment. */
  readonly targets?: readonly Picture[];
  /** Pictures that the generated ones should be spread like, for KID and FID; two or more. */
  readonly real?: readonly Picture[];
}

/** One score. */
export interface Score extends Estimate {
  /** What is measured. */
  readonly score: "text alignment" | "image alignment" | "KID" | "FID";
  /** Whose features it is measured in: {@linkcode ImageEncoder.name}. */
  readonly encoder: string;
}

/** Options of {@linkcode scorePictures}. */
export interface ScoreOptions extends BootstrapOptions {
  /** More image encoders, a DINO for instance: image alignment is measured by each. */
  readonly encoders?: readonly ImageEncoder[];
  /** Draws for FID's interval, each of which takes a decomposition. Default 100. */
  readonly fidResamples?: number;
}

/**
 * Scores pictures by all that they can be compared with: prompts, targets, real pictures.
 *
 * KID and FID are of CLIP's features (as in CMMD and clean-fid's CLIP-FID), not of Inception's: they are comparable among
 * each other only.
 *
 * @throws RangeError when there is not one prompt for each picture, a set is empty, or has fewer than two pictures for
 *   KID and FID
 */
export async function scorePictures(
  clip: ClipScorer,
  { generated, prompts, targets, real }: ScoredPictures,
  { encoders = [], fidResamples, ...options }: ScoreOptions = {},
): Promise<Score[]> {
  const scores: Score[] = [];
  const made = await clip.features(generated);
  if (prompts) {
    const words = await clip.prompts(prompts.map(withoutTokens));
    const estimate = textAlignmentEstimate(made, words, options);
    scores.push({ score: "text alignment", encoder: clip.name, ...estimate });
  }
  for (const encoder of targets ? [clip, ...encoders] : []) {
    const own = encoder === clip ? made : await encoder.features(generated);
    const estimate = imageAlignmentEstimate(own, await encoder.features(targets!), options);
    scores.push({ score: "image alignment", encoder: encoder.name, ...estimate });
  }
  if (real) {
    const world = await clip.features(real);
    const fid = frechetEstimate(made, world, { ...options, resamples: fidResamples ?? 100 });
    scores.push({ score: "KID", encoder: clip.name, ...kidEstimate(made, world, options) });
    scores.push({ score: "FID", encoder: clip.name, ...fid });
  }
  return scores;
}
