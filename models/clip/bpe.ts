/**
 * CLIP's byte-pair encoding: text to words, words to bytes, bytes to entries of a vocabulary, and back; step for step what
 * transformers 5 makes of its `CLIPTokenizer` (`normalizers`, `pre_tokenizers` and `BPE` of the tokenizers library).
 */

/** Bytes as printable characters, one each: how vocabularies write them. */
const SYMBOLS: readonly string[] = symbols();

function symbols(): string[] {
  const printable = (b: number) => b > 32 && b < 127 || b > 160 && b !== 173;
  let next = 256;
  return Array.from({ length: 256 }, (_, b) => String.fromCodePoint(printable(b) ? b : next++));
}

const BYTES = new Map(SYMBOLS.map((symbol, byte) => [symbol, byte]));
const END_OF_WORD = "</w>";

// Unicode's White_Space: what JavaScript calls \s differs from it by U+0085 and U+FEFF.
const SPACE = /\p{White_Space}+/gu;
const CONTRACTIONS = "'s|'t|'re|'ve|'m|'ll|'d";
const OTHER = String.raw`[^\p{White_Space}\p{L}\p{N}]+`;
const WORDS = new RegExp(
  String.raw`<\|startoftext\|>|<\|endoftext\|>|${CONTRACTIONS}|\p{L}+|\p{N}|${OTHER}`,
  "gu",
);
/** A second cut, which the first leaves nothing to do but in the two tokens that it keeps whole. */
const WITHIN = new RegExp(String.raw`${CONTRACTIONS}|\p{L}+|\p{N}+|${OTHER}`, "gu");

/** Composed characters, one space where there was white space, lower case. */
export function normalized(text: string): string {
  // Rust lower-cases character by character; JavaScript knows that a final Σ becomes ς.
  return text.normalize("NFC").replaceAll(SPACE, " ").replaceAll("Σ", "σ").toLowerCase();
}

/** Words that are remembered with their ids. */
const REMEMBERED = 20_000;

/** Ids of normalized texts. */
export class BytePairs {
  readonly #ranks = new Map<string, number>();
  readonly #ids: ReadonlyMap<string, number>;
  readonly #unknown: string;
  readonly #known = new Map<string, readonly number[]>();
  readonly #encoder = new TextEncoder();

  /**
   * @param ids of the vocabulary's entries
   * @param merges pairs of entries, the most urgent first; both and what they make are entries
   * @param unknown the entry that stands for a byte which is none
   */
  constructor(
    ids: ReadonlyMap<string, number>,
    merges: readonly (string | readonly string[])[],
    unknown: string,
  ) {
    this.#ids = ids;
    this.#unknown = unknown;
    merges.forEach((pair, rank) => {
      const key = typeof pair === "string" ? pair : pair.join(" ");
      if (!this.#ranks.has(key)) this.#ranks.set(key, rank);
    });
  }

  /** Ids of a text that is {@linkcode normalized}. */
  encode(text: string): number[] {
    const words = text.match(WORDS) ?? [];
    return words.flatMap((word) => word.match(WITHIN) ?? []).flatMap((word) => this.#word(word));
  }

  #word(word: string): readonly number[] {
    const known = this.#known.get(word);
    if (known) return known;
    const bytes = Array.from(this.#encoder.encode(word), (byte) => SYMBOLS[byte]);
    bytes[bytes.length - 1] += END_OF_WORD;
    const pieces = bytes.map((piece) => this.#ids.has(piece) ? piece : this.#unknown);
    const ids = this.#merged(pieces).map((piece) => this.#ids.get(piece)!);
    if (this.#known.size >= REMEMBERED) this.#known.clear();
    this.#known.set(word, ids);
    return ids;
  }

  /** Merges the most urgent pair, the leftmost of several, until no pair is in the list. */
  #merged(pieces: string[]): string[] {
    for (;;) {
      let best = Infinity;
      for (let i = 1; i < pieces.length; i++) {
        best = Math.min(best, this.#rank(pieces[i - 1], pieces[i]));
      }
      if (best === Infinity) return pieces;
      const next: string[] = [];
      let i = 0;
      while (i < pieces.length) {
        if (this.#rank(pieces[i], pieces[i + 1]) !== best) {
          next.push(pieces[i++]);
          continue;
        }
        const made = pieces[i] + pieces[i + 1];
        const before = next.at(-1);
        next.push(made);
        i += 2;
        // Many occurrences in one pass, unless a merge that was learned earlier has become possible.
        if (Math.min(this.#rank(before, made), this.#rank(made, pieces[i])) < best) break;
      }
      pieces = [...next, ...pieces.slice(i)];
    }
  }

  #rank(a: string | undefined, b: string | undefined): number {
    return a === undefined || b === undefined ? Infinity : this.#ranks.get(`${a} ${b}`) ?? Infinity;
  }
}

/** The text that entries spell, words apart. */
export function textOf(entries: readonly string[]): string {
  const encoder = new TextEncoder();
  const bytes = entries.flatMap((entry) => {
    const own = Array.from(entry, (symbol) => BYTES.get(symbol));
    return own.includes(undefined) ? [...encoder.encode(entry)] : own as number[];
  });
  return new TextDecoder().decode(Uint8Array.from(bytes)).replaceAll(END_OF_WORD, " ").trim();
}
