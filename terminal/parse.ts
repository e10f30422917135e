/**
 * Reading of option values: each function refuses what it cannot use, and says what it would have taken.
 */
import { InvalidArgumentError } from "npm:commander@15.1.0";
import { memorySize } from "../device/memory.ts";

/** A whole number of at least `low`, and at most `high`. */
export function whole(low: number, high = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^-?\d+$/.test(text) && value >= low && value <= high) return value;
    const bound = high === Number.MAX_SAFE_INTEGER ? `${low} or more` : `${low} to ${high}`;
    throw new InvalidArgumentError(`It must be a whole number, ${bound}.`);
  };
}

/** A number of at least `low` (or more than it, with `above`), and at most `high`. */
export function real(low: number, high = Infinity, above = false): (text: string) => number {
  return (text) => {
    const value = text.trim() === "" ? NaN : Number(text);
    if (Number.isFinite(value) && (above ? value > low : value >= low) && value <= high) {
      return value;
    }
    const from = above ? `more than ${low}` : `${low} or more`;
    throw new InvalidArgumentError(
      `It must be a number, ${from}${high === Infinity ? "" : `, at most ${high}`}.`,
    );
  };
}

/** A side of a picture in pixels: a multiple of `factor`. */
export function side(factor: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value > 0 && value % factor === 0) return value;
    throw new InvalidArgumentError(`It must be a number of pixels that ${factor} divides.`);
  };
}

/** A size of memory, as in "6GB", "900MB" or "4GiB"; gives bytes. */
export function memory(text: string): number {
  try {
    return memorySize(text);
  } catch {
    throw new InvalidArgumentError('It must be a size such as "6GB" or "900MB".');
  }
}

/** Collects a repeatable option. */
export function repeated<T>(parse: (text: string) => T): (text: string, earlier?: T[]) => T[] {
  return (text, earlier = []) => [...earlier, parse(text)];
}

/** A named folder or file, as in "dog=./regularization/dogs". */
export function named(text: string): { name: string; path: string } {
  const cut = text.indexOf("="),
    name = text.slice(0, cut).trim(),
    path = text.slice(cut + 1).trim();
  if (cut < 0 || !name || !path) {
    throw new InvalidArgumentError('It must look like "dog=./regularization/dogs".');
  }
  return { name, path };
}

/** Words and a factor, as in "party hat=2". */
export function weight(text: string): { words: string; factor: number } {
  const cut = text.lastIndexOf("="), words = text.slice(0, cut).trim();
  const factor = cut < 0 || !text.slice(cut + 1).trim() ? NaN : Number(text.slice(cut + 1));
  if (!words || !Number.isFinite(factor)) {
    throw new InvalidArgumentError('It must look like "hat=2": words of the prompt and a number.');
  }
  return { words, factor };
}
