/**
 * Where V* starts (paper §3.2): from the row of a vocabulary entry that hardly occurs in captions, so that little is
 * known of it, but that does occur, so that its row was trained at all.
 */
import { expectKinds, having, ITERABLE } from "../../tensor/kinds.ts";
import type { Tokenizer } from "../../models/clip/tokenizer.ts";

/** A vocabulary entry that V* may start from. */
export interface RareToken {
  /** Its letters. */
  readonly entry: string;
  /** As in the vocabulary, with `</w>` where it ends a word: what `initializer` takes. */
  readonly initializer: string;
  /** Its row in the token table. */
  readonly id: number;
  /** How often it occurs in the captions. */
  readonly count: number;
}

/** Options of {@linkcode rareTokens}; the defaults are the paper's, for 200,000 captions. */
export interface RareTokenOptions {
  /** Fewest occurrences. Default 5. */
  readonly low?: number;
  /** Most occurrences. Default 10. */
  readonly high?: number;
}

/** The mark that BPE puts behind the last piece of a word. */
const END = "</w>";

/**
 * Vocabulary entries that occur 5–10 times in the captions, consist of letters and are no part of another entry; the
 * rarest first, and of equals the earlier row.
 *
 * @param captions a large sample of what the model was trained on: a few captions say nothing about rarity
 * @throws RangeError when `low` is over `high`
 */
export function rareTokens(
  tokenizer: Tokenizer,
  captions: Iterable<string>,
  { low = 5, high = 10 }: RareTokenOptions = {},
): RareToken[] {
  expectKinds("rareTokens", {
    tokenizer: [tokenizer, having("a tokenizer", "encode")],
    captions: [captions, ITERABLE],
  });
  if (!(low <= high)) throw new RangeError(`no count is at least ${low} and at most ${high}`);
  const counts = new Map<number, number>();
  for (const caption of captions) {
    for (const id of tokenizer.encode(caption)) counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  const added = new Set(tokenizer.added.values());
  const ids = Array.from({ length: tokenizer.size }, (_, id) => id).filter((id) => !added.has(id));
  const raw = tokenizer.entries(ids);
  const words = raw.map((entry) => entry.replace(END, ""));
  // One long text, so that "is a part of another" is a search and not a comparison of all with all.
  const all = ` ${[...new Set(words)].join(" ")} `;
  const partOfAnother = (word: string) => {
    const first = all.indexOf(word);
    return first !== all.lastIndexOf(word);
  };
  return ids.flatMap((id, i) => {
    const count = counts.get(id) ?? 0, entry = words[i];
    const fits = count >= low && count <= high && /^[a-z]+$/.test(entry) && !partOfAnother(entry);
    return fits ? [{ entry, initializer: raw[i], id, count }] : [];
  }).sort((a, b) => a.count - b.count || a.id - b.id);
}
