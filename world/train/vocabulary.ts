/**
 * The miniature's tokenizer: CLIP's byte-level BPE with merges enough for every word of the world, and some everyday
 * words that prompts may bring. Ordinary BPE training (Sennrich et al. 2016), carried on until each word is one token.
 */
import { writeFileAtomic } from "../../files/atomic.ts";
import { captionWords } from "../captions.ts";
import { ICON_THINGS } from "../icons/things.ts";

/** A vocabulary and its merges. */
export interface Vocabulary {
  /** Entries; an entry's id is its place. */
  readonly tokens: readonly string[];
  /** Pairs in the order in which they were merged. */
  readonly merges: readonly (readonly [string, string])[];
}

const START = "<|startoftext|>", END = "<|endoftext|>";
/** Longest prompt in tokens. */
const MAX_LENGTH = 32;
/** Entries that no caption holds (no `</w>`): there to be copied into new tokens. */
const RARE = ["ktn", "pll", "ucd"];
const EVERYDAY =
  `the and of his her my your big little old new happy holding sitting standing swimming flying
sleeping wearing sunglasses party top crown scarf sky sun moon sea sand tree grass water mountain city garden room floor
grass made style oil digital art beautiful cute picture painting image view front side behind near three many dog horse
fish teddy bear cup boat plushy stone circular round glowing light dark bright colourful color watercolor grey white
brown gold silver teal monster throne ship i like it is this that one from by for with at to sculpture lego close very
far away zoomed up small rendition cropped good bad clean dirty nice weird cool rainy`;

/** The vocabulary of the world's words, those of drawn things too: what ships is one for all. */
export function worldVocabulary(): Vocabulary {
  const words = [...new Set([...captionWords(ICON_THINGS), ...EVERYDAY.split(/\s+/)])].sort();
  const merges = trainMerges(words);
  const merged = new Set(merges.map(([a, b]) => a + b));
  for (const rare of RARE) {
    for (let i = 2; i <= rare.length; i++) {
      const piece = rare.slice(0, i);
      if (merged.has(piece)) continue;
      merges.push([rare.slice(0, i - 1), rare[i - 1]]);
      merged.add(piece);
    }
  }
  const bytes = byteCharacters();
  const ends = bytes.map((b) => `${b}</w>`);
  return { tokens: [...bytes, ...ends, ...merges.map(([a, b]) => a + b), START, END], merges };
}

/** CLIP's reversible map from bytes to printable characters, in its order. */
function byteCharacters(): string[] {
  const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
  const printable = [...range(33, 127), ...range(161, 173), ...range(174, 256)];
  const others = 256 - printable.length;
  return [...printable, ...range(256, 256 + others)].map((code) => String.fromCharCode(code));
}

/** Merges the most frequent pair (of equals the first in order) until none is left. */
function trainMerges(words: readonly string[]): [string, string][] {
  let state = words.map((w) => [...w.slice(0, -1), `${w.at(-1)}</w>`]);
  const merges: [string, string][] = [];
  for (;;) {
    const counts = new Map<string, number>();
    for (const symbols of state) {
      for (let i = 1; i < symbols.length; i++) {
        // A space sorts before every character of a word, as the end of a string does.
        const pair = `${symbols[i - 1]} ${symbols[i]}`;
        counts.set(pair, (counts.get(pair) ?? 0) + 1);
      }
    }
    if (!counts.size) return merges;
    const [best] = [...counts].reduce((a, b) =>
      b[1] > a[1] || (b[1] === a[1] && b[0] < a[0]) ? b : a
    );
    const [left, right] = best.split(" ");
    merges.push([left, right]);
    state = state.map((symbols) => merge(symbols, left, right));
  }
}

function merge(symbols: readonly string[], left: string, right: string): string[] {
  const out: string[] = [];
  for (let i = 0; i < symbols.length; i++) {
    const both = symbols[i] === left && symbols[i + 1] === right;
    out.push(both ? left + right : symbols[i]);
    if (both) i++;
  }
  return out;
}

/** Writes the folder that transformers' `CLIPTokenizer` reads. */
export async function writeTokenizer(folder: string, { tokens, merges }: Vocabulary) {
  await Deno.mkdir(folder, { recursive: true });
  const json = (name: string, value: unknown) =>
    writeFileAtomic(`${folder}/${name}`, JSON.stringify(value, null, 2) + "\n");
  const vocabulary = Object.fromEntries(tokens.map((t, i) => [t, i]));
  await writeFileAtomic(`${folder}/vocab.json`, JSON.stringify(vocabulary));
  const lines = merges.map(([a, b]) => `${a} ${b}\n`);
  await writeFileAtomic(`${folder}/merges.txt`, `#version: 0.2\n${lines.join("")}`);
  const whole = (content: string) => ({
    content,
    lstrip: false,
    normalized: true,
    rstrip: false,
    single_word: false,
  });
  await json("special_tokens_map.json", {
    bos_token: whole(START),
    eos_token: whole(END),
    pad_token: END,
    unk_token: whole(END),
  });
  await json("tokenizer_config.json", {
    add_prefix_space: false,
    bos_token: START,
    clean_up_tokenization_spaces: true,
    do_lower_case: true,
    eos_token: END,
    errors: "replace",
    model_max_length: MAX_LENGTH,
    pad_token: END,
    tokenizer_class: "CLIPTokenizer",
    unk_token: END,
  });
}
