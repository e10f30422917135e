/**
 * PNG files out, with the prompt and the seed in them.
 *
 * Why an encoder of our own: the one at hand writes four channels and no text; and this is the engine's own zlib with
 * a page around it. Format: https://www.w3.org/TR/png-3/
 */
import { PATH, PICTURE } from "../given.ts";
import { BYTES, expectKinds, RECORD } from "../../tensor/kinds.ts";
import { writeFileAtomic } from "../atomic.ts";
import { latin1 } from "../bytes.ts";
import { FileError } from "../errors.ts";
import type { Picture } from "./picture.ts";
import { chunk, chunksOf, noteIn, SIGNATURE } from "./png_chunks.ts";

/**
 * Encodes an 8-bit RGB PNG.
 *
 * @param text notes to keep in the file by keyword (1 to 79 Latin-1 characters), e.g. `{ prompt, seed: "42" }`
 * @throws RangeError for a keyword that PNG does not allow
 */
export async function encodePng(
  picture: Picture,
  text: Readonly<Record<string, string>> = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, picture.width);
  view.setUint32(4, picture.height);
  header.set([8, 2], 8);
  const packed = await new Response(
    new Blob([filtered(picture)]).stream().pipeThrough(new CompressionStream("deflate")),
  ).arrayBuffer();
  const parts = [
    SIGNATURE,
    chunk("IHDR", header),
    ...Object.entries(text).map(([keyword, value]) => textChunk(keyword, value)),
    chunk("IDAT", new Uint8Array(packed)),
    chunk("IEND", new Uint8Array(0)),
  ];
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** Encodes and writes a PNG file, whole or not at all; see {@linkcode encodePng}. */
export async function writePng(
  path: string,
  picture: Picture,
  text: Readonly<Record<string, string>> = {},
): Promise<void> {
  expectKinds("writePng", {
    path: [path, PATH],
    picture: [picture, PICTURE],
    text: [text, RECORD],
  });
  await writeFileAtomic(path, await encodePng(picture, text));
}

/** The notes in a PNG file, by keyword; compressed ones are left out. Throws {@linkcode FileError} if it is no PNG. */
export function readPngText(bytes: Uint8Array, name = "(bytes)"): Record<string, string> {
  expectKinds("readPngText", { bytes: [bytes, BYTES] });
  if (!SIGNATURE.every((byte, i) => bytes[i] === byte)) throw new FileError(name, "is no PNG file");
  const text: Record<string, string> = {};
  for (const one of chunksOf(bytes)) {
    const note = noteIn(one);
    if (!note || note.packed) continue;
    text[note.keyword] = note.utf8 ? new TextDecoder().decode(note.text) : latin1(note.text);
  }
  return text;
}

/** Rows, each led by the number of its filter: the one of the five that leaves the smallest numbers. */
function filtered({ width, height, data }: Picture): Uint8Array<ArrayBuffer> {
  const stride = width * 3;
  const out = new Uint8Array((stride + 1) * height);
  const candidate = new Uint8Array(stride);
  for (let y = 0; y < height; y++) {
    let least = Infinity;
    for (let filter = 0; filter < 5; filter++) {
      let sum = 0;
      for (let i = 0; i < stride; i++) {
        const at = y * stride + i;
        const left = i >= 3 ? data[at - 3] : 0;
        const up = y > 0 ? data[at - stride] : 0;
        const upLeft = i >= 3 && y > 0 ? data[at - stride - 3] : 0;
        const guess = filter === 0
          ? 0
          : filter === 1
          ? left
          : filter === 2
          ? up
          : filter === 3
          ? (left + up) >> 1
          : paeth(left, up, upLeft);
        const rest = (data[at] - guess) & 255;
        candidate[i] = rest;
        sum += rest < 128 ? rest : 256 - rest;
      }
      if (sum < least) {
        least = sum;
        out[y * (stride + 1)] = filter;
        out.set(candidate, y * (stride + 1) + 1);
      }
    }
  }
  return out;
}

function paeth(left: number, up: number, upLeft: number): number {
  const l = Math.abs(up - upLeft),
    u = Math.abs(left - upLeft),
    d = Math.abs(left + up - 2 * upLeft);
  return l <= u && l <= d ? left : u <= d ? up : upLeft;
}

function textChunk(keyword: string, value: string): Uint8Array<ArrayBuffer> {
  if (!/^[\x21-\x7e\xa1-\xff]([\x20-\x7e\xa1-\xff]{0,77}[\x21-\x7e\xa1-\xff])?$/.test(keyword)) {
    throw new RangeError(
      `${JSON.stringify(keyword)} can't be a PNG keyword: 1 to 79 Latin-1 characters`,
    );
  }
  const bytesOf = (s: string) => Uint8Array.from(s, (c) => c.charCodeAt(0));
  if (/^[\n\x20-\x7e\xa1-\xff]*$/.test(value)) {
    return chunk("tEXt", bytesOf(`${keyword}\0${value}`));
  }
  const utf8 = new TextEncoder().encode(value.replaceAll("\0", ""));
  const start = bytesOf(`${keyword}\0\0\0\0\0`);
  const body = new Uint8Array(start.length + utf8.length);
  body.set(start);
  body.set(utf8, start.length);
  return chunk("iTXt", body);
}
