/**
 * What a model reads of a text: so many tokens between start and end, 75 for CLIP. What stands behind them is cut off,
 * here as in every program, but never silently: the caller hears of it, and a text that would lose a new word is refused,
 * since pictures made of the rest, and training on it, would be of something else.
 */
import { expectKinds, FUNCTION, having, type Kind, listOf, TEXT } from "../tensor/kinds.ts";
import { TokenError, type Tokenizer } from "./clip/tokenizer.ts";

/** Hears of something that goes on, but not as one may think. One line, for people. */
export type OnWarning = (warning: string) => void;

/** How much is read, and by which words. */
export interface TextWindow {
  /** Knows the new words, too. */
  readonly tokenizer: Pick<Tokenizer, "idsOf" | "added">;
  /** Positions of a text, start and end counted. */
  readonly length: number;
}

const WINDOW: Kind = having(
  "a window { tokenizer, length }, as textWindow gives it",
  "tokenizer",
  "length",
);

/** A text that is longer than what is read of it. */
export interface CutText {
  /** As it was given. */
  readonly text: string;
  /** The words of it that are read whole. */
  readonly kept: string;
  /** Those behind them. */
  readonly lost: string;
}

/**
 * What is cut off of a text; undefined where nothing is.
 *
 * @param what the text is, "prompt", for errors
 * @throws TokenError where a new word would be lost
 */
export function cutText(
  window: TextWindow,
  text: string,
  what = "text",
): CutText | undefined {
  expectKinds("cutText", { window: [window, WINDOW], text: [text, TEXT], what: [what, TEXT] });
  const { tokenizer, length } = window;
  const room = length - 2, ids = tokenizer.idsOf(text);
  if (ids.length <= room) return undefined;
  const read = ids.slice(0, room), behind = ids.slice(room);
  const [kept, lost] = split(text.trim(), (part) => tokenizer.idsOf(part).length <= room);
  for (const [token, id] of tokenizer.added) {
    if (!behind.includes(id) || read.includes(id)) continue;
    throw new TokenError(
      token,
      `is cut off: of the ${what} ${excerpt(text, 60)} the model reads ${room} tokens of ` +
        `${ids.length}, up to ${excerpt(kept, -30)}. Say less before it`,
    );
  }
  return { text, kept, lost };
}

/** A text where it no longer fits: between two words, or two letters where there is but one word. */
function split(text: string, fits: (part: string) => boolean): [kept: string, lost: string] {
  for (const [parts, between] of [[text.split(/\s+/), " "], [Array.from(text), ""]] as const) {
    const first = (n: number) => parts.slice(0, n).join(between);
    let whole = 0, beyond = parts.length;
    while (beyond - whole > 1) {
      const middle = (whole + beyond) >> 1;
      if (fits(first(middle))) whole = middle;
      else beyond = middle;
    }
    if (whole) return [first(whole), parts.slice(whole).join(between)];
  }
  return ["", text];
}

/**
 * Hands texts over to be read, and warns where something is cut off: once, however many they are.
 *
 * @param what they are, "prompt"
 * @throws TokenError where a new word would be lost
 */
export function checkTexts(
  window: TextWindow,
  texts: readonly string[],
  what: string,
  onWarning?: OnWarning,
): void {
  expectKinds("checkTexts", {
    window: [window, WINDOW],
    texts: [texts, listOf(TEXT)],
    what: [what, TEXT],
    "onWarning?": [onWarning, FUNCTION],
  });
  const distinct = [...new Set(texts)];
  const cuts = distinct.flatMap((text) => cutText(window, text, what) ?? []);
  if (!cuts.length) return;
  const [{ kept, lost }] = cuts, reads = `${window.length - 2} tokens that are read`;
  const where = `behind ${excerpt(kept, -30)}, ${excerpt(lost, 60)} is cut off`;
  onWarning?.(
    distinct.length === 1
      ? `the ${what} is longer than the ${reads}: ${where}`
      : `${cuts.length} of ${distinct.length} ${what}s ${
        cuts.length === 1 ? "is" : "are"
      } longer than the ${reads}. Of the first, ${where}`,
  );
}

/** The first letters of a text, or the last ones, in quotes, and with nothing in it that a terminal obeys. */
function excerpt(text: string, letters: number): string {
  const all = Array.from(text);
  if (all.length <= Math.abs(letters)) return JSON.stringify(text);
  return JSON.stringify(
    letters > 0
      ? `${all.slice(0, letters).join("").trimEnd()} …`
      : `… ${all.slice(letters).join("").trimStart()}`,
  );
}
