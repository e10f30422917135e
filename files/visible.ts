/**
 * Texts from files as they may be shown: a name that holds control characters must not move a terminal's cursor, hide
 * what comes behind it, or look like another line.
 */

/** Control characters but line feed and tab, line separators, and what turns the direction of writing. */
// deno-lint-ignore no-control-regex
const HIDDEN = /[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** As JSON writes it, so that JSON stays the same JSON. */
const escaped = (letter: string): string =>
  `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`;

/** A text with its control characters written out; lines stay lines. */
export const visible = (text: string): string => text.replace(HIDDEN, escaped);

/** A name, or what else is to stay in its line, with its control characters written out. */
export const visibleLine = (text: string): string =>
  visible(text.replaceAll("\r\n", "\\n").replaceAll("\n", "\\n").replaceAll("\t", "\\t"));
