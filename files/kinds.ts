// deno-lint-ignore-file no-control-regex
/**
 * What a file is, by its first bytes: pictures that can be decoded, and names for all else that is met in their place.
 *
 * Why which function of the library reads it: who has an array in a `.npy` need not know the formats to be told.
 *
 * Why so many that are not read: "is a camera's raw picture" helps, "claims a header of 10¹⁷ bytes" does not.
 */

import { latin1 } from "./bytes.ts";
import { FileError } from "./errors.ts";
import type { ByteSource } from "./stores/source.ts";

/** Kinds of picture that are decoded. */
export const PICTURES = [
  "PNG",
  "JPEG",
  "WebP",
  "GIF",
  "BMP",
  "TIFF",
  "HEIC",
  "AVIF",
  "JPEG XL",
  "JPEG 2000",
] as const;

/** A kind of picture that is decoded. */
export type PictureKind = typeof PICTURES[number];

/** First bytes, as Latin-1. A text with an article is a kind that is not decoded. */
const SIGNS: readonly [sign: RegExp, kind: PictureKind | `${"a" | "an"} ${string}`][] = [
  [/^\x89PNG\r\n\x1a\n/, "PNG"],
  [/^\xff\xd8\xff/, "JPEG"],
  [/^RIFF....WEBP/s, "WebP"],
  [/^GIF8[79]a/, "GIF"],
  [/^BM....\0\0\0\0|^BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0/s, "BMP"],
  [/^II\*\0....CR|^IIU\0|^II[RS][OS]|^MM\0\*....CR|^FUJIFILMCCD-RAW/s, "a camera's raw picture"],
  [/^(II\*\0|MM\0\*|II\+\0|MM\0\+)/, "TIFF"],
  [/^....ftyp(?=.*avi[fs])/s, "AVIF"],
  [/^....ftypcrx /s, "a camera's raw picture"],
  [/^....ftyp(?=.*(hei[cxms]|hev[cxms]|mif1|msf1))/s, "HEIC"],
  [/^....ftyp/s, "a film"],
  [/^(\xff\x0a|\0\0\0\x0cJXL )/, "JPEG XL"],
  [/^(\0\0\0\x0cjP {2}|\xff\x4f\xff\x51)/, "JPEG 2000"],
  [/^8BPS/, "a Photoshop picture"],
  [/^gimp xcf/, "a GIMP picture"],
  [/^\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg.*?>\s*)?<svg/s, "an SVG drawing"],
  [/^%PDF/, "a PDF document"],
  [/^(\x1a\x45\xdf\xa3|RIFF....AVI )/s, "a film"],
  [/^PK\x03\x04/, "a zip archive"],
  [/^\x1f\x8b/, "a file compressed by gzip"],
  [/^7z\xbc\xaf\x27\x1c/, "a 7z archive"],
  [/^Rar!\x1a\x07/, "a RAR archive"],
  [/^.{257}ustar/s, "a tar archive"],
  [/^\s*(<!doctype html|<html)/i, "a web page"],
  [/^version https:\/\/git-lfs/, "a Git LFS pointer"],
  [/^GGUF/, "a GGUF file"],
  [/^\x89HDF\r\n\x1a\n/, "an HDF5 file"],
  [/^\x93NUMPY/, "a NumPy array"],
  [/^(\x7fELF|MZ)/, "a program"],
];

/** How many first bytes tell. */
const ENOUGH = 512;

/** What the first bytes of a file make it; undefined for what is not known. */
function sign(bytes: Uint8Array): string | undefined {
  const head = String.fromCharCode(...bytes.subarray(0, ENOUGH));
  return SIGNS.find(([sign]) => sign.test(head))?.[1];
}

const isPicture = (kind: string | undefined): kind is PictureKind =>
  PICTURES.some((picture) => picture === kind);

/** The kind of picture that the bytes are of, of those that are decoded. */
export function pictureKind(bytes: Uint8Array): PictureKind | undefined {
  const found = sign(bytes);
  return isPicture(found) ? found : undefined;
}

/** What the bytes are of, in words with an article, "a PNG picture"; undefined for what is not known. */
export function kindOf(bytes: Uint8Array): string | undefined {
  const found = sign(bytes);
  if (!isPicture(found)) return found;
  return `${found === "AVIF" ? "an" : "a"} ${found} picture`;
}

/** Endings of the names of pictures; what they are, their content tells. */
const ENDINGS =
  /\.(a?png|jpe?g|jpe|jfif|pjpe?g|pjp|webp|gif|bmp|dib|tiff?|hei[cf]|hif|avif|jxl|jp2|j2k)$/i;

/** What the name of a picture's foreground mask ends in, in place of its own extension. */
export const MASK_ENDING = ".mask.png";

/** Whether a name is that of a picture, and not of a mask. */
export const isPictureName = (name: string): boolean =>
  ENDINGS.test(name) && !name.toLowerCase().endsWith(MASK_ENDING);

/** Functions of the library that read tensors from files. */
export type Reader = "readNpy" | "openNpz" | "openTorch" | "openSafetensors";

/** What a file is, by its content and else by its name; and which function reads it, where one does. */
export async function whatIs(
  source: ByteSource,
): Promise<{ readonly is: string; readonly by?: Reader } | undefined> {
  const start = await source.read(0, Math.min(source.size, 512));
  const head = latin1(start, 0, start.length);
  if (head.startsWith("\x93NUMPY")) return { is: "an array of NumPy's (.npy)", by: "readNpy" };
  if (head.startsWith("PK\x03\x04")) {
    // The name of the first entry, as it stands in front of it.
    const first = head.slice(30, 30 + (start[26] | start[27] << 8));
    if (first.endsWith(".npy")) return { is: "an archive of NumPy's arrays (.npz)", by: "openNpz" };
    if (/^[^/]+\/(data\.pkl|byteorder|version|data\/)/.test(first)) {
      return { is: "a checkpoint of PyTorch", by: "openTorch" };
    }
  }
  // The number with which PyTorch's older checkpoints begin.
  if (head.startsWith("\x80\x02\x8a\x0a")) {
    return { is: "a checkpoint of PyTorch", by: "openTorch" };
  }
  if (head[8] === "{") {
    const length = new DataView(start.buffer, start.byteOffset).getBigUint64(0, true);
    if (length >= 2n && length <= BigInt(source.size - 8)) {
      return { is: "a safetensors file", by: "openSafetensors" };
    }
  }
  const kind = kindOf(start) ?? (isPictureName(source.name) ? "a damaged picture" : undefined);
  const isText = start.every((byte) => byte >= 0x20 && byte < 0x7f || byte >= 9 && byte <= 13);
  const is = kind ?? (isText && start.length ? "a text" : undefined);
  return is === undefined ? undefined : { is };
}

/** Refuses a file that is known and of another kind. @throws FileError saying what it is, and what reads it */
export async function expectFor(
  reader: Reader,
  source: ByteSource,
  wanted: string,
): Promise<void> {
  const found = await whatIs(source);
  // Of zip archives the directory decides, which is read next.
  if (!found || found.by === reader || (found.is === "a zip archive" && /Npz|Torch/.test(reader))) {
    return;
  }
  throw strange(source, found, wanted);
}

/** The error of a file that is something else than was wanted. */
export const strange = (
  source: ByteSource,
  { is, by }: { readonly is: string; readonly by?: Reader },
  wanted: string,
): FileError => new FileError(source.name, `is ${is}, and no ${wanted}`, by && `${by} reads it`);
