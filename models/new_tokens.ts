/**
 * New words: a token in the tokenizer and a row at the end of the token table, which starts as a copy of the row of a
 * rare vocabulary entry (Custom Diffusion, §3.2).
 */
import type { FileArray, TensorSource } from "../files/safetensors.ts";
import { TokenError, type Tokenizer } from "./tokenizer.ts";

/** A row of the token table that starts as a copy of another. */
export interface NewRow {
  readonly row: number;
  readonly from: number;
}

/**
 * Adds tokens to a tokenizer.
 *
 * @param tokens new token → raw vocabulary entry that it starts from
 * @throws TokenError when a token exists already, or an initializer does not
 */
export function addTokens(
  tokenizer: Tokenizer,
  tokens: Readonly<Record<string, string>>,
): NewRow[] {
  return Object.entries(tokens).map(([token, initializer]) => {
    const from = tokenizer.rawId(initializer);
    if (from === undefined) {
      throw new TokenError(
        token,
        `can't start from ${JSON.stringify(initializer)}, which is no entry of the vocabulary. ` +
          `Entries are pieces of words; one that ends a word is written "${initializer}</w>"`,
      );
    }
    return { row: tokenizer.addToken(token), from };
  });
}

const TABLE = "embeddings.token_embedding.weight";

/** The checkpoint of a text encoder with new rows in its token table. Closing it closes `source`. */
export function withRows(
  source: TensorSource,
  rows: readonly NewRow[],
): TensorSource {
  const table = [...source.tensors.keys()].find((n) => n.endsWith(TABLE));
  const info = table === undefined ? undefined : source.tensors.get(table);
  if (!rows.length || !info || info.shape.length !== 2) return source;
  const [stored, width] = info.shape;
  const added = rows.filter((r) => r.row >= stored).length;
  const shape = [stored + added, width];
  return {
    ...source,
    tensors: new Map(source.tensors).set(table!, { ...info, shape }),
    async read(name) {
      const read = await source.read(name);
      if (name !== table) return read;
      const Floats = read.data.constructor as new (length: number) => FileArray;
      const data = new Floats((stored + added) * width);
      data.set(read.data as never);
      for (const { row, from } of rows) {
        data.copyWithin(row * width, from * width, (from + 1) * width);
      }
      return { ...read, shape, data };
    },
  };
}
