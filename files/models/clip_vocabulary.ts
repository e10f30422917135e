/**
 * CLIP's own vocabulary, which every published Stable Diffusion has: single-file checkpoints come without a tokenizer.
 *
 * Loaded only where it is needed: it is half a megabyte.
 * Source: bpe_simple_vocab_16e6.txt of OpenAI's CLIP (MIT; the licence is in the file).
 */
import type { TokenizerParts } from "./tokenizer.ts";

const START = "<|startoftext|>", END = "<|endoftext|>";

/**
 * The parts of CLIP's tokenizer, as a folder would hold them.
 *
 * @param pad fills up to 77: the end token for Stable Diffusion 1, `"!"` for 2
 */
export async function clipTokenizer(pad: string): Promise<TokenizerParts> {
  const { default: held } = await import("./clip_merges.json", { with: { type: "json" } });
  const merges = held.merges.split("\n");
  const symbols = byteSymbols();
  const entries = [
    ...symbols,
    ...symbols.map((symbol) => `${symbol}</w>`),
    ...merges.map((pair) => pair.replace(" ", "")),
    START,
    END,
  ];
  const token = (content: string) => ({ content, normalized: true });
  return {
    vocab: Object.fromEntries(entries.map((entry, id) => [entry, id])),
    merges,
    config: { model_max_length: 77 },
    special: {
      bos_token: token(START),
      eos_token: token(END),
      unk_token: token(END),
      pad_token: pad,
    },
    name: "CLIP's tokenizer",
  };
}

/** A visible character for each byte, in the order of the vocabulary: first those that are visible themselves. */
function byteSymbols(): string[] {
  const visible = (byte: number) =>
    byte >= 33 && byte <= 126 || byte >= 161 && byte <= 255 && byte !== 173;
  const bytes = Array.from({ length: 256 }, (_, byte) => byte);
  return [
    ...bytes.filter(visible).map((byte) => String.fromCharCode(byte)),
    ...bytes.filter((byte) => !visible(byte)).map((_, i) => String.fromCharCode(256 + i)),
  ];
}
