/**
 * Merge problems for the tests: drawn from a seed, with a chosen condition, and plain products to judge results with.
 *
 * Why not the library's own products: a law checked with the code under test proves little.
 */
import fc from "fast-check";
import type { Matrix } from "../numerics/matrix.ts";

/** A small generator (mulberry32), uniform in [-1, 1). */
export function generator(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2147483648 - 1;
  };
}

export function random(rows: number, cols: number, draw: () => number): Matrix {
  return { rows, cols, data: Float64Array.from({ length: rows * cols }, draw) };
}

/** A B, by the definition. */
export function product(A: Matrix, B: Matrix): Matrix {
  const out = new Float64Array(A.rows * B.cols);
  for (let i = 0; i < A.rows; i++) {
    for (let p = 0; p < A.cols; p++) {
      for (let j = 0; j < B.cols; j++) {
        out[i * B.cols + j] += A.data[i * A.cols + p] * B.data[p * B.cols + j];
      }
    }
  }
  return { rows: A.rows, cols: B.cols, data: out };
}

export function transposed(A: Matrix): Matrix {
  const data = new Float64Array(A.data.length);
  for (let i = 0; i < A.rows; i++) {
    for (let j = 0; j < A.cols; j++) data[j * A.rows + i] = A.data[i * A.cols + j];
  }
  return { rows: A.cols, cols: A.rows, data };
}

/** a A + b B. */
export function combine(a: number, A: Matrix, b: number, B: Matrix): Matrix {
  return { ...A, data: A.data.map((x, i) => a * x + b * B.data[i]) };
}

export function size(A: Matrix): number {
  return Math.sqrt(A.data.reduce((sum, x) => sum + x * x, 0));
}

/** ‖A − B‖ / ‖B‖. */
export function apart(A: Matrix, B: Matrix): number {
  return size(combine(1, A, -1, B)) / (size(B) || 1);
}

export function pickRows(A: Matrix, rows: number[]): Matrix {
  const data = rows.flatMap((r) => [...A.data.subarray(r * A.cols, (r + 1) * A.cols)]);
  return { rows: rows.length, cols: A.cols, data: Float64Array.from(data) };
}

export function pickCols(A: Matrix, cols: number[]): Matrix {
  return transposed(pickRows(transposed(A), cols));
}

/** An orthogonal k×k matrix: a product of reflections. */
export function rotation(k: number, draw: () => number): Matrix {
  let Q: Matrix = { rows: k, cols: k, data: new Float64Array(k * k) };
  for (let i = 0; i < k; i++) Q.data[i * k + i] = 1;
  for (let times = 0; times < 3; times++) {
    const v = random(k, 1, draw), length = size(v) ** 2;
    Q = combine(1, Q, -2 / length, product(v, product(transposed(v), Q)));
  }
  return Q;
}

/** A with its rows reflected a few times: A Q for an orthogonal Q, without the time of a product. */
function reflected(A: Matrix, draw: () => number): Matrix {
  const out = { ...A, data: A.data.slice() }, d = A.cols;
  for (let times = 0; times < 3; times++) {
    const v = random(d, 1, draw), length = size(v) ** 2;
    for (let at = 0; at < out.data.length; at += d) {
      let along = 0;
      for (let c = 0; c < d; c++) along += out.data[at + c] * v.data[c];
      for (let c = 0; c < d; c++) out.data[at + c] -= 2 * along / length * v.data[c];
    }
  }
  return out;
}

export interface Problem {
  W0: Matrix;
  targets: Matrix;
  values: Matrix;
  regularization: Matrix;
}

/** A problem whose C_reg has condition about `condition`, in directions that are not the axes. */
export function problem(
  { seed, o, d, s, extra, condition }: {
    seed: number;
    o: number;
    d: number;
    s: number;
    extra: number;
    condition: number;
  },
): Problem {
  const draw = generator(seed), n = d + extra;
  const shape = random(n, d, draw);
  // Orthonormal columns would need a factorization; a random tall matrix is close enough to one for a condition.
  for (let r = 0; r < n; r++) {
    for (let c = 0; c < d; c++) shape.data[r * d + c] *= condition ** (-c / Math.max(1, d - 1));
  }
  return {
    W0: random(o, d, draw),
    targets: random(s, d, draw),
    values: random(o, s, draw),
    regularization: reflected(shape, draw),
  };
}

const atSize = new Map<number, Problem & { seed: number }>();

/** A problem of the size of Stable Diffusion's largest matrices, or its first rows; C_reg has about this condition. */
export function fullSize(condition: number, rows = 1280): Problem & { seed: number } {
  const seed = 768;
  let whole = atSize.get(condition);
  if (!whole) {
    whole = { seed, ...problem({ seed, o: 1280, d: 768, s: 14, extra: 232, condition }) };
    atSize.set(condition, whole);
  }
  const first = [...Array(rows).keys()];
  return rows === 1280
    ? whole
    : { ...whole, W0: pickRows(whole.W0, first), values: pickRows(whole.values, first) };
}

/** Draws problems: outputs 1–6, features 2–12, fewer targets than features, tall C_reg, condition up to `worst`. */
export function problems(worst: number): fc.Arbitrary<Problem & { seed: number }> {
  return fc.record({
    seed: fc.integer(),
    o: fc.integer({ min: 1, max: 6 }),
    d: fc.integer({ min: 2, max: 12 }),
    share: fc.double({ min: 0, max: 0.99, noNaN: true }),
    extra: fc.integer({ min: 4, max: 30 }),
    power: fc.double({ min: 0, max: 1, noNaN: true }),
  }).map(({ seed, o, d, share, extra, power }) => ({
    seed,
    ...problem({
      seed,
      o,
      d,
      s: 1 + Math.floor(share * (d - 1)),
      extra,
      condition: worst ** power,
    }),
  }));
}
