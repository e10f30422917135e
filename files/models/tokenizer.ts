/**
 * The files of a tokenizer folder, read and checked, but not yet made into a tokenizer.
 *
 * Why here: `models/` is to run in a browser, where there are no folders; it takes the parsed parts.
 */
import { FileError } from "../errors.ts";
import { isObject, type JsonObject, readJsonObject } from "../json.ts";
import { linesIn, readText } from "../text.ts";
import { isFile } from "../paths.ts";

/** A token that is recognised as a whole before anything else happens to the text. */
export interface WholeToken {
  /** Row of the embedding table. */
  readonly id: number;
  /** The token as it stands in a text. */
  readonly content: string;
  /** Left out of decoded text: start, end, padding. */
  readonly special: boolean;
  /** Whether it is looked for in the lower-cased text (any case matches) or in the text as written. */
  readonly normalized: boolean;
}

/** What a tokenizer is made of, parsed. */
export interface TokenizerParts {
  /** Vocabulary entry → id, as in `vocab.json`; entries that end a word end in `</w>`. */
  readonly vocab: Readonly<Record<string, number>>;
  /** Pairs that are merged, the most urgent first: `"l o"`, as in the lines of `merges.txt`, or `["l", "o"]`. */
  readonly merges: readonly (string | readonly string[])[];
  /** Tokens that are recognised as a whole before anything else happens to the text. */
  readonly added?: readonly WholeToken[];
  /** `tokenizer_config.json`. */
  readonly config?: JsonObject;
  /** `special_tokens_map.json`. */
  readonly special?: JsonObject;
  /** What to call it in messages. */
  readonly name?: string;
}

/** Files of which a tokenizer's folder has one. */
export const TOKENIZER_FILES = ["vocab.json", "tokenizer.json"];

/**
 * Reads a tokenizer folder: `vocab.json` and `merges.txt`, or `tokenizer.json`; and its configuration.
 *
 * @throws FileError naming the file that is missing or wrong
 */
export async function readTokenizerParts(folder: string): Promise<TokenizerParts> {
  const path = (name: string) => `${folder}/${name}`;
  const optional = async (name: string) =>
    await isFile(path(name)) ? await readJsonObject(path(name)) : undefined;
  const [config, special, json] = await Promise.all([
    optional("tokenizer_config.json"),
    optional("special_tokens_map.json"),
    optional("tokenizer.json"),
  ]);
  const file = path("tokenizer_config.json");
  const listed = config?.added_tokens_decoder;
  const added = [
    ...Object.entries(await optional("added_tokens.json") ?? {})
      .map(([content, id]) => wholeToken({ content, id }, path("added_tokens.json"))),
    ...Object.entries(isObject(listed) ? listed : {})
      .map(([id, token]) =>
        wholeToken(isObject(token) ? { ...token, id: Number(id) } : token, file)
      ),
  ];
  if (json) {
    return {
      ...fromTokenizerJson(json, path("tokenizer.json"), added),
      config,
      special,
      name: folder,
    };
  }
  for (const name of ["vocab.json", "merges.txt"]) {
    if (!await isFile(path(name))) {
      throw new FileError(
        folder,
        `holds no ${name}`,
        "A CLIP tokenizer is vocab.json and merges.txt, or tokenizer.json: fetch the folder again",
      );
    }
  }
  const vocab = checkVocabulary(await readJsonObject(path("vocab.json")), path("vocab.json"));
  const merges = linesIn(await readText(path("merges.txt")))
    .filter((line, i) => line !== "" && !(i === 0 && line.startsWith("#version")));
  return {
    vocab,
    merges: checkMerges(merges, path("merges.txt")),
    added,
    config,
    special,
    name: folder,
  };
}

function fromTokenizerJson(json: JsonObject, file: string, others: WholeToken[]) {
  const model = json.model;
  if (!isObject(model) || !isObject(model.vocab) || !Array.isArray(model.merges)) {
    throw new FileError(
      file,
      "describes no byte-pair encoding",
      "Only CLIP tokenizers are supported",
    );
  }
  const own = Array.isArray(json.added_tokens) ? json.added_tokens : [];
  const added = [...others, ...own.map((token) => wholeToken(token, file))];
  return {
    vocab: checkVocabulary(model.vocab, file),
    merges: checkMerges(model.merges, file),
    added,
  };
}

/** An entry of a list of added tokens, as several kinds of file have it. */
function wholeToken(token: unknown, file: string): WholeToken {
  if (!isObject(token) || typeof token.content !== "string" || !isId(token.id)) {
    throw new FileError(
      file,
      `has the added token ${JSON.stringify(token)}, without a text or an id`,
      "The file is damaged: fetch it again",
    );
  }
  const { id, content, special, normalized } = token;
  return {
    id,
    content,
    special: special === true,
    normalized: normalized ?? special !== true,
  } as WholeToken;
}

const isId = (id: unknown): id is number =>
  Number.isSafeInteger(id) && (id as number) >= 0 && (id as number) <= 1e7;

function checkVocabulary(vocab: JsonObject, file: string): Record<string, number> {
  const seen = new Set<unknown>();
  for (const [entry, id] of Object.entries(vocab)) {
    if (!isId(id) || seen.has(id)) {
      throw new FileError(
        file,
        `entry ${JSON.stringify(entry)} has id ${
          JSON.stringify(id)
        }, which is no id or taken already`,
        "The file is damaged: fetch it again",
      );
    }
    seen.add(id);
  }
  return vocab as Record<string, number>;
}

function checkMerges(merges: unknown[], file: string): (string | string[])[] {
  for (const merge of merges) {
    const parts = typeof merge === "string" ? merge.split(" ") : merge;
    if (
      !Array.isArray(parts) || parts.length !== 2 ||
      !parts.every((p) => typeof p === "string" && p !== "")
    ) {
      throw new FileError(
        file,
        `has the merge ${JSON.stringify(merge)}, which is not a pair`,
        "The file is damaged: fetch it again",
      );
    }
  }
  return merges as (string | string[])[];
}
