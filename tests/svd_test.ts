// The singular value decomposition against its definition, on matrices chosen to hurt.
import { assert, assertAlmostEquals, assertEquals, assertLess, assertThrows } from "@std/assert";
import fc from "fast-check";
import type { Matrix } from "../numerics/matrix.ts";
import { type Svd, svd } from "../numerics/svd.ts";
import {
  apart,
  combine,
  generator,
  product,
  random,
  rotation,
  size,
  transposed,
} from "./merge_problem.ts";

const diagonal = (values: ArrayLike<number>): Matrix => {
  const n = values.length, data = new Float64Array(n * n);
  for (let i = 0; i < n; i++) data[i * n + i] = values[i];
  return { rows: n, cols: n, data };
};

/** Uᵀ diag(s) V of as many vectors as there are. */
const together = ({ s, U, V }: Svd): Matrix =>
  product(transposed(U), product(diagonal(s.subarray(0, U.rows)), V));

/** Asserts that vectors are orthonormal, that values fall, and that all of it is A. */
function assertSvd(A: Matrix, found: Svd, tolerance = 1e-13): void {
  const { s, U, V } = found, n = Math.min(A.rows, A.cols);
  assertEquals([s.length, U.rows, U.cols, V.rows, V.cols], [n, n, A.rows, n, A.cols]);
  for (const Q of [U, V]) {
    assertLess(
      size(combine(1, product(Q, transposed(Q)), -1, diagonal(Array(n).fill(1)))),
      tolerance,
    );
  }
  for (let i = 0; i < n; i++) {
    assert(s[i] >= 0 && (i === 0 || s[i] <= s[i - 1]), `value ${i}: ${s[i]}`);
  }
  assertLess(size(combine(1, together(found), -1, A)) / (size(A) || 1), tolerance);
}

Deno.test("U, s and V give the matrix back for every shape, rank and scale", () => {
  const side = fc.integer({ min: 1, max: 24 });
  const scale = fc.constantFrom(1, 1e-140, 1e140);
  fc.assert(fc.property(side, side, side, scale, fc.integer(), (m, n, rank, scale, seed) => {
    const draw = generator(seed);
    const A = product(random(m, rank, draw), random(rank, n, draw));
    for (let i = 0; i < A.data.length; i++) A.data[i] *= scale;
    const found = svd(A);
    for (let i = Math.min(rank, m, n); i < found.s.length; i++) {
      assertLess(found.s[i], 1e-13 * found.s[0] + Number.MIN_VALUE, "more rank than there is");
    }
    for (let i = 0; i < A.data.length; i++) A.data[i] /= scale;
    for (let i = 0; i < found.s.length; i++) found.s[i] /= scale;
    assertSvd(A, found);
  }));
});

Deno.test("known singular values come out to the last digits, over fifteen orders of magnitude", () => {
  const draw = generator(5), n = 30;
  const values = Array.from({ length: n }, (_, i) => 10 ** (-i / 2));
  const left = rotation(n, draw), right = rotation(n, draw);
  const A = product(left, product(diagonal(values), right));
  const { s } = svd(A);
  values.forEach((v, i) => assertLess(Math.abs(s[i] - v), 2e-15, `value ${i}`));
});

Deno.test("matrices with zeros where the algorithm divides", () => {
  const bidiagonal = (d: number[], e: number[]): Matrix => {
    const A = diagonal(d);
    e.forEach((x, i) => A.data[i * d.length + i + 1] = x);
    return A;
  };
  const cases: Matrix[] = [
    { rows: 3, cols: 2, data: new Float64Array(6) },
    diagonal([0, 2, 0, -1]),
    bidiagonal([1, 0, 3, 4], [1, 1, 1]),
    bidiagonal([1, 2, 3, 0], [1, 1, 1]),
    bidiagonal([0, 0, 0, 0], [1, 2, 3]),
    bidiagonal([1, 1, 1, 1], [1e-200, 1, 1e-17]),
    { rows: 2, cols: 2, data: Float64Array.of(1, 1, 1, 1) },
    { rows: 4, cols: 4, data: new Float64Array(16).fill(3) },
    { rows: 1, cols: 5, data: Float64Array.of(0, 3, 0, 4, 0) },
    { rows: 0, cols: 3, data: new Float64Array(0) },
  ];
  for (const A of cases) assertSvd(A, svd(A));
  assertAlmostEquals(svd(cases[8]).s[0], 5, 1e-15);
});

Deno.test("a lower rank gives the first vectors of all, and the best approximation there is", () => {
  const A = random(17, 11, generator(3)), full = svd(A);
  for (const B of [A, transposed(A)]) {
    const cut = svd(B, 4);
    assertEquals([cut.U.rows, cut.V.rows, cut.s.length], [4, 4, 11]);
    const lost = Math.sqrt(full.s.subarray(4).reduce((sum, x) => sum + x * x, 0));
    assertAlmostEquals(size(combine(1, together(cut), -1, B)), lost, 1e-13);
  }
  assertLess(
    apart({ ...A, data: svd(A, 99).s.subarray(), rows: 1, cols: 11 }, {
      ...A,
      data: full.s,
      rows: 1,
      cols: 11,
    }),
    1e-15,
  );
  assertThrows(() => svd({ rows: 1, cols: 2, data: Float64Array.of(1, NaN) }), RangeError, "NaN");
});
