/** Reading of `--concept`, and what several of them must not share. */
import { InvalidArgumentError } from "npm:commander@15.1.0";
import { UsageError } from "../../terminal/errors.ts";
import type { ConceptRequest } from "./request.ts";

/** A concept as in "<new1> dog=./photos/my-dog": words, of which those in angle brackets are new, and a folder. */
export function concept(text: string): ConceptRequest {
  const cut = text.indexOf("=");
  const words = text.slice(0, cut).trim().replace(/\s+/g, " "), photos = text.slice(cut + 1).trim();
  if (cut < 0 || !words || !photos) {
    throw new InvalidArgumentError('It must look like "<new1> dog=./photos/my-dog".');
  }
  const tokens = words.match(/<[^<>\s]+>/g) ?? [];
  const category = words.replace(/<[^<>\s]+>/g, "").trim().replace(/\s+/g, " ");
  if (/[<>]/.test(category)) {
    throw new InvalidArgumentError(
      "A new word is written in angle brackets without spaces: <new1>.",
    );
  }
  if (!category) {
    throw new InvalidArgumentError(
      `"${words}" has no class word. Say what kind of thing it is: "${words} dog=…".`,
    );
  }
  return { words, tokens, category, photos };
}

/** Refuses concepts that share a new word or a whole name. */
export function distinctConcepts(concepts: ConceptRequest[]): void {
  const seen = new Map<string, string>();
  for (const { words, tokens } of concepts) {
    for (const name of tokens.length ? tokens : [words]) {
      const other = seen.get(name);
      if (other !== undefined) {
        throw new UsageError(
          `two concepts use ${name} ("${other}" and "${words}"). Give each its own new word: <new1>, <new2>`,
        );
      }
      seen.set(name, words);
    }
  }
}
