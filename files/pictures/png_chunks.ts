/** The chunks of a PNG file, and the notes in them. Format: https://www.w3.org/TR/png-3/ */
import { bigEndian, latin1 } from "../bytes.ts";
import { crc32 } from "../archives/crc32.ts";

/** What a PNG file begins with. */
export const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);

/** A part of a PNG file. */
export interface Chunk {
  /** "IHDR", "IDAT", … */
  readonly kind: string;
  /** Its content; shorter than it claims where the file ends in it. */
  readonly body: Uint8Array;
  /** Whether all of it is there. */
  readonly whole: boolean;
  /** Its checksum as the file has it. */
  readonly checksum: number;
}

/** The chunks of a file up to its last. What follows that is no part of it. */
export function* chunksOf(bytes: Uint8Array): Generator<Chunk> {
  for (let at = SIGNATURE.length; at < bytes.length;) {
    const length = bigEndian(bytes, at, 4), kind = latin1(bytes, at + 4, at + 8);
    yield {
      kind,
      body: bytes.subarray(at + 8, at + 8 + length),
      whole: at + 12 + length <= bytes.length,
      checksum: bigEndian(bytes, at + 8 + length, 4),
    };
    if (kind === "IEND") return;
    at += 12 + length;
  }
}

/** A chunk as it stands in a file: length, kind, content, checksum over kind and content. */
export function chunk(kind: string, content: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(12 + content.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, content.length);
  for (let i = 0; i < 4; i++) out[4 + i] = kind.charCodeAt(i);
  out.set(content, 8);
  view.setUint32(8 + content.length, crc32(out.subarray(4, 8 + content.length)));
  return out;
}

/** A note: its keyword, and its text as bytes. */
export interface Note {
  readonly keyword: string;
  readonly text: Uint8Array;
  /** Whether the text is UTF-8; it is Latin-1 otherwise. */
  readonly utf8: boolean;
  /** Whether the text is deflated (zlib). */
  readonly packed: boolean;
}

/** The note in a chunk; undefined where it has none. */
export function noteIn({ kind, body }: Chunk): Note | undefined {
  const end = body.indexOf(0);
  if (end <= 0) return undefined;
  const keyword = latin1(body, 0, end), rest = body.subarray(end + 1);
  if (kind === "tEXt") return { keyword, text: rest, utf8: false, packed: false };
  if (kind === "zTXt") return { keyword, text: rest.subarray(1), utf8: false, packed: true };
  if (kind !== "iTXt") return undefined;
  // after the keyword: compressed or not, method, language, translated keyword, text
  const language = rest.indexOf(0, 2), translated = rest.indexOf(0, language + 1);
  if (language < 0 || translated < 0) return undefined;
  return { keyword, text: rest.subarray(translated + 1), utf8: true, packed: rest[0] === 1 };
}
