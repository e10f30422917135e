/**
 * Collections of pictures with captions, in the forms that people have them in: listed first, pictures read when they
 * are wanted. A set of millions is looked through by its captions, and a few hundred of its pictures are decoded.
 */
import { expectKinds, FUNCTION } from "../tensor/kinds.ts";
import { PATH } from "./given.ts";
import { captionInJson, isMetadata, METADATA, readMetadata } from "./pictures/caption_lists.ts";
import { FileError } from "./errors.ts";
import { decodePicture, maskOf, picturesIn } from "./pictures/image.ts";
import { isPictureName } from "./kinds.ts";
import { isFile, isFolder } from "./paths.ts";
import type { Picture } from "./pictures/picture.ts";
import {
  bare,
  isArchive,
  openArchive,
  openFolder,
  type Place,
  readTextIn,
  type Remark,
  remarkOn,
} from "./place.ts";
import { linesIn } from "./text.ts";

/** A picture of a collection, not read yet. */
export interface CaptionedFile {
  /** Its path, or the archive and its path in there. */
  readonly name: string;
  /** What is said of it; undefined where nothing is. */
  readonly caption?: string;
  /** The name of its foreground mask, `<name>.mask.png` beside it. */
  readonly mask?: string;
  /** Decodes it. Rejects with `FileError` if it can't be. */
  readonly read: () => Promise<Picture>;
  /** Decodes its mask, where it has one. */
  readonly readMask?: () => Promise<Picture>;
}

/** Files that hold a caption for each picture, a line each, in the order of the pictures; and what lists those. */
const LISTS = ["caption.txt", "captions.txt"], IMAGES = "images.txt";

/** Endings of a caption beside its picture; the first that says something counts. */
const BESIDE = [".txt", ".caption", ".json"];

/** Whether a path is that of a collection and not of a text: a folder, an archive, or a list of pictures. */
export const isCollection = async (path: string): Promise<boolean> =>
  isArchive(bare(path)) || isMetadata(bare(path)) || await isFolder(path);

/** Whether a file in a folder makes it a collection even if no picture lies in it. */
export const holdsPictures = (name: string): boolean =>
  !name.startsWith(".") &&
  (isPictureName(name) || isArchive(name) || METADATA.includes(name) || name === IMAGES);

/**
 * Lists a collection. It may be a folder, a tar or zip archive, or a folder of archives, of
 *
 * - pictures, with the caption of `a.jpg` in `a.txt` or `a.caption` beside it, or as `caption` in `a.json`, as webdataset
 *   has them;
 * - pictures and `caption.txt` (or `captions.txt`), a line for each picture in the order of their names, or in that of
 *   `images.txt`, whose lines are paths, where there is one;
 * - pictures and `metadata.jsonl`, `{"file_name": "a.jpg", "text": "a dog"}` (or `caption`, `prompt`), or `metadata.csv`
 *   with such columns.
 *
 * Or it may be such a `.jsonl` or `.csv` file itself. The pictures of an archive come in its order, those of a folder in that
 * of their names.
 *
 * @param remark called with what is left out of a folder
 * @throws FileError naming the folder or list that can't be used, or that holds no pictures
 */
export async function listCaptioned(
  path: string,
  remark: (text: string) => void = () => {},
): Promise<CaptionedFile[]> {
  expectKinds("listCaptioned", { path: [path, PATH], remark: [remark, FUNCTION] });
  const root = bare(path);
  if (isArchive(root)) return await listArchive(root, remark);
  if (isMetadata(root) && await isFile(root)) {
    const cut = Math.max(root.lastIndexOf("/"), root.lastIndexOf("\\"));
    const folder = cut < 0 ? "." : root.slice(0, cut) || "/";
    return await listMetadata(await openFolder(folder, false), root.slice(cut + 1));
  }
  const place = await openFolder(root);
  const archives = place.files.filter(isArchive);
  const own = archives.length && !place.files.some((name) => METADATA.includes(name));
  if (!own) return await listPlace(place, remark);
  remarkOn(place, archives.length, "archive", new Set(archives), remark);
  const all: CaptionedFile[] = [];
  for (const name of archives) {
    for (const one of await listArchive(`${root}/${name}`, remark)) all.push(one);
  }
  return all;
}

async function listArchive(
  path: string,
  remark: Remark,
): Promise<CaptionedFile[]> {
  const all: CaptionedFile[] = [];
  const without: Place[] = [];
  const { places, order } = await openArchive(path);
  // What a list names may lie deeper than the list: it is not looked for there once more.
  const listing = places.filter(({ files }) =>
    files.some((f) => METADATA.includes(f) || f === IMAGES)
  )
    .map(({ name }) => name === path ? `${path}: ` : `${name}/`);
  for (const place of places) {
    if (listing.some((above) => place.name.startsWith(above))) continue;
    if (!place.files.some((name) => holdsPictures(name))) without.push(place);
    else for (const one of await listPlace(place, remark)) all.push(one);
  }
  if (!all.length) throw new FileError(path, "holds no pictures");
  for (const place of without) remarkOn(place, 0, "picture", new Set(), remark);
  const rank = new Map(order.map((name, i) => [name, i]));
  return all.sort((a, b) => (rank.get(a.name) ?? Infinity) - (rank.get(b.name) ?? Infinity) || 0);
}

async function listPlace(
  place: Place,
  remark: Remark,
): Promise<CaptionedFile[]> {
  const files = new Set(place.files), used = new Set<string>();
  const metadata = METADATA.find((name) => files.has(name));
  const list = LISTS.find((name) => files.has(name));
  const found = metadata !== undefined
    ? await listMetadata(place, metadata, used)
    : list !== undefined
    ? await listLines(place, list, files.has(IMAGES), used)
    : await listBeside(place, used);
  remarkOn(place, found.length, "picture", used, remark);
  return found;
}

/** @param used gets the names of the files that are used */
async function entryOf(
  place: Place,
  file: string,
  caption: string | undefined,
  used?: Set<string>,
): Promise<CaptionedFile> {
  const mask = maskOf(file);
  const masked = await place.has(mask);
  used?.add(file);
  if (masked) used?.add(mask);
  const reader = (name: string) => async () =>
    await decodePicture(await place.read(name), place.path(name));
  return {
    name: place.path(file),
    ...(caption && { caption }),
    ...(masked && { mask: place.path(mask), readMask: reader(mask) }),
    read: reader(file),
  };
}

async function listBeside(place: Place, used: Set<string>): Promise<CaptionedFile[]> {
  // By lower-case endings: cameras and Windows write some of them in capitals.
  const byStem = new Map<string, string>();
  for (const file of place.files) {
    const ending = /\.[^.]+$/.exec(file)?.[0] ?? "";
    if (BESIDE.includes(ending.toLowerCase())) {
      byStem.set(file.slice(0, -ending.length) + ending.toLowerCase(), file);
    }
  }
  const found: CaptionedFile[] = [];
  for (const picture of await picturesIn(place)) {
    const stem = picture.replace(/\.[^.]+$/, "");
    let caption: string | undefined;
    for (const ending of BESIDE) {
      const file = byStem.get(stem + ending);
      if (file === undefined) continue;
      used.add(file);
      if (caption) continue;
      const text = await readTextIn(place, file);
      caption = ending === ".json" ? captionInJson(text, place.path(file)) : text.trim();
    }
    found.push(await entryOf(place, picture, caption, used));
  }
  return found;
}

const linesOf = async (place: Place, file: string): Promise<string[]> =>
  linesIn(await readTextIn(place, file)).map((line) => line.trim()).filter(Boolean);

async function listLines(
  place: Place,
  list: string,
  named: boolean,
  used: Set<string>,
): Promise<CaptionedFile[]> {
  const captions = await linesOf(place, list);
  const pictures = named ? await linesOf(place, IMAGES) : await picturesIn(place);
  if (captions.length !== pictures.length) {
    throw new FileError(
      place.path(list),
      `has ${captions.length} captions for ${pictures.length} pictures`,
      "A line for each picture is needed",
    );
  }
  if (!pictures.length) throw new FileError(place.name, "lists no pictures");
  used.add(list);
  if (named) used.add(IMAGES);
  const found: CaptionedFile[] = [];
  for (const [i, file] of pictures.entries()) {
    found.push(await entryOf(place, file, captions[i], used));
  }
  return found;
}

async function listMetadata(
  place: Place,
  list: string,
  used?: Set<string>,
): Promise<CaptionedFile[]> {
  used?.add(list);
  const found: CaptionedFile[] = [];
  for (
    const { file, caption } of await readMetadata(await readTextIn(place, list), place.path(list))
  ) {
    found.push(await entryOf(place, file, caption, used));
  }
  return found;
}
