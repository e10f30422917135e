/**
 * Collections of pictures with captions, in the forms that people have them in: listed first, pictures read when they
 * are wanted. A set of millions is looked through by its captions, and a few hundred of its pictures are decoded.
 */
import { FileError } from "./errors.ts";
import { decodePicture, listPictures, MASK_ENDING, readPicture } from "./image.ts";
import { parseJsonObject } from "./json.ts";
import { readText } from "./text.ts";
import { namesIn } from "./paths.ts";
import type { Picture } from "./picture.ts";
import { fileSource } from "./source.ts";
import { type TarMember, tarMembers } from "./tar.ts";

/** A picture of a collection, not read yet. */
export interface CaptionedFile {
  /** Its path, or the archive and its path in there. */
  readonly name: string;
  /** What is said of it; undefined where nothing is. */
  readonly caption?: string;
  /** The path of its foreground mask, `<name>.mask.png` beside it. */
  readonly mask?: string;
  /** Decodes it. Rejects with `FileError` if it can't be. */
  readonly read: () => Promise<Picture>;
}

/** Files in a folder that hold a caption for each picture, a line each, in the order of the pictures. */
const LISTS = ["caption.txt", "captions.txt"];
const METADATA = "metadata.jsonl";

/**
 * Lists a collection. It may be
 *
 * - a folder of pictures, with the caption of `a.jpg` in `a.txt` beside it;
 * - a folder with `caption.txt` (or `captions.txt`), a line for each picture in the order of their names, or in that of
 *   `images.txt`, whose lines are paths, where there is one;
 * - a folder with `metadata.jsonl`, or such a file: `{"file_name": "a.jpg", "text": "a dog"}` (or `caption`, `prompt`);
 * - a tar archive as webdataset has it (`000.jpg` with `000.txt`, or with `caption` in `000.json`), or a folder of those.
 *
 * @throws FileError naming the folder or list that can't be used, or that holds no pictures
 */
export async function listCaptioned(path: string): Promise<CaptionedFile[]> {
  const folder = path.replace(/(?<=.)[/\\]+$/, "");
  if (/\.jsonl$/i.test(folder)) return await listMetadata(folder);
  if (/\.(tar|tgz|tar\.\w+)$/i.test(folder)) return await listArchive(folder);
  const names = new Set(await namesIn(folder));
  if (names.has(METADATA)) return await listMetadata(`${folder}/${METADATA}`);
  const list = LISTS.find((name) => names.has(name));
  if (list) return await listLines(folder, list, names.has("images.txt"));
  const archives = [...names].filter((name) => /\.tar$/i.test(name)).sort();
  const all: CaptionedFile[] = [];
  for (const name of archives) all.push(...await listArchive(`${folder}/${name}`));
  if (all.length) return all;
  for (const picture of await listPictures(folder)) {
    const stem = picture.slice(folder.length + 1).replace(/\.[^.]+$/, "");
    const caption = names.has(`${stem}.txt`)
      ? (await readText(`${folder}/${stem}.txt`)).trim()
      : undefined;
    all.push(fileEntry(picture, caption, names));
  }
  return all;
}

/** A picture on disk; `names` are those in its folder, where they are known. */
function fileEntry(path: string, caption: string | undefined, names?: Set<string>): CaptionedFile {
  const mask = path.replace(/\.[^./\\]+$/, MASK_ENDING);
  const has = names?.has(mask.slice(Math.max(mask.lastIndexOf("/"), mask.lastIndexOf("\\")) + 1));
  return {
    name: path,
    ...(caption && { caption }),
    ...(has && { mask }),
    read: () => readPicture(path),
  };
}

/** A path that a list in a folder names. */
const within = (folder: string, path: string): string =>
  /^([/\\]|\w:)/.test(path) ? path : `${folder}/${path}`;

/** Lines of a text file that are not empty. */
export const linesOf = async (file: string): Promise<string[]> =>
  (await readText(file)).split(/\r?\n/).map((l) => l.trim()).filter(Boolean);

async function listLines(folder: string, list: string, named: boolean): Promise<CaptionedFile[]> {
  const captions = await linesOf(`${folder}/${list}`);
  const names = new Set(await namesIn(folder));
  const paths = named
    ? (await linesOf(`${folder}/images.txt`)).map((p) => within(folder, p))
    : await listPictures(folder);
  if (captions.length !== paths.length) {
    throw new FileError(
      `${folder}/${list}`,
      `has ${captions.length} captions for ${paths.length} pictures`,
      "A line for each picture is needed",
    );
  }
  if (!paths.length) throw new FileError(folder, "lists no pictures");
  return paths.map((path, i) => fileEntry(path, captions[i], named ? undefined : names));
}

/** The keys that captions go by in Hugging Face's image folders. */
const CAPTION_KEYS = ["text", "caption", "prompt"];

async function listMetadata(file: string): Promise<CaptionedFile[]> {
  const folder = file.replace(/[/\\]?[^/\\]*$/, "") || ".";
  const found: CaptionedFile[] = [];
  for (const [i, line] of (await readText(file)).split(/\r?\n/).entries()) {
    if (!line.trim()) continue;
    const entry = parseJsonObject(line, file, `line ${i + 1}`);
    if (typeof entry.file_name !== "string") {
      throw new FileError(file, `line ${i + 1} has no "file_name"`, "Each names its picture");
    }
    const caption = CAPTION_KEYS.map((key) => entry[key]).find((v) => typeof v === "string");
    found.push(fileEntry(within(folder, entry.file_name), (caption as string | undefined)?.trim()));
  }
  if (found.length) return found;
  throw new FileError(file, "lists no pictures");
}

/** What belongs together in a webdataset: members with the same path up to the first dot of their names. */
async function listArchive(path: string): Promise<CaptionedFile[]> {
  const source = await fileSource(path);
  const samples = new Map<string, { picture?: TarMember; text?: string; json?: string }>();
  try {
    for await (const member of tarMembers(source)) {
      const [, key, ending] = /^((?:.*\/)?[^/.]+)\.([^/]+)$/.exec(member.name) ?? [];
      if (key === undefined) continue;
      const sample = samples.get(key) ?? {};
      const whole = async () =>
        new TextDecoder().decode(await source.read(member.offset, member.size));
      if (/^(png|jpe?g|webp)$/i.test(ending)) sample.picture = member;
      else if (/^(txt|caption)$/i.test(ending)) sample.text = (await whole()).trim();
      else if (/^json$/i.test(ending)) sample.json = captionIn(await whole(), path, member.name);
      else continue;
      samples.set(key, sample);
    }
  } finally {
    source.close();
  }
  const found: CaptionedFile[] = [];
  for (const { picture, text, json } of samples.values()) {
    if (!picture) continue;
    const caption = text || json;
    const name = `${path}: ${picture.name}`;
    const read = async () => await decodePicture(await readMember(path, picture), name);
    found.push({ name, ...(caption && { caption }), read });
  }
  if (found.length) return found;
  throw new FileError(path, "holds no pictures (.png, .jpg, .jpeg, .webp)");
}

function captionIn(json: string, path: string, name: string): string | undefined {
  const entry = parseJsonObject(json, path, name);
  const caption = CAPTION_KEYS.map((key) => entry[key]).find((v) => typeof v === "string");
  return (caption as string | undefined)?.trim();
}

async function readMember(path: string, { offset, size }: TarMember): Promise<Uint8Array> {
  const source = await fileSource(path);
  try {
    return await source.read(offset, size);
  } finally {
    source.close();
  }
}
