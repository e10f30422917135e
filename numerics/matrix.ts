/**
 * Dense row-major float64 matrices, and the products that the merge spends its time in.
 *
 * Why our own: the merge runs without a GPU and in twice its precision. Operands are packed block by block into strips
 * that `tiles.ts` multiplies, which is several times as fast as a loop over `Float64Array`.
 */
import { SIDE, tiles } from "./tiles.ts";

/** A row-major float64 matrix: element (i, j) is `data[i * cols + j]`. */
export interface Matrix {
  /** Number of rows. */
  readonly rows: number;
  /** Number of columns. */
  readonly cols: number;
  /** `rows * cols` numbers, row after row. */
  readonly data: Float64Array;
}

/** Refuses what is no matrix, or none of finite numbers. */
export function expectMatrix(op: string, at: number, A: Matrix, square = false): void {
  const { rows, cols, data } = A ?? {};
  if (
    !Number.isSafeInteger(rows) || !Number.isSafeInteger(cols) || !(data instanceof Float64Array) ||
    data.length !== rows * cols
  ) {
    throw new TypeError(
      `${op}: argument ${at} is no matrix { rows, cols, data }, data a Float64Array of rows · cols numbers`,
    );
  }
  if (square && rows !== cols) {
    throw new RangeError(`${op}: a ${rows}×${cols} matrix is not square`);
  }
  if (!data.every(Number.isFinite)) throw new RangeError(`${op}: the matrix holds NaN or infinity`);
}

/** A matrix of zeros. */
export function zeros(rows: number, cols: number): Matrix {
  return { rows, cols, data: new Float64Array(rows * cols) };
}

/** The Frobenius norm, safe from overflow and underflow. */
export function norm(values: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] * values[i];
  if (sum > 1e-250 && sum < 1e300) return Math.sqrt(sum);
  let largest = 0;
  for (let i = 0; i < values.length; i++) largest = Math.max(largest, Math.abs(values[i]));
  if (largest === 0 || !Number.isFinite(largest)) return largest;
  const scale = powerOfTwoNear(largest);
  sum = 0;
  for (let i = 0; i < values.length; i++) {
    const x = values[i] / scale;
    sum += x * x;
  }
  return scale * Math.sqrt(sum);
}

/** The power of two at or under `x > 0`: dividing by it costs no precision. */
export function powerOfTwoNear(x: number): number {
  const exponent = Math.min(1022, Math.max(-1022, Math.floor(Math.log2(x))));
  return 2 ** exponent;
}

/** A matrix as it lies in memory, perhaps turned: element (i, p) is `data[at + i * row + p * column]`. */
interface Operand {
  readonly data: Float64Array;
  readonly at: number;
  readonly row: number;
  readonly column: number;
}

const upright = (A: Matrix, at = 0): Operand => ({ data: A.data, at, row: A.cols, column: 1 });
const turned = (A: Matrix, at = 0): Operand => ({ data: A.data, at, row: 1, column: A.cols });

/** Blocks of the result, and of the sums: as much as stays in a core's caches. */
const BLOCK = 1024, DEPTH = 128;

/** `out[0..m, j0..j0+n] += scale · A Bᵀ` for A m×k and B n×k; with `lower`, what lies above the diagonal is undefined. */
function accumulate(
  out: Matrix,
  [m, n, k]: readonly [number, number, number],
  A: Operand,
  B: Operand,
  { scale = 1, j0 = 0, lower = false } = {},
): void {
  const { numbers, run } = tiles();
  for (let i = 0; i < m; i += BLOCK) {
    const rows = Math.min(BLOCK, m - i), high = padded(rows);
    for (let j = 0; j < n && !(lower && j > i); j += BLOCK) {
      const cols = Math.min(BLOCK, n - j), wide = padded(cols);
      const depth = Math.min(DEPTH, k);
      const same = A.data === B.data && A.at === B.at && A.row === B.row && i === j;
      const b = same ? 0 : high * depth, c = (high + wide) * depth;
      const memory = numbers(c + high * wide);
      memory.fill(0, c, c + high * wide);
      for (let p = 0; p < k; p += depth) {
        const taken = Math.min(depth, k - p), length = 8 * SIDE * taken;
        pack(memory, 0, A, i, rows, p, taken);
        if (!same) pack(memory, b, B, j, cols, p, taken);
        for (let r = 0; r < high; r += SIDE) {
          const count = lower && i === j ? Math.min(wide, r + SIDE) / SIDE : wide / SIDE;
          run(8 * r * taken, 8 * b, 8 * (c + r * wide), 8 * wide, length, count);
        }
      }
      for (let r = 0; r < rows; r++) {
        const to = (i + r) * out.cols + j0 + j, from = c + r * wide;
        for (let q = 0; q < cols; q++) out.data[to + q] += scale * memory[from + q];
      }
    }
  }
}

const padded = (n: number): number => Math.ceil(n / SIDE) * SIDE;

/** Copies rows into strips of four, `depth` columns of each from column p on; zeros fill the last strip up. */
function pack(
  to: Float64Array,
  start: number,
  { data, at, row, column }: Operand,
  first: number,
  rows: number,
  p: number,
  depth: number,
): void {
  let o = start;
  for (let i = 0; i < rows; i += SIDE) {
    let from = at + (first + i) * row + p * column;
    const whole = i + SIDE <= rows;
    for (let q = 0; q < depth; q++, from += column, o += SIDE) {
      if (whole) {
        to[o] = data[from];
        to[o + 1] = data[from + row];
        to[o + 2] = data[from + 2 * row];
        to[o + 3] = data[from + 3 * row];
      } else for (let r = 0; r < SIDE; r++) to[o + r] = i + r < rows ? data[from + r * row] : 0;
    }
  }
}

/** `out += scale · A B` for A m×k, B k×n, out m×n. */
export function addProduct(out: Matrix, A: Matrix, B: Matrix, scale = 1): void {
  accumulate(out, [A.rows, B.cols, A.cols], upright(A), turned(B), { scale });
}

/** `out += scale · A Bᵀ` for A m×k, B n×k, out m×n. */
export function addProductNT(out: Matrix, A: Matrix, B: Matrix, scale = 1): void {
  accumulate(out, [A.rows, B.rows, A.cols], upright(A), upright(B), { scale });
}

/** `out += Tᵀ X` for T n×s, X n×d, out s×d. */
export function addProductTN(out: Matrix, T: Matrix, X: Matrix): void {
  accumulate(out, [T.cols, X.cols, X.rows], turned(T), turned(X));
}

/** `A L` for A m×k and a lower triangle L k×k, whose zeros are passed over. */
export function timesLower(A: Matrix, L: Matrix): Matrix {
  const out = zeros(A.rows, L.cols), k = L.rows;
  for (let j0 = 0; j0 < k; j0 += DEPTH) {
    const n = Math.min(DEPTH, k - j0);
    const below = turned(L, j0 * k + j0);
    accumulate(out, [A.rows, n, k - j0], upright(A, j0), below, { j0 });
  }
  return out;
}

/** The Gram matrix `XᵀX` (d×d, both triangles) of X n×d. */
export function gram(X: Matrix): Matrix {
  const { rows: n, cols: d } = X, out = zeros(d, d);
  accumulate(out, [d, d, n], turned(X), turned(X), { lower: true });
  for (let i = 0; i < d; i++) for (let j = 0; j < i; j++) out.data[j * d + i] = out.data[i * d + j];
  return out;
}

/** The transpose. */
export function transpose(A: Matrix): Matrix {
  const out = zeros(A.cols, A.rows);
  for (let i = 0; i < A.rows; i++) {
    for (let j = 0; j < A.cols; j++) out.data[j * A.rows + i] = A.data[i * A.cols + j];
  }
  return out;
}
