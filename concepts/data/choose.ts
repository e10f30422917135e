/**
 * The regularization set of the paper (§3.2): real pictures whose captions are near the class prompt, by the cosine of
 * CLIP's text features. Found in the user's own collection, since the public index that served them is gone.
 */
import { PATH } from "../../files/given.ts";
import {
  expectKinds,
  FUNCTION,
  having,
  type Kind,
  listOf,
  RECORD,
  TEXT,
} from "../../tensor/kinds.ts";
import type { CaptionedFile } from "../../files/collection.ts";
import { FileError } from "../../files/errors.ts";
import type { Picture } from "../../files/pictures/image.ts";
import type { OnWarning } from "../../models/text_window.ts";
import { figures } from "../../numerics/quantities.ts";
import type { CaptionedPicture } from "./batches.ts";

/** Text features by CLIP, one row of `size` numbers a text. A `ClipScorer` is one. */
export interface PromptEncoder {
  /** One row a text, not normalized. */
  prompts(
    texts: readonly string[],
    options?: ComparingOptions,
  ): Promise<{ readonly size: number; readonly data: Float64Array }>;
}

const ENCODER: Kind = having("what encodes prompts, as openClip gives it", "prompts");

/** Who hears of captions that are compared. */
export interface ComparingOptions {
  /** Hears of captions that are longer than CLIP reads. */
  readonly onWarning?: OnWarning;
  /** Called with how many distinct captions are encoded. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** How many are chosen, and how near they must be. */
export interface ChooseOptions extends ComparingOptions {
  /** At most so many. Default 200. */
  readonly count?: number;
  /** The cosine must be over this. Default 0.85. */
  readonly similarity?: number;
}

/** The paper's numbers. */
export const CHOOSING: Required<Pick<ChooseOptions, "count" | "similarity">> = {
  count: 200,
  similarity: 0.85,
};

/** What was found for a class. */
export interface ChosenSet {
  /** The nearest first, each with its own caption. */
  readonly pictures: CaptionedPicture[];
  /** Their cosines with the class prompt. */
  readonly similarities: number[];
  /** How many captions were compared. */
  readonly compared: number;
  /** How many of them were near enough. */
  readonly near: number;
  /** What was wrong with pictures that were to be chosen and could not be read; the next ones took their places. */
  readonly unreadable: string[];
}

/**
 * Cosines of captions with a prompt, and the captions in order of them: the nearest first, of equals the earlier.
 *
 * @returns indices into `captions` with their cosines
 */
export async function rankCaptions(
  encoder: PromptEncoder,
  prompt: string,
  captions: readonly string[],
  options?: ComparingOptions,
): Promise<{ index: number; similarity: number }[]> {
  expectKinds("rankCaptions", {
    encoder: [encoder, ENCODER],
    prompt: [prompt, TEXT],
    captions: [captions, listOf(TEXT)],
  });
  const { size, data } = await encoder.prompts([prompt, ...captions], options);
  const row = (i: number) => data.subarray(i * size, (i + 1) * size);
  const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, x, k) => sum + x * b[k], 0);
  const wanted = row(0), length = Math.sqrt(dot(wanted, wanted));
  return captions.map((_, index) => {
    const one = row(index + 1);
    const cosine = dot(wanted, one) / (length * Math.sqrt(dot(one, one)));
    // Rounding must not put a caption above the prompt itself.
    return { index, similarity: Math.min(1, cosine) };
  }).sort((a, b) => b.similarity - a.similarity || a.index - b.index);
}

/**
 * Chooses a class's regularization set from a collection: captions above the similarity, the nearest first, so many.
 *
 * @param path of the collection, for errors
 * @param prompt of the class, "photo of a dog"
 * @param prepare makes a picture square and of the size that is trained at
 * @throws FileError when nothing has a caption, when none is near enough (naming the best), or none can be read
 */
export async function chooseRegularization(
  collection: readonly CaptionedFile[],
  path: string,
  prompt: string,
  encoder: PromptEncoder,
  prepare: (picture: Picture) => Picture,
  options: ChooseOptions = {},
): Promise<ChosenSet> {
  expectKinds("chooseRegularization", {
    collection: [collection, listOf(RECORD)],
    path: [path, PATH],
    prompt: [prompt, TEXT],
    encoder: [encoder, ENCODER],
    prepare: [prepare, FUNCTION],
  });
  const { count = CHOOSING.count, similarity: least = CHOOSING.similarity } = options;
  const captioned = collection.filter((one) => one.caption !== undefined);
  if (!captioned.length) {
    throw new FileError(path, "has no captions", "Put one beside each picture: a.txt for a.jpg");
  }
  const ranked = await rankCaptions(
    encoder,
    prompt,
    captioned.map((one) => one.caption!),
    options,
  );
  const near = ranked.filter(({ similarity }) => similarity > least);
  if (!near.length) {
    const [{ index, similarity }] = ranked;
    throw new FileError(
      path,
      `none of ${captioned.length} captions is nearer than ${least} to "${prompt}": the best is ` +
        `"${captioned[index].caption}" at ${figures(similarity)}`,
      "Lower --prior-similarity, add pictures of the class, or leave --prior-from out",
    );
  }
  const pictures: CaptionedPicture[] = [], similarities: number[] = [], unreadable: string[] = [];
  for (const { index, similarity } of near) {
    if (pictures.length === count) break;
    const { caption, read } = captioned[index];
    try {
      pictures.push({ picture: prepare(await read()), caption: caption! });
      similarities.push(similarity);
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      unreadable.push(error.message);
    }
  }
  if (!pictures.length) {
    throw new FileError(path, `none of ${near.length} pictures can be read: ${unreadable[0]}`);
  }
  return { pictures, similarities, compared: captioned.length, near: near.length, unreadable };
}
