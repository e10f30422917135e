/**
 * Picture files in: decoded, turned upright, without alpha; and folders of them.
 *
 * Why a WebAssembly decoder and not the engine's own: Deno has no way to read the pixels of a decoded bitmap, and this one
 * gives Pillow's pixels exactly. It is loaded when the first picture is, since most of the library needs none.
 */
import { expectKinds, FUNCTION } from "../../tensor/kinds.ts";
import { PATH } from "../given.ts";
import { FileError } from "../errors.ts";
import { isPictureName, kindOf, MASK_ENDING, pictureKind, PICTURES } from "../kinds.ts";
import { decodeAs } from "./decode.ts";
import { type Found, lookAt } from "./format.ts";
import { readBytes } from "../source.ts";
import { flatten, orient, type Picture, type Pixels } from "./picture.ts";
import { openFolder, type Place, remarkOn } from "../place.ts";

export type { Picture } from "./picture.ts";
export { fitted, resize, squared } from "./resize.ts";

/** The name of a picture's mask. */
export const maskOf = (picture: string): string => picture.replace(/\.[^./\\]+$/, MASK_ENDING);

/**
 * Reads a picture file as 8-bit RGB: upright by its EXIF orientation, transparency over mid-grey, grey as RGB. It may be
 * PNG, JPEG, WebP, GIF, BMP, TIFF, HEIC, AVIF, JPEG XL or JPEG 2000, which its content tells; of an animation or of
 * several pages, the first is read.
 *
 * @throws FileError naming the file if it is missing, cut short, damaged or of another format
 */
export async function readPicture(path: string): Promise<Picture> {
  expectKinds("readPicture", { path: [path, PATH] });
  return await decodePicture(await readBytes(path), path);
}

/** Decodes the bytes of a picture file; see {@linkcode readPicture}. */
export async function decodePicture(bytes: Uint8Array, name = "(bytes)"): Promise<Picture> {
  const { width, height, data, found } = await decodePixels(bytes, name);
  return orient(flatten(data, width, height, { opaque: found.opaque }), found.orientation);
}

/** The pixels of a picture file as they lie in it, with their alpha; see {@linkcode readPicture}. */
export async function decodePixels(
  bytes: Uint8Array,
  name: string,
): Promise<Pixels & { found: Found }> {
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
  return { ...await decodeAs(kind, found, name), found };
}

/**
 * Paths of the pictures in a folder, by the endings of their names, sorted as people sort: 2 before 10. Hidden files,
 * foreground masks (`<name>.mask.png`) and everything else are skipped.
 *
 * @param remark called with what is left out of it
 * @throws FileError if the folder is missing or holds no pictures
 */
export async function listPictures(
  folder: string,
  remark?: (text: string) => void,
): Promise<string[]> {
  expectKinds("listPictures", { folder: [folder, PATH], "remark?": [remark, FUNCTION] });
  const place = await openFolder(folder);
  const names = await picturesIn(place);
  if (remark) remarkOn(place, names.length, "picture", new Set(names), remark);
  return names.map((name) => place.path(name));
}

/** Names of the pictures of a place, sorted. Throws {@linkcode FileError} if it holds none. */
export async function picturesIn(place: Place): Promise<string[]> {
  const names = place.files.filter(isPictureName);
  if (names.length) return names;
  const other = place.files.find((name) => OTHERS.test(name));
  let inner: string | undefined;
  for (const folder of place.rest.filter((name) => name.endsWith("/"))) {
    const found = await openFolder(place.path(folder)).catch(() => undefined);
    if (found?.files.some(isPictureName)) inner ??= folder;
  }
  throw new FileError(
    place.name,
    "holds no pictures (.png, .jpg, .webp, …)",
    inner
      ? `Its folder ${inner} does: name that`
      : other
      ? `Convert ${other} and the like to JPEG or PNG first`
      : "Put a few into it, or name another folder",
  );
}

/** Endings of pictures that are not read. */
const OTHERS = /\.(svg|psd|xcf|ico|tga|exr|hdr|ppm|dng|cr[23]|nef|arw|raf|orf|rw2|pdf|mp4|mov)$/i;
