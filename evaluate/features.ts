/** Feature vectors of pictures, as plain rows: what every score is computed from. */
import { having, type Kind } from "../tensor/kinds.ts";

/** `count` feature vectors of length `size`, row-major. */
export interface Features {
  /** Rows. */
  readonly count: number;
  /** Length of a row. */
  readonly size: number;
  /** `count · size` numbers, row after row. */
  readonly data: Float64Array;
}

/** A table of features as an argument. */
export const FEATURES: Kind = having(
  "features { count, size, data }, as an encoder gives them",
  "count",
  "size",
  "data",
);

/** Rows `[from, to)` of a feature table. */
export function takeRows(f: Features, rows: readonly number[]): Features {
  const data = new Float64Array(rows.length * f.size);
  rows.forEach((r, i) => data.set(f.data.subarray(r * f.size, (r + 1) * f.size), i * f.size));
  return { count: rows.length, size: f.size, data };
}

/** Every row scaled to unit length. */
export function normalized(f: Features): Features {
  const data = f.data.slice();
  for (let r = 0; r < f.count; r++) {
    const row = data.subarray(r * f.size, (r + 1) * f.size);
    const norm = Math.hypot(...row) || 1;
    for (let i = 0; i < row.length; i++) row[i] /= norm;
  }
  return { ...f, data };
}

/** All inner products of rows of `a` with rows of `b`: a.count × b.count, row-major. */
export function innerProducts(a: Features, b: Features): Float64Array {
  if (a.size !== b.size) {
    throw new RangeError(`features of length ${a.size} and ${b.size} cannot be compared`);
  }
  const out = new Float64Array(a.count * b.count);
  for (let i = 0; i < a.count; i++) {
    for (let j = 0; j < b.count; j++) {
      let s = 0;
      for (let k = 0; k < a.size; k++) s += a.data[i * a.size + k] * b.data[j * b.size + k];
      out[i * b.count + j] = s;
    }
  }
  return out;
}
