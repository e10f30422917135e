/**
 * Which way is up, by the notes that cameras and editors leave in a picture: EXIF, EXIF in text, and XMP.
 *
 * Why all three: a picture that lies on its side teaches a concept that lies on its side. Pillow reads the same.
 */
import { latin1 } from "../bytes.ts";

/** EXIF orientations, 1 to 8; 1 is upright. */
const isOrientation = (value: number): boolean => value >= 1 && value <= 8;

/** Tag 0x0112 of the first directory of an EXIF block, with or without its "Exif\0\0"; undefined if there is none. */
export function exifOrientation(block: Uint8Array): number | undefined {
  const value = exifShort(block, 0x0112);
  return value !== undefined && isOrientation(value) ? value : undefined;
}

/** A short number of the first directory of an EXIF block or a TIFF file; undefined if it has none of that tag. */
export function exifShort(block: Uint8Array, tag: number): number | undefined {
  const bytes = latin1(block, 0, 6) === "Exif\0\0" ? block.subarray(6) : block;
  const order = latin1(bytes, 0, 4);
  if ((order !== "II*\0" && order !== "MM\0*") || bytes.length < 8) return undefined;
  const little = order === "II*\0";
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const short = (at: number) => at + 2 <= bytes.length ? view.getUint16(at, little) : 0;
  const start = view.getUint32(4, little);
  for (let i = 0, count = short(start); i < count; i++) {
    const at = start + 2 + i * 12;
    if (at + 12 > bytes.length) break;
    if (short(at) !== tag) continue;
    // A long number of that size has its lower half last where the higher byte comes first.
    return short(at + 2) === 4 && !little ? short(at + 10) : short(at + 8);
  }
}

/** `tiff:Orientation` of an XMP block; undefined if there is none. */
export function xmpOrientation(xmp: string): number | undefined {
  const value = Number(/tiff:Orientation(?:\s*=\s*["']|>)\s*([0-9])/.exec(xmp)?.[1]);
  return isOrientation(value) ? value : undefined;
}

/**
 * What ImageMagick puts into a PNG's text as "Raw profile type exif": its name, how many bytes it has, and those in
 * hexadecimal.
 */
export function rawProfile(text: string): Uint8Array {
  const hex = /^\s*\w+\s+\d+\s+([\da-f\s]*)/i.exec(text)?.[1].replace(/\s+/g, "") ?? "";
  return Uint8Array.from(hex.match(/../g) ?? [], (digits) => parseInt(digits, 16));
}
