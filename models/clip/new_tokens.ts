/**
 * New words: a token in the tokenizer and a row at the end of the token table, which starts as a copy of the row of a
 * rare vocabulary entry (Custom Diffusion, §3.2).
 */
import {
  type FileArray,
  type TensorInfo,
  type TensorSource,
  tensorSource,
} from "../../files/safetensors/read.ts";
import { hostNormal, keyFromSeed } from "../../ops/random.ts";
import { TokenError, type Tokenizer } from "./tokenizer.ts";

/** A row of the token table that starts as a copy of another, or is drawn like the others. */
export interface NewRow {
  readonly row: number;
  /** The row that is copied; undefined: normal numbers with the mean and deviation that each column of the table has. */
  readonly from?: number;
  /** Seed of a row that is drawn. */
  readonly seed?: number;
}

/** The seed of an initializer that stands for a random row, `random` or `random:7`; undefined for any other. */
export function randomSeed(initializer: string): number | undefined {
  const found = /^random(?::(\d{1,9}))?$/.exec(initializer);
  return found ? Number(found[1] ?? 0) : undefined;
}

/**
 * Adds tokens to a tokenizer.
 *
 * @param tokens new token → raw vocabulary entry that it starts from, or `random` (`random:7` draws another row), which
 *   stands for itself even where the vocabulary has such an entry
 * @throws TokenError when a token exists already, or an initializer does not
 */
export function addTokens(
  tokenizer: Tokenizer,
  tokens: Readonly<Record<string, string>>,
): NewRow[] {
  return Object.entries(tokens).map(([token, initializer]) => {
    const seed = randomSeed(initializer);
    if (seed !== undefined) return { row: tokenizer.addToken(token), seed };
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

/** Rows that are read together for their statistics. */
const ROWS_AT_ONCE = 4096;

/** Mean and standard deviation of each column of a table. */
async function momentsOf(source: TensorSource, table: string, rows: number, width: number) {
  const mean = new Float64Array(width), squares = new Float64Array(width);
  for (let at = 0; at < rows; at += ROWS_AT_ONCE) {
    const some = Math.min(ROWS_AT_ONCE, rows - at);
    const part = await source.readPart(table, at * width, some * width);
    for (let i = 0; i < part.length; i++) {
      const x = Number(part[i]), c = i % width;
      mean[c] += x / rows;
      squares[c] += x * x / rows;
    }
  }
  const deviation = squares.map((s, c) => Math.sqrt(Math.max(0, s - mean[c] ** 2)));
  return { mean, deviation };
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
  let moments: ReturnType<typeof momentsOf> | undefined;
  const readRange = async (_: TensorInfo, first: number, count: number, name: string) => {
    if (name !== table) return await source.readPart(name, first, count);
    const end = first + count, old = Math.min(end, stored * width);
    const base = await source.readPart(table, Math.min(first, old), Math.max(0, old - first));
    const data = new (base.constructor as new (length: number) => FileArray)(count);
    data.set(base as never);
    for (const { row, from, seed = 0 } of rows) {
      const start = Math.max(first, row * width), length = Math.min(end, (row + 1) * width) - start;
      if (length <= 0) continue;
      if (from === undefined) {
        moments ??= momentsOf(source, table, stored, width);
        const { mean, deviation } = await moments, column = start - row * width;
        const drawn = hostNormal(keyFromSeed(seed), width).map((z, i) =>
          mean[i] + deviation[i] * z
        );
        data.set(drawn.subarray(column, column + length) as never, start - first);
        continue;
      }
      const copied = await source.readPart(table, start + (from - row) * width, length);
      data.set(copied as never, start - first);
    }
    return data;
  };
  return tensorSource(source.name, tensors, source.metadata, readRange, () => source.close());
}
