/**
 * JSON files read with an eye to broken and hostile ones.
 *
 * Why more than `JSON.parse`: it silently keeps the last of two equal names, and a weight file in which a tensor is
 * described twice is a lie about one of them.
 */
import { FileError } from "./errors.ts";
import { parseJson, readText } from "./text.ts";

/** A parsed JSON object. */
export type JsonObject = { readonly [name: string]: unknown };

/** Whether a parsed value is an object (not null, not an array). */
export const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Parses `text`. Throws {@linkcode FileError} naming `file` unless it is JSON and its outermost value is an object. */
export function parseJsonObject(text: string, file: string, what = "it"): JsonObject {
  const value = parseJson(text, file, what);
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

/** A name that an object holds twice. */
export interface Duplicate {
  /** The name. */
  readonly name: string;
  /** The name under which the outermost object holds the object, or what that is in; undefined for the outermost. */
  readonly within?: string;
}

/** Names that occur more than once in one object of `json`, which `JSON.parse` must have accepted. */
export function duplicateNames(json: string): Duplicate[] {
  const found: Duplicate[] = [];
  // One entry per open bracket: the names seen so far of an object, or null for an array.
  const open: (Set<string> | null)[] = [];
  const token = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],]/gy;
  const gap = /[^"{}[\],]*/gy;
  let nameNext = false, outermost: string | undefined;
  for (let at = 0;;) {
    gap.lastIndex = at;
    gap.exec(json);
    token.lastIndex = gap.lastIndex;
    const part = token.exec(json)?.[0];
    if (part === undefined) return found;
    at = token.lastIndex;
    if (part === "{") open.push(new Set());
    else if (part === "[") open.push(null);
    else if (part === "}" || part === "]") open.pop();
    else if (part !== "," && nameNext) {
      const names = open.at(-1)!, name = JSON.parse(part) as string;
      if (names!.has(name)) {
        found.push({ name, ...(open.length > 1 && { within: outermost }) });
      }
      names!.add(name);
      if (open.length === 1) outermost = name;
    }
    nameNext = (part === "{" || part === ",") && open.at(-1) instanceof Set;
  }
}
