// The float64 linear algebra under the merge, against its definitions, on matrices chosen to hurt.
import { assert, assertAlmostEquals, assertEquals, assertLess } from "@std/assert";
import fc from "fast-check";
import { cholesky, conditionOfTriangle } from "../numerics/linalg.ts";
import { addProductNT, addProductTN, gram, type Matrix, norm, zeros } from "../numerics/matrix.ts";
import { orthonormalRows, rankOfRows, triangleOf } from "../numerics/orthogonal.ts";
import {
  apart,
  combine,
  generator,
  problem,
  product,
  random,
  transposed,
} from "./merge_problem.ts";

/** Rows of the Hilbert matrix: condition 1e13 at 10. */
function hilbert(s: number, d: number): Matrix {
  const out = zeros(s, d);
  for (let i = 0; i < s; i++) for (let j = 0; j < d; j++) out.data[i * d + j] = 1 / (i + j + 1);
  return out;
}

function identity(d: number): Matrix {
  const out = zeros(d, d);
  for (let i = 0; i < d; i++) out.data[i * d + i] = 1;
  return out;
}

Deno.test("the tiled products agree with the definition for every shape, full or lower", () => {
  const side = fc.integer({ min: 1, max: 19 });
  fc.assert(fc.property(side, side, side, fc.integer(), (m, n, k, seed) => {
    const draw = generator(seed), A = random(m, k, draw), B = random(n, k, draw);
    const start = random(m, n, draw), out = { ...start, data: start.data.slice() };
    addProductNT(out, A, B, -2);
    assertLess(apart(out, combine(1, start, -2, product(A, transposed(B)))), 1e-13);
    const X = random(m, n, draw), sum = random(k, n, draw);
    const into = { ...sum, data: sum.data.slice() };
    addProductTN(into, A, X);
    assertLess(apart(into, combine(1, sum, 1, product(transposed(A), X))), 1e-13);
    assertLess(apart(gram(A), product(transposed(A), A)), 1e-13);
  }));
});

Deno.test("the Gram matrix does not care where its blocks of rows end", () => {
  for (const n of [255, 256, 257, 600]) {
    const X = random(n, 5, generator(n));
    assertLess(apart(gram(X), product(transposed(X), X)), 1e-13);
  }
});

Deno.test("reflections and Cholesky give the same triangle, with and without a ridge", () => {
  for (const [n, d] of [[30, 7], [300, 12], [512, 4]]) {
    const X = random(n, d, generator(n)), A = gram(X);
    assertLess(apart(triangleOf(X), cholesky(A)!), 1e-12);
    for (let i = 0; i < d; i++) A.data[i * d + i] += 0.5;
    assertLess(apart(triangleOf(X, 0.5), cholesky(A)!), 1e-12);
  }
});

Deno.test("Cholesky refuses what is not positive definite", () => {
  assertEquals(cholesky({ rows: 2, cols: 2, data: Float64Array.of(1, 2, 2, 1) }), undefined);
  assertEquals(cholesky({ rows: 2, cols: 2, data: Float64Array.of(1, 1, 1, 1) }), undefined);
  assertEquals(cholesky(zeros(1, 1)), undefined);
});

Deno.test("rows of condition 1e13 still get an orthonormal basis, and L Q gives them back", () => {
  const rows = hilbert(10, 12), { L, Q } = orthonormalRows(rows);
  assertLess(apart(product(Q, transposed(Q)), identity(10)), 1e-14);
  assertLess(apart(product(L, Q), rows), 1e-14);
});

Deno.test("rank and the witness of dependence are found among rows of any length", () => {
  const draw = generator(4), rows = random(5, 9, draw);
  for (let c = 0; c < 9; c++) {
    rows.data[c] *= 1e-20;
    rows.data[27 + c] = 3e8 * rows.data[9 + c] + 1e27 * rows.data[c];
  }
  const found = rankOfRows(rows, 1e-9);
  assertEquals(found.rank, 4);
  const { row, on } = found.dependent!;
  assertEquals([row, ...on].sort(), [0, 1, 3]);
  assertEquals(rankOfRows(random(9, 5, draw), 1e-9).rank, 5);
  assertEquals(rankOfRows(random(5, 9, draw), 1e-9).dependent, undefined);
  assertEquals(rankOfRows(zeros(2, 3), 1e-9).rank, 0);
});

Deno.test("the condition estimate is within a tenth on known triangles", () => {
  const diagonal = identity(50);
  for (let i = 0; i < 50; i++) diagonal.data[i * 50 + i] = 10 ** (-i / 7);
  assertAlmostEquals(conditionOfTriangle(diagonal) / 1e7, 1, 0.1);
  const p = problem({ seed: 8, o: 1, d: 30, s: 1, extra: 3000, condition: 1e5 });
  const estimate = conditionOfTriangle(triangleOf(p.regularization));
  assert(estimate > 0.8e5 && estimate < 1.25e5, String(estimate));
});

Deno.test("the norm survives sizes whose squares do not", () => {
  assertAlmostEquals(norm(Float64Array.of(3e200, 4e200)) / 5e200, 1, 1e-15);
  assertAlmostEquals(norm(Float64Array.of(3e-200, 4e-200)) / 5e-200, 1, 1e-15);
  assertEquals(norm(new Float64Array(3)), 0);
});
