/**
 * JSON files read with an eye to broken and hostile ones.
 *
 * Why more than `JSON.parse`: it silently keeps the last of two equal names, and a weight file in which a tensor is
 * described twice is a lie about one of them.
 */
import { FileError, messageOf } from "./errors.ts";

/** A parsed JSON object. */
export type JsonObject = { readonly [name: string]: unknown };

/** Whether a parsed value is an object (not null, not an array). */
export const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Parses `text`. Throws {@linkcode FileError} naming `file` unless it is JSON and its outermost value is an object. */
export function parseJsonObject(text: string, file: string, what = "it"): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new FileError(
      file,
      `${what} is not valid JSON (${messageOf(error)})`,
      "It is probably cut short or damaged: fetch or write it again",
      { cause: error },
    );
  }
  if (!isObject(value)) throw new FileError(file, `${what} is JSON, but not an object`);
  return value;
}

/**
 * Reads and parses a JSON file whose outermost value is an object.
 *
 * Infinite numbers are taken as Python writes them, which JSON does not have: diffusers' own scheduler files hold
 * `"lambda_min_clipped": -Infinity`.
 */
export async function readJsonObject(path: string): Promise<JsonObject> {
  return parseJsonObject(withInfinities(await readText(path)), path);
}

/** Python's `Infinity` outside of strings as a number of JSON that is as large. */
export const withInfinities = (text: string): string =>
  text.replace(
    /"[^"\\]*(?:\\.[^"\\]*)*"|Infinity\b/g,
    (part) => part === "Infinity" ? "1e999" : part,
  );

/** Reads a UTF-8 text file. Throws {@linkcode FileError} if it can't be read. */
export async function readText(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    throw FileError.from(error, path, "reading it");
  }
}

/** The first name that occurs twice in one object of `json` (which `JSON.parse` must have accepted), or undefined. */
export function duplicateName(json: string): string | undefined {
  // One entry per open bracket: the names seen so far of an object, or null for an array.
  const open: (Set<string> | null)[] = [];
  const token = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],]/gy;
  const gap = /[^"{}[\],]*/gy;
  let nameNext = false;
  for (let at = 0;;) {
    gap.lastIndex = at;
    gap.exec(json);
    token.lastIndex = gap.lastIndex;
    const found = token.exec(json)?.[0];
    if (found === undefined) return undefined;
    at = token.lastIndex;
    if (found === "{") open.push(new Set());
    else if (found === "[") open.push(null);
    else if (found === "}" || found === "]") open.pop();
    else if (found !== "," && nameNext) {
      const names = open.at(-1)!;
      const name = JSON.parse(found) as string;
      if (names!.has(name)) return name;
      names!.add(name);
    }
    nameNext = (found === "{" || found === ",") && open.at(-1) instanceof Set;
  }
}
