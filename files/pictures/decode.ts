/**
 * The decoder of pictures, ImageMagick, loaded when the first one is met.
 *
 * Why this one: it reads every kind that people have, gives Pillow's pixels exactly, and tells all that it has to
 * complain of. Those complaints have to be judged here: it calls a picture that is half grey a success, and an odd
 * version number corrupt.
 */
import { browserDecodes, decodeByBrowser } from "./browser.ts";
import { FileError, messageOf } from "../errors.ts";
import type { PictureKind } from "../kinds.ts";
import type { Found } from "./format.ts";
import type { Pixels } from "./picture.ts";
import { bytes as inBytes, count } from "../../numerics/quantities.ts";

/** Decoding takes four bytes a pixel several times over, in the 4 GB that WebAssembly has. */
const MOST_PIXELS = 150e6;

/**
 * Pixels that a byte can stand for at most: eight of one bit, made smaller by deflate at its best. A header that claims
 * more lies, and decoding would only fill memory.
 */
const DENSEST = 8 * 1032;

type Magick = typeof import("npm:@imagemagick/magick-wasm@0.0.43");

let loading: Promise<Magick> | undefined;

/** The decoder's code; a page that wants it names where it lies in its import map. */
const codeAt = (): string => import.meta.resolve("npm:@imagemagick/magick-wasm@0.0.43/magick.wasm");

async function load(): Promise<Magick> {
  try {
    const magick = await import(
      /* webpackIgnore: true */ /* @vite-ignore */ "npm:@imagemagick/magick-wasm@0.0.43"
    );
    await magick.initializeImageMagick(new Uint8Array(await (await fetch(codeAt())).arrayBuffer()));
    return magick;
  } catch (cause) {
    const { Deno } = globalThis as { Deno?: unknown };
    if (Deno) throw cause;
    throw new Error(
      "this runtime has no decoder of pictures: browsers and Deno have one; elsewhere give pictures as { width, height, data }",
      { cause },
    );
  }
}

/** Whether a browser's own decoder is taken: a page has no other, unless its import map says where that is. */
const byBrowser = (): boolean => browserDecodes() && /^npm:/.test(codeAt());

const DAMAGED = "It is damaged: fetch it again, or save it anew from a picture editor";

/**
 * Decodes a picture; of several in a file, the first.
 *
 * @throws FileError if it is damaged, too large, or of a variety of its kind that can't be decoded
 */
export async function decodeAs(kind: PictureKind, found: Found, name: string): Promise<Pixels> {
  if (byBrowser()) {
    if (found.damage) {
      throw new FileError(name, `can't be decoded as ${kind}: ${found.damage}`, DAMAGED);
    }
    const pixels = await decodeByBrowser(kind, found.bytes, name);
    checkSize(pixels.width * pixels.height, found.bytes.length, name);
    return pixels;
  }
  // The decoder itself may not be loadable: that is not the picture's fault.
  const magick = await (loading ??= load().catch((error) => {
    loading = undefined;
    throw error;
  }));
  const { bytes } = found;
  const picture = magick.MagickImage.create();
  const complaints: string[] = [];
  picture.onWarning = ({ error }) => {
    for (const one of [error, ...error.relatedErrors]) {
      if (one.severity === magick.MagickErrorSeverity.CorruptImageWarning) {
        complaints.push(bare(one.message));
      }
    }
    return 0;
  };
  const settings = new magick.MagickReadSettings({
    format: formatOf(magick, kind),
    frameIndex: 0,
    frameCount: 1,
  });
  try {
    picture.ping(bytes, settings);
    checkSize(picture.width * picture.height, bytes.length, name);
    if (found.damage) throw new Error(found.damage);
    complaints.length = 0;
    picture.read(bytes, settings);
    const lost = complaints.find((text) => kind !== "JPEG" || isLoss(text, found));
    if (lost !== undefined) throw new Error(lost);
    return pixelsOf(magick, picture, kind);
  } catch (cause) {
    if (cause instanceof FileError) throw cause;
    const said = bare(messageOf(cause));
    throw new FileError(
      name,
      `can't be decoded as ${kind}${said ? `: ${said}` : ""}`,
      /unsupported|not supported|unknown compression|no decode/i.test(said)
        ? "Convert it to PNG with a picture editor"
        : DAMAGED,
      { cause },
    );
  } finally {
    picture.dispose();
  }
}

const formatOf = (magick: Magick, kind: PictureKind) =>
  ({
    PNG: magick.MagickFormat.Png,
    JPEG: magick.MagickFormat.Jpeg,
    WebP: magick.MagickFormat.WebP,
    GIF: magick.MagickFormat.Gif,
    BMP: magick.MagickFormat.Bmp,
    TIFF: magick.MagickFormat.Tiff,
    HEIC: magick.MagickFormat.Heic,
    AVIF: magick.MagickFormat.Avif,
    "JPEG XL": magick.MagickFormat.Jxl,
    "JPEG 2000": magick.MagickFormat.Jp2,
  })[kind];

/** What was said, without where in the decoder. */
const bare = (message: string): string => message.replace(/\s*`[^]*$/, "").replace(/\.$/, "");

function checkSize(pixels: number, bytes: number, name: string): void {
  if (pixels > MOST_PIXELS) {
    throw new FileError(name, `has ${count(pixels)} pixels`, "Make it smaller first");
  }
  if (pixels <= bytes * DENSEST) return;
  const fault = `claims ${count(pixels)} pixels in ${inBytes(bytes)}`;
  throw new FileError(name, fault, "It is damaged: fetch it again");
}

/** What the JPEG decoder remarks of pictures that have lost nothing. */
const HARMLESS =
  /Invalid SOS parameters|unknown JFIF revision|Unknown Adobe color|instead of RST|Inconsistent progression|bad ICC/;

/** Bytes that may be left over behind the last pixels without saying that some were lost before. */
const PADDING = 16;

/** Whether a complaint of the JPEG decoder means that pixels are lost. */
function isLoss(complaint: string, { bytes, scanned }: Found): boolean {
  if (HARMLESS.test(complaint)) return false;
  if (/Premature end of JPEG file/.test(complaint)) return !scanned;
  const [, count, marker] = /(\d+) extraneous bytes before marker 0x(..)/.exec(complaint) ?? [];
  if (count === undefined) return true;
  return Number(count) > PADDING && !isFilled(bytes, Number(count), parseInt(marker, 16));
}

/** Whether one byte over and over fills what lies before a marker, or before the end where that is missing. */
function isFilled(bytes: Uint8Array, count: number, marker: number): boolean {
  const filled = (end: number) => {
    const part = bytes.subarray(Math.max(0, end - count), end);
    return part.every((byte) => byte === part[0]);
  };
  for (let at = bytes.indexOf(0xff); at >= 0; at = bytes.indexOf(0xff, at + 1)) {
    if (bytes[at + 1] === marker && at >= count && filled(at)) return true;
  }
  return marker === 0xd9 && filled(bytes.length);
}

type Image = ReturnType<Magick["MagickImage"]["create"]>;

/** Colour spaces whose numbers are red, green and blue, or grey, as they are; gamma is left alone, as elsewhere. */
const AS_THEY_ARE = ["sRGB", "RGB", "Gray", "LinearGray", "Undefined"] as const;

function pixelsOf(magick: Magick, picture: Image, kind: PictureKind): Pixels {
  const { ColorSpace } = magick;
  if (!AS_THEY_ARE.some((name) => ColorSpace[name] === picture.colorSpace)) {
    picture.colorSpace = ColorSpace.sRGB;
  }
  // The first picture of an animation may cover a part of it.
  const { page } = picture;
  if ((kind === "GIF" || kind === "WebP") && page.width > 0) {
    const covers = page.x === 0 && page.y === 0 && page.width <= picture.width &&
      page.height <= picture.height;
    if (!covers) {
      const around = new magick.MagickGeometry(-page.x, -page.y, page.width, page.height);
      picture.extent(around, new magick.MagickColor(0, 0, 0, 0));
    }
  }
  const { width, height } = picture;
  const data = picture.getPixels((all) => all.toByteArray(0, 0, width, height, "RGBA"));
  if (!data) throw new Error("it holds no pixels");
  return { width, height, data };
}
