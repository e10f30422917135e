/** All scores of a set of generated pictures at once: what `moongate evaluate` shows. */
import { PICTURE } from "../files/given.ts";
import { expectKinds, having, type Kind, listOf, TEXT } from "../tensor/kinds.ts";
import type { Picture } from "../files/pictures/picture.ts";
import type { OnWarning } from "../models/text_window.ts";
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
  /** Hears of prompts that are longer than CLIP reads. */
  readonly onWarning?: OnWarning;
  /** Called with how many pictures are encoded, then, for each score, how many draws of its interval are scored. */
  readonly onProgress?: (what: "pictures" | Score["score"], done: number, total: number) => void;
}

const SCORED: Kind = ["lists of pictures and texts, { generated, prompts, targets, real }", (x) => {
  const { generated, prompts, targets, real } = (x ?? {}) as Partial<ScoredPictures>;
  const [, pictures] = listOf(PICTURE), [, texts] = listOf(TEXT);
  return pictures(generated) && (prompts === undefined || texts(prompts)) &&
    [targets, real].every((set) => set === undefined || pictures(set));
}];

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
  pictures: ScoredPictures,
  { encoders = [], fidResamples, onWarning, onProgress, ...options }: ScoreOptions = {},
): Promise<Score[]> {
  expectKinds("scorePictures", {
    clip: [clip, having("a CLIP, as openClip gives it", "features", "prompts")],
    pictures: [pictures, SCORED],
  });
  const { generated, prompts, targets, real } = pictures;
  const scores: Score[] = [];
  const all = targets ? [clip, ...encoders] : [clip];
  const total = all.length * (generated.length + (targets?.length ?? 0)) + (real?.length ?? 0);
  let encoded = 0;
  const featuresOf = async (encoder: ImageEncoder, set: readonly Picture[]) => {
    const before = encoded;
    encoded += set.length;
    return await encoder.features(set, (n) => onProgress?.("pictures", before + n, total));
  };
  const drawn = (score: Score["score"]): BootstrapOptions => ({
    ...options,
    onDraw: (done, total) => onProgress?.(score, done, total),
  });
  onProgress?.("pictures", 0, total);
  const made = await featuresOf(clip, generated);
  if (prompts) {
    const words = await clip.prompts(prompts.map(withoutTokens), { onWarning });
    const estimate = textAlignmentEstimate(made, words, drawn("text alignment"));
    scores.push({ score: "text alignment", encoder: clip.name, ...estimate });
  }
  for (const encoder of targets ? all : []) {
    const own = encoder === clip ? made : await featuresOf(encoder, generated);
    const score = "image alignment";
    const estimate = imageAlignmentEstimate(own, await featuresOf(encoder, targets!), drawn(score));
    scores.push({ score, encoder: encoder.name, ...estimate });
  }
  if (real) {
    const world = await featuresOf(clip, real);
    const fid = frechetEstimate(made, world, { ...drawn("FID"), resamples: fidResamples ?? 100 });
    scores.push({ score: "KID", encoder: clip.name, ...kidEstimate(made, world, drawn("KID")) });
    scores.push({ score: "FID", encoder: clip.name, ...fid });
  }
  return scores;
}
