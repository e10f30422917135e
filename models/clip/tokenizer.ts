/**
 * CLIP's tokenizer: text to the ids of vocabulary entries, with room for new words.
 *
 * Why mutable: teaching a concept means adding a token (`<new1>`) to a vocabulary that was closed when the model was
 * trained. Its id is the number of a new row of the embedding table.
 */
import { FileError } from "../../files/errors.ts";
import { isObject } from "../../files/json.ts";
import {
  readTokenizerParts,
  type TokenizerParts,
  type WholeToken,
} from "../../files/models/tokenizer.ts";
import { BytePairs, normalized, textOf } from "./bpe.ts";

export type { TokenizerParts, WholeToken } from "../../files/models/tokenizer.ts";

/** A token that can't be added: empty, with white space in it, or known already. */
export class TokenError extends Error {
  /**
   * Puts the message together.
   *
   * @param token the token that was to be added
   */
  constructor(readonly token: string, fault: string) {
    super(`token ${JSON.stringify(token)} ${fault}`);
    this.name = "TokenError";
  }
}

/**
 * Makes a tokenizer from a folder (`vocab.json` and `merges.txt`, or `tokenizer.json`) or from the parsed parts.
 *
 * @throws FileError naming the file or entry that is missing or wrong
 */
export async function loadTokenizer(from: string | TokenizerParts): Promise<Tokenizer> {
  return new Tokenizer(typeof from === "string" ? await readTokenizerParts(from) : from);
}

/** See {@linkcode loadTokenizer}. */
export class Tokenizer {
  /** Id of the start token, which begins every sequence. */
  readonly bos: number;
  /** Id of the end token, which ends every text; its position is where CLIP pools. */
  readonly eos: number;
  /** Id that fills up to the model's length; the end token for Stable Diffusion 1, `"!"` for 2. */
  readonly pad: number;
  /** The model's sequence length, from the configuration; 77 where that does not say. */
  readonly maxLength: number;
  /** Number of ids before any `addToken`: the rows of the embedding table as shipped. */
  readonly baseSize: number;

  readonly #whole: WholeToken[];
  readonly #added = new Map<string, number>();
  readonly #entries: Map<string, number>;
  readonly #names: Map<number, string>;
  readonly #pairs: BytePairs;
  /** Whole tokens as they stand in a text, and as they stand in one that is normalized. */
  #cuts: [asWritten: Cut, normalized: Cut];

  /** Use {@linkcode loadTokenizer}. */
  constructor(parts: TokenizerParts) {
    this.#entries = new Map(Object.entries(parts.vocab));
    const whole = new Map((parts.added ?? []).map((token) => [token.content, token]));
    const idOf = (token: string): number => {
      const id = this.#entries.get(token) ?? whole.get(token)?.id;
      if (id !== undefined) return id;
      throw new FileError(
        parts.name ?? "(tokenizer)",
        `its vocabulary has no ${JSON.stringify(token)}, which its configuration names`,
        "The files are of different tokenizers: fetch the folder again",
      );
    };
    const eos = specialOf(parts, "eos_token", "<|endoftext|>").content;
    const specials = [
      specialOf(parts, "bos_token", "<|startoftext|>"),
      specialOf(parts, "eos_token", eos),
      specialOf(parts, "unk_token", eos),
      specialOf(parts, "pad_token", eos),
    ];
    // As in transformers: a list of added tokens knows best, and of several kinds the one named last.
    const listed = new Map(whole);
    for (const { content, normalized } of specials) {
      const rule = listed.get(content)?.normalized ?? normalized;
      whole.set(content, { content, normalized: rule, special: true, id: idOf(content) });
    }
    this.#whole = [...whole.values()];
    const ids = [...this.#entries.values(), ...this.#whole.map((token) => token.id)];
    this.baseSize = ids.reduce((most, id) => Math.max(most, id + 1), 0);
    [this.bos, this.eos, , this.pad] = specials.map((token) => idOf(token.content));
    const longest = parts.config?.model_max_length;
    this.maxLength = typeof longest === "number" && longest >= 2 && longest <= 1e6 ? longest : 77;
    this.#pairs = new BytePairs(this.#entries, parts.merges, specials[2].content);
    this.#names = new Map([...this.#entries].map(([entry, id]) => [id, entry]));
    for (const { id, content } of this.#whole) this.#names.set(id, content);
    this.#cuts = cutsOf(this.#whole);
  }

  /** Number of ids in all: the rows that the embedding table must have. */
  get size(): number {
    return this.baseSize + this.#added.size;
  }

  /** The tokens added by `addToken`, in order, with their ids. */
  get added(): ReadonlyMap<string, number> {
    return this.#added;
  }

  /** Ids of a text between start and end token, of any length. */
  encode(text: string): number[] {
    return [this.bos, ...this.idsOf(text), this.eos];
  }

  /**
   * Ids of a text, cut or padded to exactly `length`: start, at most `length` − 2 ids of the text, end, padding.
   *
   * @throws RangeError if `length` has no room for start and end
   */
  encodePadded(text: string, length = this.maxLength): number[] {
    if (!Number.isSafeInteger(length) || length < 2) {
      throw new RangeError(`a sequence of length ${length} has no room for start and end`);
    }
    const ids = [this.bos, ...this.idsOf(text).slice(0, length - 2), this.eos];
    while (ids.length < length) ids.push(this.pad);
    return ids;
  }

  /** Ids of a word or phrase as it stands in the middle of a text, without start and end. */
  idsOf(words: string): number[] {
    return this.#pieces(words).flatMap((piece) =>
      typeof piece === "string" ? this.#pairs.encode(piece) : piece
    );
  }

  /** The same ids word by word: a word is what ends where a text may be cut, so punctuation is one, too. */
  wordsOf(text: string): number[][] {
    return this.#pieces(text).flatMap((piece) => {
      if (typeof piece !== "string") return [[piece]];
      const words: number[][] = [];
      let open: number[] = [];
      for (const id of this.#pairs.encode(piece)) {
        if (!open.length) words.push(open);
        open.push(id);
        if (this.#names.get(id)?.endsWith("</w>")) open = [];
      }
      return words;
    });
  }

  /** Ids of whole tokens, and the normalized text between them. */
  #pieces(text: string): (string | number)[] {
    const [asWritten, lower] = this.#cuts;
    return cut(text, asWritten).flatMap((part) =>
      typeof part === "string" ? cut(normalized(part), lower) : part
    );
  }

  /**
   * The id of a raw vocabulary entry, or undefined. An entry is no word: `"ktn"` is a piece inside of words, while the
   * word "cat" is the entry `"cat</w>"`.
   */
  rawId(entry: string): number | undefined {
    return this.#entries.get(entry) ?? this.#whole.find((t) => t.content === entry)?.id;
  }

  /** The vocabulary entry of each id, `"cat</w>"`, for reports; `"?"` for an id that there isn't. */
  entries(ids: readonly number[]): string[] {
    return ids.map((id) => this.#names.get(id) ?? "?");
  }

  /** Ids back to lower-case text; start, end and padding by the end token are left out unless `special` is set. */
  decode(ids: readonly number[], options: { special?: boolean } = {}): string {
    const left = new Set(
      options.special ? [] : this.#whole.filter((t) => t.special).map((t) => t.id),
    );
    return textOf(this.entries(ids.filter((id) => !left.has(id))));
  }

  /**
   * Adds a token, which is recognised everywhere, also glued to a word, in any case.
   *
   * @returns its id: the next after all that exist
   * @throws TokenError if it is empty, has white space in it, or is a word or token already
   */
  addToken(token: string): number {
    if (token === "" || /\p{White_Space}/u.test(token)) {
      throw new TokenError(token, "is empty or has white space in it. Choose a name like <new1>");
    }
    const same = (other: string) => normalized(other) === normalized(token);
    const taken = this.#entries.has(token) || this.#entries.has(normalized(token)) ||
      this.#entries.has(`${normalized(token)}</w>`);
    if (taken) {
      throw new TokenError(token, "is in the vocabulary already. Choose a name like <new1>");
    }
    if (this.#whole.some((t) => same(t.content))) {
      throw new TokenError(token, "was added already. Choose another name");
    }
    const id = this.size;
    this.#whole.push({ id, content: token, special: false, normalized: true });
    this.#added.set(token, id);
    this.#names.set(id, token);
    this.#cuts = cutsOf(this.#whole);
    return id;
  }
}

/** Tokens that are looked for in a text, the longest first where several begin. */
interface Cut {
  readonly ids: ReadonlyMap<string, number>;
  readonly pattern?: RegExp;
}

function cutsOf(whole: readonly WholeToken[]): [Cut, Cut] {
  const of = (rule: boolean, form: (content: string) => string): Cut => {
    const ids = new Map(
      whole.filter((t) => t.normalized === rule).map((t) => [form(t.content), t.id]),
    );
    const words = [...ids.keys()].filter(Boolean).sort((a, b) => b.length - a.length)
      .map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    return words.length ? { ids, pattern: new RegExp(`(${words.join("|")})`) } : { ids };
  };
  return [of(false, (content) => content), of(true, normalized)];
}

/** A text as ids of whole tokens and what stands between them. */
function cut(text: string, { ids, pattern }: Cut): (string | number)[] {
  if (!pattern) return [text];
  return text.split(pattern).map((part, i) => i % 2 ? ids.get(part)! : part);
}

/**
 * What the configuration says of a special token: a string, or an object with its own rule on upper and lower case.
 * A plain string is matched as written.
 */
function specialOf(parts: TokenizerParts, kind: string, missing: string) {
  const said = parts.special?.[kind] ?? parts.config?.[kind] ?? missing;
  if (typeof said === "string") return { content: said, normalized: false };
  if (isObject(said) && typeof said.content === "string") {
    return { content: said.content, normalized: said.normalized === true };
  }
  throw new FileError(
    parts.name ?? "(tokenizer)",
    `its ${kind} is ${JSON.stringify(said)}, which is no token`,
  );
}
