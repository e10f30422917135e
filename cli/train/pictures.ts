/** The pictures of a training run, read and checked before a GPU is asked for: the concepts', and those of their classes. */
import type { CaptionedPicture, Concept } from "../../concepts/data/batches.ts";
import { fill } from "../../concepts/data/prompts.ts";
import { readRegularization } from "../../concepts/data/regularization.ts";
import { type CaptionedFile, listCaptioned } from "../../files/collection.ts";
import { FileError } from "../../files/errors.ts";
import { type Picture, resize } from "../../files/pictures/image.ts";
import { centreSquare } from "../../files/pictures/picture.ts";
import { asPeopleSort, type Remark } from "../../files/place.ts";
import { readLines } from "../../files/text.ts";
import { UsageError } from "../../terminal/errors.ts";
import type { ConceptRequest, TrainRequest } from "./request.ts";

/** The regularization of one class: read from a folder, to be chosen from a collection, or to be made. */
export interface ClassSet {
  /** "dog" */
  category: string;
  /** What is asked of the model or looked for, and every picture's caption unless it has its own. */
  prompt: string;
  /** Undefined where they are yet to be chosen or made. */
  pictures?: CaptionedPicture[];
  /** What to choose from, by the captions' similarity to the prompt. */
  collection?: readonly CaptionedFile[];
}

/** Zoomed-in examples are cut from pictures 1.4 times the side: more pixels would only cost memory. */
const MOST_ZOOM = 1.4;

/** A concept's pictures, cut to squares, with their captions and foreground masks. */
export async function readPhotos(
  { words, tokens, photos, caption, captions: list }: ConceptRequest,
  size: number,
  template: string,
  remark?: Remark,
): Promise<Required<Pick<Concept, "pictures" | "captions" | "masks">>> {
  const most = Math.ceil(MOST_ZOOM * size);
  const shrunk = (p: Picture) => p.width > most ? resize(p, most, most) : p;
  const files = await listCaptioned(photos, remark);
  const lines = list === undefined ? undefined : await readLines(list);
  if (lines && lines.length !== files.length) {
    throw new FileError(
      list!,
      `has ${lines.length} captions, and ${photos} has ${files.length} pictures`,
      "A line for each picture is needed, in the order of their names",
    );
  }
  if (lines) files.sort((a, b) => asPeopleSort(a.name, b.name));
  const pictures: Picture[] = [], masks: (Picture | undefined)[] = [], captions: string[] = [];
  for (const [i, file] of files.entries()) {
    const picture = await file.read();
    pictures.push(shrunk(centreSquare(picture)));
    masks.push(file.mask === undefined ? undefined : shrunk(await readMask(file, picture)));
    const own = lines?.[i] ?? file.caption;
    captions.push(own?.replaceAll("{}", words) ?? caption ?? fill(template, words));
  }
  const [token] = tokens;
  if (token !== undefined && !captions.some((text) => text.includes(token))) {
    throw new UsageError(
      `no caption of ${
        list ?? photos
      } has ${token}, so it would not train: write it, or {} where ` +
        `"${words}" goes`,
    );
  }
  return { pictures, masks, captions };
}

/** A foreground mask, cut as its picture is: white is foreground; mid-grey and what is darker is not. */
async function readMask(
  { mask: path = "", readMask }: CaptionedFile,
  { width, height }: Picture,
): Promise<Picture> {
  const mask = await readMask!();
  if (mask.width !== width || mask.height !== height) {
    const [own, other] = [`${mask.width}×${mask.height}`, `${width}×${height}`];
    throw new FileError(path, `is ${own}, and its picture ${other}`, "They must be of one size");
  }
  const square = centreSquare(mask);
  const data = new Uint8Array(square.data.length);
  for (let i = 0; i < data.length; i += 3) data.fill(square.data[i] > 128 ? 255 : 0, i, i + 3);
  if (data.some((v) => v > 0)) return { ...square, data };
  throw new FileError(path, "has no foreground in the middle square", "Paint it white there");
}

/** Makes a picture of a class square, and of the size that is trained at. */
export const squareOf = (size: number) => (picture: Picture): Picture => {
  const cut = centreSquare(picture);
  return cut.width === size ? cut : resize(cut, size, size);
};

/** The regularization of every class that has any, as far as it is there. */
export async function readClasses(
  request: TrainRequest,
  size: number,
  template: string,
  priorImages: number,
  remark?: Remark,
): Promise<ClassSet[]> {
  const classes: ClassSet[] = [];
  const from = request.prior?.from;
  const collection = from === undefined ? undefined : await listCaptioned(from, remark);
  for (const category of new Set(request.concepts.map((c) => c.category))) {
    const own = request.concepts.find((c) => c.category === category)?.classPrompt;
    const prompt = own ?? fill(template, category);
    const folder = request.regularization.find(({ name }) => name === category)?.path;
    if (folder !== undefined) {
      const pictures = await readRegularization(folder, prompt, squareOf(size), remark);
      classes.push({ category, prompt, pictures });
    } else if (collection || priorImages > 0) {
      classes.push({ category, prompt, ...(collection && { collection }) });
    }
  }
  return classes;
}
