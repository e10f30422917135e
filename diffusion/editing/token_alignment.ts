/**
 * Which token of one prompt stands for which of another: what Prompt-to-Prompt (Hertz et al. 2022, §3.2) moves attention
 * by. Pure functions of token ids; position 0 is the start token, and behind the words come the end token and padding.
 */

/** A prompt as words, each the ids of its tokens. */
export type PromptWords = readonly (readonly number[])[];

/** Where each token of an edited prompt takes its attention from. */
export interface TokenMap {
  /** `[T, T]` by rows: how much of source token i goes to edited token j, in row i and column j. */
  readonly from: Float32Array;
  /** `[T]`: 1 for tokens of the edited prompt that nothing stands for in the source; they keep their own. */
  readonly own: Float32Array;
}

/** Positions of each word's tokens in a sequence of so many. Words that are cut off have none. */
export function wordPositions(words: PromptWords, length: number): number[][] {
  let at = 1;
  return words.map((word) => word.map(() => at++).filter((p) => p < length - 1));
}

/**
 * Word by word, for prompts of as many words. A word's attention goes to the word in its place: token by token where
 * both have as many, else in equal parts to all of its tokens. No attention is lost: rows sum to 1.
 *
 * @throws RangeError when one prompt has more words than the other
 */
export function replacementMap(
  source: PromptWords,
  edited: PromptWords,
  length: number,
): TokenMap {
  if (source.length !== edited.length) {
    throw new RangeError(
      `a prompt of ${source.length} words cannot replace one of ${edited.length} word by word`,
    );
  }
  const [from, to] = [wordPositions(source, length), wordPositions(edited, length)];
  const links = from.flatMap((positions, w) =>
    positions.length === to[w].length
      ? positions.map((p, k): Link => [p, to[w][k], 1])
      : positions.flatMap((p) => to[w].map((q): Link => [p, q, 1 / to[w].length]))
  );
  return mapOf([...links, ...tail(from, to, length)], length);
}

/**
 * Token by token along the longest common subsequence, for prompts to which words are added, or from which they are
 * taken: tokens that both have keep the source's attention, the others their own.
 */
export function refinementMap(source: PromptWords, edited: PromptWords, length: number): TokenMap {
  const [a, b] = [source.flat(), edited.flat()].map((ids) => ids.slice(0, length - 2));
  const [from, to] = [wordPositions(source, length), wordPositions(edited, length)];
  const links = commonSubsequence(a, b).map(([i, j]): Link => [i + 1, j + 1, 1]);
  return mapOf([...links, ...tail(from, to, length)], length);
}

/** Pairs of positions of a longest common subsequence; of several, the one that pairs tokens the earliest. */
export function commonSubsequence(
  a: readonly number[],
  b: readonly number[],
): [number, number][] {
  // longest[i][j]: of a from i on and b from j on.
  const longest = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      longest[i][j] = a[i] === b[j]
        ? longest[i + 1][j + 1] + 1
        : Math.max(longest[i + 1][j], longest[i][j + 1]);
    }
  }
  const pairs: [number, number][] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    if (a[i] === b[j]) pairs.push([i++, j++]);
    else if (longest[i + 1][j] >= longest[i][j + 1]) i++;
    else j++;
  }
  return pairs;
}

/**
 * Positions of every occurrence of a phrase in a prompt.
 *
 * @param phrase ids of its tokens
 * @returns none where the prompt does not have it, or where it is cut off
 */
export function phrasePositions(
  words: PromptWords,
  phrase: readonly number[],
  length: number,
): number[] {
  const ids = words.flat().slice(0, length - 2);
  const found = new Set<number>();
  for (let i = 0; phrase.length && i + phrase.length <= ids.length; i++) {
    if (phrase.every((id, k) => ids[i + k] === id)) phrase.forEach((_, k) => found.add(i + k + 1));
  }
  return [...found];
}

type Link = readonly [source: number, edited: number, share: number];

/**
 * Start to start, and the end token with its padding to the same, from the front. The shorter tail's last token stands
 * for all that the other has more.
 */
function tail(from: readonly number[][], to: readonly number[][], length: number): Link[] {
  const [a, b] = [from, to].map((words) => words.flat().length + 1);
  const [n, m] = [length - a, length - b];
  const links: Link[] = [[0, 0, 1]];
  for (let k = 0; k < n; k++) {
    if (k < Math.min(n, m) - 1 || n > m) links.push([a + k, b + Math.min(k, m - 1), 1]);
    else for (let j = k; j < m; j++) links.push([a + k, b + j, 1 / (m - k)]);
  }
  return links;
}

function mapOf(links: readonly Link[], length: number): TokenMap {
  const from = new Float32Array(length * length), own = new Float32Array(length).fill(1);
  for (const [i, j, share] of links) {
    from[i * length + j] = share;
    own[j] = 0;
  }
  return { from, own };
}
