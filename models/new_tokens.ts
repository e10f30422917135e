/**
 * New words: a token in the tokenizer and a row at the end of the token table, which starts as a copy of the row of a
 * rare vocabulary entry (Custom Diffusion, §3.2).
 */
import {
  type FileArray,
  type TensorInfo,
  type TensorSource,
  tensorSource,
} from "../files/safetensors.ts";
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
  if (table === undefined || !rows.length || info?.shape.length !== 2) return source;
  const [stored, width] = info.shape;
  const shape = [stored + rows.filter((r) => r.row >= stored).length, width];
  const tensors = new Map(source.tensors).set(table, { dtype: info.dtype, shape });
  const readRange = async (_: TensorInfo, first: number, count: number, name: string) => {
    if (name !== table) return await source.readPart(name, first, count);
    const end = first + count, old = Math.min(end, stored * width);
    const base = await source.readPart(table, Math.min(first, old), Math.max(0, old - first));
    const data = new (base.constructor as new (length: number) => FileArray)(count);
    data.set(base as never);
    for (const { row, from } of rows) {
      const start = Math.max(first, row * width), length = Math.min(end, (row + 1) * width) - start;
      if (length <= 0) continue;
      const copied = await source.readPart(table, start + (from - row) * width, length);
      data.set(copied as never, start - first);
    }
    return data;
  };
  return tensorSource(source.name, tensors, source.metadata, readRange, () => source.close());
}
