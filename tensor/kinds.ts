/**
 * Arguments that are no tensors: texts, lists, things with names. Every function of the library's doors looks at its
 * own first, in one line, by what such things have: users of JavaScript have no types that would tell them.
 */
import { what } from "./what.ts";

/** What an argument is to be: in words, and how one sees it. */
export type Kind = readonly [words: string, is: (x: unknown) => boolean];

/** What has some properties. */
export const having = (words: string, ...names: readonly string[]): Kind => [
  words,
  (x) => x !== null && typeof x === "object" && names.every((name) => name in x),
];

/** A list of such things. */
export const listOf = ([words, is]: Kind): Kind => [
  `a list, each ${words}`,
  (x) => Array.isArray(x) && Array.from(x).every(is),
];

export const TEXT: Kind = ["a text", (x) => typeof x === "string"];
export const NUMBER: Kind = ["a number", (x) => typeof x === "number"];
export const FUNCTION: Kind = ["a function", (x) => typeof x === "function"];
/** Texts or whatever else, one after the other; a text is no list of its letters. */
export const ITERABLE: Kind = [
  "a list",
  (x) => x !== null && typeof x === "object" && !("node" in x) && Symbol.iterator in x,
];
/** Anything with names; what is in it is for the function to see. */
export const RECORD: Kind = ["an object", (x) => x !== null && typeof x === "object"];
export const NUMBERS: Kind = [
  "numbers in a row",
  (x) => Array.isArray(x) || (ArrayBuffer.isView(x) && "length" in x),
];
export const BYTES: Kind = ["bytes, as a Uint8Array", (x) => x instanceof Uint8Array];

/**
 * Refuses arguments that are not what they are to be.
 *
 * @param op the function that was called
 * @param named its first arguments in their order, by name, with what they are to be; one whose name ends in `?` may be undefined
 * @throws TypeError
 */
export function expectKinds(
  op: string,
  named: Readonly<Record<string, readonly [x: unknown, kind: Kind]>>,
): void {
  Object.entries(named).forEach(([name, [x, kind]], i) => {
    if (x === undefined && name.endsWith("?")) return;
    expectKind(op, `argument ${i + 1} (${name.replace("?", "")})`, x, kind);
  });
}

/** Refuses one thing at a place that is named. @throws TypeError */
export function expectKind(op: string, place: string, x: unknown, [words, is]: Kind): void {
  if (!is(x)) throw new TypeError(`${op}: ${place} is ${what(x)}, not ${words}`);
}
