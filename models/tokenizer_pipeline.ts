/**
 * CLIP's tokenizer as the description that the tokenizer library takes.
 *
 * Why not the folder's own `tokenizer.json`: most model folders have none, and transformers itself ignores all of it
 * but vocabulary, merges and added tokens. The steps are those of transformers' `CLIPTokenizer`.
 */
import type { WholeToken } from "../files/tokenizer.ts";

/** What the pipeline is made from. */
export interface PipelineParts {
  readonly vocab: Readonly<Record<string, number>>;
  readonly merges: readonly (string | readonly string[])[];
  readonly whole: readonly WholeToken[];
  readonly bos: { readonly content: string; readonly id: number };
  readonly eos: { readonly content: string; readonly id: number };
  readonly unknown: string;
}

// Unicode's White_Space: what JavaScript calls \s differs from it by U+0085 and U+FEFF.
const WORDS = String
  .raw`<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\p{White_Space}\p{L}\p{N}]+`;

/** The description, in the format of `tokenizer.json`. */
export function pipeline(parts: PipelineParts): Record<string, unknown> {
  return {
    version: "1.0",
    added_tokens: parts.whole.map((token) => ({
      ...token,
      single_word: false,
      lstrip: false,
      rstrip: false,
    })),
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "NFC" },
        { type: "Replace", pattern: { Regex: String.raw`\p{White_Space}+` }, content: " " },
        { type: "Lowercase" },
      ],
    },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: WORDS }, behavior: "Removed", invert: true },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true },
      ],
    },
    post_processor: {
      type: "RobertaProcessing",
      sep: [parts.eos.content, parts.eos.id],
      cls: [parts.bos.content, parts.bos.id],
      trim_offsets: false,
      add_prefix_space: false,
    },
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: parts.unknown,
      continuing_subword_prefix: "",
      end_of_word_suffix: "</w>",
      fuse_unk: false,
      vocab: parts.vocab,
      merges: parts.merges,
    },
  };
}
