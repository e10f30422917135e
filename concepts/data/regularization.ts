/**
 * The regularization set (§3.2 of the paper): pictures of the class with captions, which keep the model what it was
 * while it learns the new thing. They come from a folder, or from the model itself;
 * `choose.ts` finds them in a collection.
 */
import { expectKinds, FUNCTION, TEXT } from "../../tensor/kinds.ts";
import { PATH } from "../../files/given.ts";
import type { Sampler } from "../../diffusion/sample.ts";
import { makeFolder, writeFileAtomic } from "../../files/atomic.ts";
import { FileError } from "../../files/errors.ts";
import { listCaptioned } from "../../files/collection.ts";
import { type Picture, readPicture } from "../../files/pictures/image.ts";
import { readText } from "../../files/text.ts";
import { isFile } from "../../files/paths.ts";
import { writePng } from "../../files/pictures/png.ts";
import type { CaptionedPicture } from "./batches.ts";

/**
 * Reads a whole collection (see {@linkcode listCaptioned}) as a regularization set; pictures without a caption get
 * `otherwise`.
 *
 * @param prepare makes a picture square and of the size that is trained at
 * @param remark called with what is left out of a folder
 * @throws FileError naming the folder, picture or list that cannot be used
 */
export async function readRegularization(
  path: string,
  otherwise: string,
  prepare: (picture: Picture) => Picture,
  remark?: (text: string) => void,
): Promise<CaptionedPicture[]> {
  expectKinds("readRegularization", {
    path: [path, PATH],
    otherwise: [otherwise, TEXT],
    prepare: [prepare, FUNCTION],
    "remark?": [remark, FUNCTION],
  });
  const set: CaptionedPicture[] = [];
  for (const { caption = otherwise, read } of await listCaptioned(path, remark)) {
    set.push({ picture: prepare(await read()), caption });
  }
  return set;
}

/** What a generated set is made from; a set in a folder is used again only when all of it is the same. */
export interface GeneratedSet {
  /** What is asked of the model, "photo of a dog"; every picture's caption too. */
  readonly prompt: string;
  /** How many. */
  readonly count: number;
  /** Seed of the first; the next ones count on. */
  readonly seed: number;
  /** Sampling steps (DDIM). */
  readonly steps: number;
  /** Classifier-free guidance. */
  readonly guidance: number;
  /** Pixels of a side. */
  readonly size: number;
  /** The model's fingerprint. */
  readonly base: string;
}

/** How a set is generated. */
export interface GenerateOptions {
  /** Called with the number of finished pictures. */
  readonly onPicture?: (done: number) => void;
  /** Stops between two sampling steps; what is finished stays in the folder. */
  readonly signal?: AbortSignal;
  /** Pictures sampled at once. */
  readonly batch?: number;
  /** Bytes of GPU memory to stay within. */
  readonly memory?: number;
  /** Pictures that are there and were made otherwise may be replaced. */
  readonly replace?: boolean;
}

/**
 * Pictures that the model itself makes of the class, kept in a folder: a set that was cut off goes on where it stopped,
 * and a finished one is read back.
 *
 * @throws FileError when the folder holds pictures that were made otherwise, or by somebody else
 */
export async function generateRegularization(
  sampler: Sampler,
  folder: string,
  set: GeneratedSet,
  options: GenerateOptions = {},
): Promise<CaptionedPicture[]> {
  await makeFolder(folder);
  const { count, ...recipe } = set;
  const kept = await keptPictures(folder, JSON.stringify(recipe), options.replace);
  const { batch = 4, memory, signal, onPicture } = options;
  for (let at = kept; at < count; at += batch) {
    if (at === kept) onPicture?.(at);
    const seeds = Array.from({ length: batch }, (_, i) => (set.seed + at + i) % 2 ** 32);
    const made = await sampler.generate(seeds.map(() => set.prompt), {
      seed: seeds,
      steps: set.steps,
      guidance: set.guidance,
      eta: 0,
      width: set.size,
      height: set.size,
      batch,
      memory,
      signal,
      onStep: (done, steps) => onPicture?.(at + Math.min(batch, count - at) * done / steps),
    });
    for (const [i, picture] of made.slice(0, count - at).entries()) {
      await writePng(nameOf(folder, at + i), picture, { prompt: set.prompt });
    }
  }
  onPicture?.(count);
  const pictures: CaptionedPicture[] = [];
  for (let i = 0; i < count; i++) {
    pictures.push({ picture: await readPicture(nameOf(folder, i)), caption: set.prompt });
  }
  return pictures;
}

const nameOf = (folder: string, i: number): string => `${folder}/${String(i).padStart(4, "0")}.png`;

/** How many pictures of this very recipe the folder holds, without a gap. */
async function keptPictures(folder: string, recipe: string, replace = false): Promise<number> {
  const note = `${folder}/recipe.json`;
  if (!await isFile(note) || await readText(note) !== recipe) {
    if (!replace && await isFile(nameOf(folder, 0))) {
      throw new FileError(
        folder,
        "holds pictures that were made otherwise than is asked for now",
        "Ask for what was asked for then, name another folder, or start again by --overwrite",
      );
    }
    await writeFileAtomic(note, recipe);
    return 0;
  }
  let n = 0;
  while (await isFile(nameOf(folder, n))) n++;
  return n;
}
