/**
 * What is to be known of a picture file before a decoder is let loose: which way is up, what of it is pictures at all,
 * and, of a JPEG, what it is made of.
 *
 * Why the bytes are mended: a wrong checksum beside the pixels, a missing end or a length that is off by one loses
 * nothing, and decoders refuse it all the same. What is mended here is nothing that pixels are made from.
 */
import { bigEndian, latin1, littleEndian } from "../bytes.ts";
import { exifOrientation, exifShort, rawProfile, xmpOrientation } from "./exif.ts";
import type { PictureKind } from "../kinds.ts";
import { type Chunk, chunk, chunksOf, type Note, noteIn, SIGNATURE } from "./png_chunks.ts";

/** What was found out from the bytes of a picture file. */
export interface Found {
  /** What to decode. */
  readonly bytes: Uint8Array;
  /** EXIF orientation, 1 to 8; 1 is upright, or the decoder turns it. */
  readonly orientation: number;
  /** Whether what looks like an alpha channel is none. */
  readonly opaque?: boolean;
  /** Whether the pixels are all there even if the end is missing, of which a decoder complains. */
  readonly scanned?: boolean;
  /** What it is that can't be used, where it is. */
  readonly fault?: string;
  /** What is wrong with it that the decoder won't find, since it is mended here. */
  readonly damage?: string;
}

/** Looks at the bytes of a picture. Never throws. */
export async function lookAt(bytes: Uint8Array, kind: PictureKind): Promise<Found> {
  switch (kind) {
    case "JPEG":
      return jpeg(bytes);
    case "PNG":
      return await png(bytes);
    case "WebP":
      return webp(bytes);
    case "TIFF":
      return tiff(bytes);
    case "BMP":
      return bmp(bytes);
    default:
      return { bytes, orientation: 1 };
  }
}

const utf8 = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

const XMP = "http://ns.adobe.com/xap/1.0/\0";

function jpeg(bytes: Uint8Array): Found {
  let exif: number | undefined, xmp: number | undefined;
  let components = Infinity, sequential = false, scanned = 0;
  // From marker to marker; compressed data, and what does not belong there, are passed over.
  for (let at = 2; (at = bytes.indexOf(0xff, at)) >= 0;) {
    const marker = bytes[at + 1], length = bigEndian(bytes, at + 2, 2);
    if (marker === 0xd9) break;
    if (marker === 0xff || marker === 0 || (marker >= 0xd0 && marker <= 0xd8)) {
      at += marker === 0xff ? 1 : 2;
      continue;
    }
    const body = bytes.subarray(at + 4, at + 2 + length);
    if (marker === 0xe1) {
      exif ??= exifOrientation(body);
      if (latin1(body, 0, XMP.length) === XMP) xmp ??= xmpOrientation(utf8(body));
    }
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      components = body[5];
      sequential = marker <= 0xc1;
    }
    if (marker === 0xda) scanned += body[0] ?? 0;
    at += 2 + length;
  }
  return {
    bytes,
    orientation: exif ?? xmp ?? 1,
    scanned: sequential && scanned >= components,
  };
}

/** Chunks that pixels are made from. */
const NEEDED = ["IHDR", "PLTE", "tRNS", "IDAT"];

async function png(bytes: Uint8Array): Promise<Found> {
  let exif: number | undefined, xmp: number | undefined;
  const needed: Chunk[] = [];
  let whole = true;
  for (const one of chunksOf(bytes)) {
    whole = one.whole;
    if (NEEDED.includes(one.kind)) needed.push(one);
    if (one.kind === "eXIf") exif ??= exifOrientation(one.body);
    const note = noteIn(one);
    if (note && /^Raw profile type (exif|APP1)$/i.test(note.keyword)) {
      exif ??= exifOrientation(rawProfile(await textOf(note)));
    }
    if (note?.keyword === "XML:com.adobe.xmp") xmp ??= xmpOrientation(await textOf(note));
    if (note && /^Raw profile type xmp$/i.test(note.keyword)) {
      xmp ??= xmpOrientation(utf8(rawProfile(await textOf(note))));
    }
  }
  const orientation = exif ?? xmp ?? 1;
  // A file without its last chunk may be whole, one that ends within a chunk is not.
  if (!whole) return { bytes, orientation, fault: "is cut short" };
  const parts = needed.map(({ kind, body }) => chunk(kind, body));
  // The pixels have a checksum of their own.
  const wrong = needed.find(({ kind, checksum }, i) =>
    kind !== "IDAT" && bigEndian(parts[i], parts[i].length - 4, 4) !== checksum
  );
  return {
    bytes: await joined([SIGNATURE, ...parts, chunk("IEND", new Uint8Array(0))]),
    orientation,
    ...(wrong && { damage: `wrong checksum of ${wrong.kind}` }),
  };
}

const joined = async (parts: Uint8Array<ArrayBuffer>[]): Promise<Uint8Array> =>
  new Uint8Array(await new Blob(parts).arrayBuffer());

/** Characters of the longest note that is looked at. */
const LONGEST = 2 ** 20;

/** A note's text; of a damaged one, what there is of it. */
async function textOf({ text, utf8: wide, packed }: Note): Promise<string> {
  let found = packed ? "" : wide ? utf8(text) : latin1(text, 0, LONGEST);
  if (!packed) return found;
  const stream = new Blob([text as Uint8Array<ArrayBuffer>]).stream()
    .pipeThrough(new DecompressionStream("deflate"));
  try {
    for await (const part of stream) {
      found += latin1(part);
      if (found.length > LONGEST) break;
    }
  } catch {
    // what was read before tells, or nothing does
  }
  return found;
}

function webp(bytes: Uint8Array): Found {
  let exif: number | undefined, xmp: number | undefined;
  for (let at = 12; at + 8 <= bytes.length;) {
    const kind = latin1(bytes, at, at + 4), length = littleEndian(bytes, at + 4, 4);
    const body = bytes.subarray(at + 8, at + 8 + length);
    if (kind === "EXIF") exif ??= exifOrientation(body);
    if (kind === "XMP ") xmp ??= xmpOrientation(utf8(body));
    at += 8 + length + length % 2;
  }
  // Some writers count a byte that they leave out.
  const size = littleEndian(bytes, 4, 4), most = bytes.length - 8;
  const mended = size === most + 1 ? withNumber(bytes, 4, most) : bytes;
  return { bytes: mended, orientation: exif ?? xmp ?? 1 };
}

/** DNGVersion, and the kind of a first picture that is a smaller copy of what follows. */
const DNG = 0xc612, SUBFILE = 0xfe;

function tiff(bytes: Uint8Array): Found {
  const raw = exifShort(bytes, DNG) !== undefined || (exifShort(bytes, SUBFILE) ?? 0) & 1;
  return {
    bytes,
    orientation: exifOrientation(bytes) ?? 1,
    ...(raw && { fault: "is a camera's raw picture" }),
  };
}

/** Smallest header that says which bits are alpha, and where it does. */
const WITH_ALPHA = 56, ALPHA = 14 + 52;

function bmp(bytes: Uint8Array): Found {
  const header = littleEndian(bytes, 14, 4);
  return {
    // its own size, which many writers leave out, and which is wrong where something was appended
    bytes: withNumber(bytes, 2, bytes.length),
    orientation: 1,
    opaque: header < WITH_ALPHA || littleEndian(bytes, ALPHA, 4) === 0,
  };
}

/** A copy with another number of four bytes. */
function withNumber(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const copy = bytes.slice();
  if (copy.length >= at + 4) new DataView(copy.buffer).setUint32(at, value, true);
  return copy;
}
