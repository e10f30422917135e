/**
 * Picture files in: decoded, turned upright, without alpha; and folders of them.
 *
 * Why a WebAssembly decoder and not the engine's own: Deno has no way to read the pixels of a decoded bitmap, and this one
 * gives Pillow's pixels exactly. It is loaded when the first picture is, since most of the library needs none.
 */
import { FileError } from "./errors.ts";
import { kindOf, pictureKind, PICTURES } from "./kinds.ts";
import { isFile, namesIn } from "./paths.ts";
import { decodeAs } from "./picture_decode.ts";
import { lookAt } from "./picture_format.ts";
import { readBytes } from "./source.ts";
import { flatten, orient, type Picture } from "./picture.ts";

export type { Picture } from "./picture.ts";
export { fitted, resize, squared } from "./resize.ts";

const EXTENSIONS = /\.(png|jpe?g|webp)$/i;

/** What the name of a picture's foreground mask ends in, in place of its own extension. */
export const MASK_ENDING = ".mask.png";

/**
 * Reads a picture file as 8-bit RGB: upright by its EXIF orientation, transparency over mid-grey, grey as RGB. It may be
 * PNG, JPEG, WebP, GIF, BMP, TIFF, HEIC, AVIF, JPEG XL or JPEG 2000, which its content tells; of an animation or of
 * several pages, the first is read.
 *
 * @throws FileError naming the file if it is missing, cut short, damaged or of another format
 */
export async function readPicture(path: string): Promise<Picture> {
  return await decodePicture(await readBytes(path), path);
}

/** Decodes the bytes of a picture file; see {@linkcode readPicture}. */
export async function decodePicture(bytes: Uint8Array, name = "(bytes)"): Promise<Picture> {
  const kind = pictureKind(bytes);
  if (!kind) {
    const what = bytes.length === 0
      ? "is empty"
      : `is ${kindOf(bytes) ?? "no picture that is known here"}`;
    throw new FileError(name, what, `Read are ${PICTURES.join(", ")}: convert it to one of them`);
  }
  const found = await lookAt(bytes, kind);
  if (found.fault) {
    throw new FileError(
      name,
      found.fault,
      found.fault === "is cut short" ? "Fetch it again" : "Convert it to PNG or JPEG first",
    );
  }
  const { width, height, data } = await decodeAs(kind, found, name);
  return orient(flatten(data, width, height, { opaque: found.opaque }), found.orientation);
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
