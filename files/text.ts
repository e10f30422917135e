/**
 * Text files, in whatever encoding an editor or a shell has left them; the one decoder for all that is read as text.
 *
 * Why guess at all: captions come from Windows editors and shells, which write UTF-16 and cp1252, and a letter that is
 * lost in a caption trains a wrong one. What can't be told for sure is refused by name.
 */
import { FileError, messageOf } from "./errors.ts";
import { kindOf } from "./kinds.ts";
import { readBytes } from "./source.ts";

/** What is advised where an encoding is not known. */
const ADVICE = "Save it as UTF-8";

/** Marks at the beginning; those of UTF-32 begin like UTF-16's, so they come first. */
const MARKS: readonly [mark: readonly number[], encoding: string][] = [
  [[0xef, 0xbb, 0xbf], "utf-8"],
  [[0xff, 0xfe, 0, 0], "utf-32"],
  [[0, 0, 0xfe, 0xff], "utf-32"],
  [[0xff, 0xfe], "utf-16le"],
  [[0xfe, 0xff], "utf-16be"],
];

/**
 * What no Western text holds, but text in another encoding that is taken for cp1252 does: control characters and bytes
 * without a meaning, many letters beyond ASCII in a row (Cyrillic, Greek, Chinese), signs within or before words
 * (Polish, Czech).
 */
const NOT_CP1252 =
  // deno-lint-ignore no-control-regex
  /[\0-\x08\x0b\x0e-\x1f\x7f-\x9f‚ƒˆ˜]|[^\0-\x7f]{4}|[¢£¤¥¦¨¬¯±²³¶¸¹¼½¾](?=[A-Za-zÀ-ÖØ-öø-ÿ])/;

/** One letter of so many has a zero in UTF-16, at the least. */
const FEWEST = 20;

/** What no text holds at all. */
// deno-lint-ignore no-control-regex
const NO_TEXT = /[\0-\x08\x0e-\x1a\x1c-\x1f\ufffe\uffff]/;

/**
 * Bytes as text: UTF-8, or what a byte order mark says, or UTF-16 where half of its zeros give it away, or cp1252.
 *
 * @param file what to call it in messages
 * @throws FileError naming the file where it is none of them
 */
export function decodeText(bytes: Uint8Array, file: string): string {
  const [mark, encoding] = MARKS.find(([mark]) => mark.every((b, i) => bytes[i] === b)) ?? [];
  if (mark) {
    const text = decodeAs(encoding!, bytes.subarray(mark.length));
    if (text !== undefined) return text;
    throw new FileError(
      file,
      encoding === "utf-32" ? "is in UTF-32" : `begins as ${encoding!.toUpperCase()} and is not`,
      ADVICE,
    );
  }
  const utf8 = decodeAs("utf-8", bytes)?.replace(/\0+$/, "");
  if (utf8 !== undefined && !utf8.includes("\0")) return utf8;
  const western = decodeAs("windows-1252", bytes) ?? "\0";
  const found = bytes.includes(0) ? utf16(bytes) : NOT_CP1252.test(western) ? undefined : western;
  if (found !== undefined) return found;
  const kind = kindOf(bytes);
  throw new FileError(
    file,
    kind ? `is ${kind} where text is expected` : "is in no encoding that is known here, or no text",
    kind ? undefined : `${ADVICE}; UTF-16 and cp1252 are read, too`,
  );
}

/** Undefined where the bytes are not of the encoding. */
function decodeAs(encoding: string, bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder(encoding, { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** UTF-16 without a mark: spaces and Latin letters, of which even Chinese has a few, have their zeros all on one side. */
function utf16(bytes: Uint8Array): string | undefined {
  const zeros = [0, 0];
  for (let i = 0; i < bytes.length; i++) if (bytes[i] === 0) zeros[i % 2]++;
  const few = zeros[0] + zeros[1] < bytes.length / 2 / FEWEST;
  if (bytes.length % 2 || (zeros[0] && zeros[1]) || few) return undefined;
  const text = decodeAs(zeros[1] ? "utf-16le" : "utf-16be", bytes);
  return text === undefined || NO_TEXT.test(text) ? undefined : text;
}

/** A name in an archive: UTF-8 as nearly always, else one byte a letter, so that no two names become one. */
export const decodeName = (bytes: Uint8Array): string =>
  decodeAs("utf-8", bytes) ?? new TextDecoder("windows-1252").decode(bytes);

/** Reads a text file, or a pipe. Throws {@linkcode FileError} if it can't be read or its encoding is not known. */
export async function readText(path: string): Promise<string> {
  return decodeText(await readBytes(path, { pipes: true }), path);
}

/** Lines as any system ends them. */
export const linesIn = (text: string): string[] => text.split(/\r\n?|\n/);

/** Lines of a text file that are not empty. Throws as {@linkcode readText} does. */
export async function readLines(path: string): Promise<string[]> {
  return linesIn(await readText(path)).map((line) => line.trim()).filter(Boolean);
}

/** Parses a text as JSON. Throws {@linkcode FileError} naming `file`, and what of it. */
export function parseJson(text: string, file: string, what = "it"): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new FileError(
      file,
      `${what} is not valid JSON (${messageOf(error)})`,
      "It is probably cut short or damaged: fetch or write it again",
      { cause: error },
    );
  }
}
