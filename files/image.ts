/**
 * Picture files in: decoded, turned upright, without alpha; and folders of them.
 *
 * Why WebAssembly codecs and not the engine's own: Deno has no way to read the pixels of a decoded bitmap, and these
 * give Pillow's pixels exactly. They are loaded when the first picture is, since most of the library needs none.
 */
import { FileError } from "./errors.ts";
import { isFile, namesIn } from "./paths.ts";
import { decodeAs, isKnown } from "./picture_decode.ts";
import { inspect } from "./picture_format.ts";
import { flatten, orient, type Picture } from "./picture.ts";

export type { Picture } from "./picture.ts";
export { fitted, resize, squared } from "./resize.ts";

const EXTENSIONS = /\.(png|jpe?g|webp)$/i;

/** What the name of a picture's foreground mask ends in, in place of its own extension. */
export const MASK_ENDING = ".mask.png";

/** Decoding takes four bytes a pixel several times over, in the 4 GB that WebAssembly has. */
const MOST_PIXELS = 150e6;

/**
 * Pixels that a byte can stand for at most: eight of one bit, made smaller by deflate at its best. A header that claims
 * more lies, and decoding would only fill memory.
 */
const DENSEST = 8 * 1032;

/**
 * Reads a PNG, JPEG or WebP file as 8-bit RGB: upright by its EXIF orientation, transparency over mid-grey, grey as
 * RGB.
 *
 * @throws FileError naming the file if it is missing, cut short, damaged or of another format
 */
export async function readPicture(path: string): Promise<Picture> {
  let bytes: Uint8Array;
  try {
    bytes = await Deno.readFile(path);
  } catch (error) {
    throw FileError.from(error, path, "reading it");
  }
  return await decodePicture(bytes, path);
}

/** Decodes the bytes of a picture file; see {@linkcode readPicture}. */
export async function decodePicture(bytes: Uint8Array, name = "(bytes)"): Promise<Picture> {
  const { kind, orientation, pixels = 0, fault } = inspect(bytes);
  if (!isKnown(kind)) {
    const what = bytes.length === 0
      ? "is empty"
      : kind
      ? `is a ${kind} file`
      : "is no picture that is known here";
    throw new FileError(name, what, "Supported are PNG, JPEG and WebP: convert it");
  }
  if (fault) {
    throw new FileError(name, fault, "Fetch it again, or save it anew from a picture editor");
  }
  if (pixels > MOST_PIXELS) {
    throw new FileError(
      name,
      `has ${(pixels / 1e6).toFixed()} million pixels`,
      "Make it smaller first",
    );
  }
  if (pixels > bytes.length * DENSEST) {
    throw new FileError(
      name,
      `claims ${pixels} pixels in ${bytes.length} bytes`,
      "It is damaged: fetch it again",
    );
  }
  const { width, height, data } = await decodeAs(kind, bytes, name);
  return orient(flatten(data, width, height), orientation);
}

/**
 * Paths of the pictures in a folder, by their extensions (.png, .jpg, .jpeg, .webp), sorted as people sort: 2 before
 * 10. Hidden files, foreground masks (`<name>.mask.png`) and everything else are skipped.
 *
 * @throws FileError if the folder is missing or holds no pictures
 */
export async function listPictures(folder: string): Promise<string[]> {
  const names = await namesIn(folder);
  const order = new Intl.Collator("en", { numeric: true }).compare;
  const byName = (a: string, b: string) => order(a, b) || (a < b ? -1 : 1);
  const paths: string[] = [];
  for (const name of names.sort(byName)) {
    const path = `${folder.replace(/(?<=.)[/\\]+$/, "")}/${name}`;
    if (!EXTENSIONS.test(name) || name.startsWith(".")) continue;
    if (!name.toLowerCase().endsWith(MASK_ENDING) && await isFile(path)) paths.push(path);
  }
  if (paths.length) return paths;
  const other = names.find((name) => /\.(heic|heif|avif|gif|bmp|tiff?)$/i.test(name));
  throw new FileError(
    folder,
    "holds no pictures (.png, .jpg, .jpeg, .webp)",
    other
      ? `Convert ${other} and the like to JPEG or PNG first`
      : "Put a few into it, or name another folder",
  );
}
