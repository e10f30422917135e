/**
 * The decoder that a browser brings, which a page uses unless it was given the other one (`decode.ts`): nothing is loaded.
 *
 * Opaque pictures come out as with the other; of transparent ones colours may be off by one, since a canvas keeps them
 * multiplied by alpha. Kinds are those of the browser: PNG, JPEG, WebP, GIF, BMP and AVIF in all of them.
 */
import { latin1, littleEndian } from "../bytes.ts";
import { FileError } from "../errors.ts";
import type { PictureKind } from "../kinds.ts";
import type { Pixels } from "./picture.ts";

/** What is used of a browser. */
interface Canvases {
  createImageBitmap?(from: Blob, options: Record<string, string>): Promise<Bitmap>;
  OffscreenCanvas?: new (width: number, height: number) => {
    getContext(kind: "2d", options: { willReadFrequently: true }): {
      drawImage(from: Bitmap, x: number, y: number): void;
      getImageData(x: number, y: number, w: number, h: number): { data: Uint8ClampedArray };
    } | null;
  };
}

interface Bitmap {
  readonly width: number;
  readonly height: number;
  close(): void;
}

const here = globalThis as unknown as Canvases;

/** Whether this runtime decodes pictures and lets their pixels be read. */
export const browserDecodes = (): boolean =>
  here.createImageBitmap !== undefined && here.OffscreenCanvas !== undefined;

/** Decodes a picture as it lies in the file, not turned. @throws FileError where the browser can't */
export async function decodeByBrowser(
  kind: PictureKind,
  bytes: Uint8Array,
  name: string,
): Promise<Pixels> {
  let bitmap: Bitmap;
  try {
    bitmap = await here.createImageBitmap!(new Blob([unturned(kind, bytes)]), {
      premultiplyAlpha: "none",
      colorSpaceConversion: "none",
    });
  } catch (cause) {
    const advice =
      "It is damaged, or of a kind that this browser has no decoder for: save it as PNG or JPEG";
    throw new FileError(name, `can't be decoded as ${kind} by this browser`, advice, { cause });
  }
  try {
    const { width, height } = bitmap;
    const context = new here.OffscreenCanvas!(width, height)
      .getContext("2d", { willReadFrequently: true });
    if (!context) throw new FileError(name, `has ${width} × ${height} pixels`, "Make it smaller");
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    return { width, height, data: new Uint8Array(data.buffer) };
  } finally {
    bitmap.close();
  }
}

/** A copy without the notes by which some browsers turn a picture and others don't: it is turned here (`picture.ts`). */
function unturned(kind: PictureKind, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(bytes);
  if (kind === "JPEG") {
    for (let at = 2; copy[at] === 0xff && copy[at + 1] !== 0xda && at + 10 < copy.length;) {
      const note = copy[at + 1] === 0xe1;
      const length = copy[at + 2] * 256 + copy[at + 3];
      if (note) copy.fill(0, at + 4, at + 2 + length);
      at += 2 + length;
    }
  }
  if (kind === "WebP") {
    for (let at = 12; at + 8 <= copy.length;) {
      const length = littleEndian(copy, at + 4, 4);
      if (/^(EXIF|XMP )$/.test(latin1(copy, at, at + 4))) copy.fill(0x20, at, at + 4);
      at += 8 + length + length % 2;
    }
  }
  return copy;
}
