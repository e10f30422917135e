/**
 * Dense row-major float64 matrices, and the three products that the merge spends its time in.
 *
 * Why our own: the merge runs without a GPU and in twice its precision, and on the only shapes that it needs a
 * register-tiled loop over `Float64Array` beats the general libraries several times. Nothing here allocates inside a loop.
 */

/** A row-major float64 matrix: element (i, j) is `data[i * cols + j]`. */
export interface Matrix {
  /** Number of rows. */
  readonly rows: number;
  /** Number of columns. */
  readonly cols: number;
  /** `rows * cols` numbers, row after row. */
  readonly data: Float64Array;
}

/** A matrix of zeros. */
export function zeros(rows: number, cols: number): Matrix {
  return { rows, cols, data: new Float64Array(rows * cols) };
}

/** The Frobenius norm, safe from overflow and underflow. */
export function norm(values: Float64Array): number {
  let largest = 0;
  for (let i = 0; i < values.length; i++) largest = Math.max(largest, Math.abs(values[i]));
  if (largest === 0 || !Number.isFinite(largest)) return largest;
  const scale = powerOfTwoNear(largest);
  let sum = 0;
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

/**
 * `out += scale · A Bᵀ` for A m×k, B n×k, out m×n.
 *
 * With `lower`, only the tiles that touch the lower triangle of `out` are computed (for Gram matrices).
 */
export function addProductNT(
  out: Matrix,
  A: Matrix,
  B: Matrix,
  scale = 1,
  lower = false,
): void {
  const m = A.rows, n = B.rows, k = A.cols, ldo = out.cols;
  const a = A.data, b = B.data, o = out.data;
  const m4 = m - m % 4, n4 = n - n % 4;
  for (let i = 0; i < m4; i += 4) {
    const a0 = i * k, a1 = a0 + k, a2 = a1 + k, a3 = a2 + k;
    const stop = lower ? Math.min(n4, i + 4) : n4;
    for (let j = 0; j < stop; j += 4) {
      const b0 = j * k, b1 = b0 + k, b2 = b1 + k, b3 = b2 + k;
      let s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
      let s20 = 0, s21 = 0, s22 = 0, s23 = 0, s30 = 0, s31 = 0, s32 = 0, s33 = 0;
      for (let p = 0; p < k; p++) {
        const x0 = a[a0 + p], x1 = a[a1 + p], x2 = a[a2 + p], x3 = a[a3 + p];
        let y = b[b0 + p];
        s00 += x0 * y, s10 += x1 * y, s20 += x2 * y, s30 += x3 * y;
        y = b[b1 + p];
        s01 += x0 * y, s11 += x1 * y, s21 += x2 * y, s31 += x3 * y;
        y = b[b2 + p];
        s02 += x0 * y, s12 += x1 * y, s22 += x2 * y, s32 += x3 * y;
        y = b[b3 + p];
        s03 += x0 * y, s13 += x1 * y, s23 += x2 * y, s33 += x3 * y;
      }
      let at = i * ldo + j;
      o[at] += scale * s00, o[at + 1] += scale * s01;
      o[at + 2] += scale * s02, o[at + 3] += scale * s03;
      at += ldo;
      o[at] += scale * s10, o[at + 1] += scale * s11;
      o[at + 2] += scale * s12, o[at + 3] += scale * s13;
      at += ldo;
      o[at] += scale * s20, o[at + 1] += scale * s21;
      o[at + 2] += scale * s22, o[at + 3] += scale * s23;
      at += ldo;
      o[at] += scale * s30, o[at + 1] += scale * s31;
      o[at + 2] += scale * s32, o[at + 3] += scale * s33;
    }
    edge(out, A, B, scale, i, i + 4, lower ? Math.min(n4, i + 4) : n4, lower ? i + 4 : n);
  }
  edge(out, A, B, scale, m4, m, 0, n);
}

/** The part of `out += scale · A Bᵀ` in rows i0..i1 and columns j0..j1, for what the tiles left over. */
function edge(
  out: Matrix,
  A: Matrix,
  B: Matrix,
  scale: number,
  i0: number,
  i1: number,
  j0: number,
  j1: number,
): void {
  const k = A.cols, stop = Math.min(j1, B.rows);
  for (let i = i0; i < i1; i++) {
    for (let j = j0; j < stop; j++) {
      let sum = 0;
      for (let p = 0, x = i * k, y = j * k; p < k; p++) sum += A.data[x + p] * B.data[y + p];
      out.data[i * out.cols + j] += scale * sum;
    }
  }
}

/**
 * `out += Tᵀ X` for T n×s, X n×d, out s×d.
 *
 * Four rows of X at a time, so that each element of `out` is read and written a quarter as often.
 */
export function addProductTN(out: Matrix, T: Matrix, X: Matrix): void {
  const n = X.rows, d = X.cols, s = T.cols, t = T.data, x = X.data, o = out.data;
  let r = 0;
  for (; r + 4 <= n; r += 4) {
    const x0 = r * d, x1 = x0 + d, x2 = x1 + d, x3 = x2 + d;
    for (let j = 0; j < s; j++) {
      const at = j * d, q = r * s + j;
      const t0 = t[q], t1 = t[q + s], t2 = t[q + 2 * s], t3 = t[q + 3 * s];
      for (let c = 0; c < d; c++) {
        o[at + c] += t0 * x[x0 + c] + t1 * x[x1 + c] + (t2 * x[x2 + c] + t3 * x[x3 + c]);
      }
    }
  }
  for (; r < n; r++) {
    for (let j = 0; j < s; j++) {
      const at = j * d, t0 = t[r * s + j];
      for (let c = 0; c < d; c++) o[at + c] += t0 * x[r * d + c];
    }
  }
}

/**
 * The Gram matrix `XᵀX` (d×d, both triangles) of X n×d.
 *
 * Rows are taken 256 at a time and transposed first: the tiles then read straight runs that stay in cache.
 */
export function gram(X: Matrix): Matrix {
  const { rows: n, cols: d, data: x } = X;
  const out = zeros(d, d);
  const chunk = 256;
  for (let start = 0; start < n; start += chunk) {
    const rows = Math.min(chunk, n - start);
    const panel = zeros(d, rows);
    for (let r = 0; r < rows; r++) {
      for (let c = 0, at = (start + r) * d; c < d; c++) panel.data[c * rows + r] = x[at + c];
    }
    addProductNT(out, panel, panel, 1, true);
  }
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
