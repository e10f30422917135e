// deno-lint-ignore-file no-control-regex
/**
 * What a file is, by its first bytes: pictures that can be decoded, and names for all else that is met in their place.
 *
 * Why so many that are not read: "is a camera's raw picture" helps, "claims a header of 10¹⁷ bytes" does not.
 */

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
