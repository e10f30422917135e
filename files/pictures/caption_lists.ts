/** Files that say which caption belongs to which picture: JSON lines, a table, JSON beside a picture. */
import { FileError } from "../errors.ts";
import { isObject, parseJsonObject } from "../json.ts";
import { linesIn, parseJson } from "../text.ts";

/** A picture, as the list names it, and what is said of it. */
export interface Listed {
  readonly file: string;
  readonly caption?: string;
}

/** What the file is called that lists a folder's pictures, the first that is there. */
export const METADATA: readonly string[] = ["metadata.jsonl", "metadata.csv"];

/** Whether a file lists pictures, by its ending. */
export const isMetadata = (name: string): boolean => /\.(jsonl|csv)$/i.test(name);

/** The keys that captions go by in Hugging Face's image folders. */
const CAPTION_KEYS = ["text", "caption", "prompt"];

function captionOf(entry: Readonly<Record<string, unknown>>): string | undefined {
  const found = CAPTION_KEYS.map((key) => entry[key]).find((v) => typeof v === "string");
  return (found as string | undefined)?.trim();
}

/** The caption in a JSON file beside a picture; undefined where it has none. */
export function captionInJson(text: string, file: string): string | undefined {
  const value = parseJson(text, file);
  return isObject(value) ? captionOf(value) : undefined;
}

/**
 * What a `metadata.jsonl` (`{"file_name": "a.jpg", "text": "a dog"}` a line) or `metadata.csv` (with such columns) lists.
 *
 * @throws FileError naming the line that names no picture
 */
export async function readMetadata(text: string, file: string): Promise<Listed[]> {
  const entries = /\.csv$/i.test(file) ? await rowsOf(text) : linesIn(text).map((line, i) =>
    [
      i + 1,
      line.trim() ? parseJsonObject(line.trim(), file, `line ${i + 1}`) : undefined,
    ] as const
  );
  const listed: Listed[] = [];
  for (const [line, entry] of entries) {
    if (!entry) continue;
    const { file_name: name } = entry;
    if (typeof name !== "string" || !name.trim()) {
      throw new FileError(file, `line ${line} has no "file_name"`, "Each names its picture");
    }
    listed.push({ file: name.trim(), caption: captionOf(entry) });
  }
  if (listed.length) return listed;
  throw new FileError(file, "lists no pictures");
}

/** Rows of a table by the names in its first; what divides them is what Excel takes in some country. */
async function rowsOf(text: string): Promise<[number, Record<string, unknown> | undefined][]> {
  const { dsvFormat } = await import("npm:d3-dsv@3.0.1");
  const first = linesIn(text)[0];
  const by = [",", ";", "\t"].toSorted((a, b) => first.split(b).length - first.split(a).length)[0];
  const [names = [], ...rows]: string[][] = dsvFormat(by).parseRows(text);
  return rows.map((row, i) => [
    i + 2,
    row.some((cell) => cell.trim())
      ? Object.fromEntries(names.map((name, c) => [name.trim(), row[c]]))
      : undefined,
  ]);
}
