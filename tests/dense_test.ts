/** Linear algebra of small matrices: what defines each factorization holds to the last digits, and what has none is refused. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  cholesky,
  det,
  eigh,
  inverse,
  type Matrix,
  qr,
  solve,
  svd,
  triangularSolve,
} from "../mod.ts";
import { addProduct, addProductNT, gram, norm, transpose, zeros } from "../numerics/matrix.ts";
import { uniform } from "./support/check.ts";

const random = (rows: number, cols: number, seed: number): Matrix => {
  const next = uniform(seed);
  return { rows, cols, data: Float64Array.from({ length: rows * cols }, next) };
};
const of = (...rows: number[][]): Matrix => ({
  rows: rows.length,
  cols: rows[0]?.length ?? 0,
  data: Float64Array.from(rows.flat()),
});
const times = (A: Matrix, B: Matrix): Matrix => {
  const C = zeros(A.rows, B.cols);
  addProduct(C, A, B);
  return C;
};
/** How far two matrices are apart, beside their size. */
function near(A: Matrix, B: Matrix, most = 1e-13): void {
  assertEquals([A.rows, A.cols], [B.rows, B.cols]);
  const e = norm(A.data.map((v, i) => v - B.data[i])) / (norm(B.data) || 1);
  assert(e <= most, `${e} apart`);
}
const unit = (n: number): Matrix =>
  inverse({ ...zeros(n, n), data: diagonal(new Float64Array(n).fill(1)).data });
function diagonal(w: Float64Array): Matrix {
  const D = zeros(w.length, w.length);
  w.forEach((v, i) => D.data[i * w.length + i] = v);
  return D;
}

Deno.test("cholesky, solve, inverse and det undo what they stand for", () => {
  for (const n of [0, 1, 2, 7, 30]) {
    const X = random(n + 3, n, n + 1), S = gram(X), A = random(n, n, n + 2);
    const L = cholesky(S);
    const back = zeros(n, n);
    addProductNT(back, L, L);
    near(back, S);
    const B = random(n, 3, n + 3);
    near(times(A, solve(A, B)), B, 1e-10);
    near(times(A, inverse(A)), unit(n), 1e-10);
    const d = det(S), product = L.data.reduce((p, v, i) => i % (n + 1) === 0 ? p * v * v : p, 1);
    assert(Math.abs(d - product) <= 1e-10 * Math.abs(product), `${d} and ${product}`);
  }
  assertEquals(det(of([0, 2], [3, 0])), -6);
  assertEquals(det(of([1, 2], [2, 4])), 0);
  near(solve(of([0, 1], [1, 0]), of([2], [3])), of([3], [2]), 0);
});

Deno.test("triangularSolve reads one triangle, either way up", () => {
  const n = 6, T = random(n, n, 5), B = random(n, 2, 6);
  for (let i = 0; i < n; i++) T.data[i * n + i] += 3;
  for (const lower of [true, false]) {
    for (const unitDiagonal of [true, false]) {
      const whole = zeros(n, n);
      T.data.forEach((v, at) => {
        const i = Math.floor(at / n), j = at % n;
        if (i === j) whole.data[at] = unitDiagonal ? 1 : v;
        else if (lower === i > j) whole.data[at] = v;
      });
      near(times(whole, triangularSolve(T, B, { lower, unitDiagonal })), B);
      near(
        times(transpose(whole), triangularSolve(T, B, { lower, unitDiagonal, transpose: true })),
        B,
      );
    }
  }
});

Deno.test("qr and eigh give orthonormal vectors", () => {
  for (const [m, n] of [[5, 5], [9, 4], [4, 9], [1, 1], [3, 0], [0, 3]]) {
    const A = random(m, n, 10 * m + n);
    const { Q, R } = qr(A);
    near(times(Q, R), A);
    near(gram(Q), unit(Math.min(m, n)));
    for (let i = 0; i < R.rows; i++) {
      assert(R.data[i * n + i] >= 0);
      for (let j = 0; j < i; j++) assertEquals(R.data[i * n + j], 0);
    }
  }
  for (const n of [0, 1, 2, 8, 25]) {
    const X = random(n, n, 40 + n), S = gram(X);
    const { w, V } = eigh(S);
    near(times(S, V), times(V, diagonal(w)));
    near(gram(V), unit(n));
    assert(w.every((v, i) => !i || w[i - 1] <= v));
    // The singular values of X are the roots of the eigenvalues of XᵀX.
    const { s } = svd(X, 0);
    w.toReversed().forEach((v, i) => assert(Math.abs(v - s[i] ** 2) <= 1e-12 * (s[0] ** 2)));
  }
  assertEquals([...eigh(of([2, 0], [0, -1])).w], [-1, 2]);
});

Deno.test("what has no solution is refused by name", () => {
  const wrong: [() => unknown, string][] = [
    [() => cholesky(of([1, 2], [2, 1])), "cholesky: the matrix is not positive definite"],
    [() => cholesky(of([1, 2])), "cholesky: a 1×2 matrix is not square"],
    [() => solve(of([1, 2], [2, 4]), of([1], [1])), "solve: the matrix is singular"],
    [() => inverse(of([0])), "inverse: the matrix is singular"],
    [() => solve(of([1]), of([1], [1])), "solve: 2 rows of right-hand sides for 1 unknowns"],
    [() => triangularSolve(of([0]), of([1])), "element 0 of the diagonal is 0"],
    [() => det(of([NaN])), "det: the matrix holds NaN or infinity"],
  ];
  for (const [call, message] of wrong) assertThrows(call, RangeError, message);
  // deno-lint-ignore no-explicit-any
  assertThrows(() => qr([[1]] as any), TypeError, "qr: argument 1 is no matrix");
});
