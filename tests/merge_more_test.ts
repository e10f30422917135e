// More laws of the merge: what must not matter about how a problem is put, what more targets cost, and the time it takes.
import { assert, assertEquals, assertLess } from "@std/assert";
import fc from "fast-check";
import { mergeConcepts, mergeSolver } from "../concepts/merge/solve.ts";
import type { Matrix } from "../numerics/matrix.ts";
import {
  apart,
  combine,
  fullSize,
  generator,
  pickCols,
  pickRows,
  type Problem,
  problems,
  product,
  random,
  size,
  transposed,
} from "./merge_problem.ts";

type Drawn = Problem & { seed: number };

function law(name: string, check: (p: Drawn) => void, rows?: number) {
  const examples: [Drawn][] = rows ? [[fullSize(1e2, rows)]] : [];
  Deno.test(
    name,
    () => fc.assert(fc.property(problems(1e2), check), { numRuns: 100, examples }),
  );
}

const change = (p: Problem, W: Matrix) =>
  size(product(combine(1, W, -1, p.W0), transposed(p.regularization)));

/** I + N with small N: condition of a few, and nothing like orthogonal. */
function skewed(k: number, draw: () => number): Matrix {
  const N = random(k, k, draw);
  return { ...N, data: N.data.map((x, i) => (i % (k + 1) ? 0.5 / k * x : 1)) };
}

law("twice the same gives the same bits, and nothing that was given is changed", (p) => {
  const before = structuredClone(p);
  const first = mergeConcepts(p), second = mergeConcepts(p);
  assertEquals(first.W.data, second.W.data);
  assertEquals(p, before);
}, 320);

law("targets may be mixed, with their values: only what they span counts", (p) => {
  const M = skewed(p.targets.rows, generator(p.seed));
  const mixed = { targets: product(M, p.targets), values: product(p.values, transposed(M)) };
  assertLess(apart(mergeConcepts({ ...p, ...mixed }).W, mergeConcepts(p).W), 1e-8);
}, 320);

law("captions may be mixed by an orthogonal matrix: only C_regᵀ C_reg counts", (p) => {
  // One reflection of the captions, which mixes all of them.
  const X = p.regularization, v = random(X.rows, 1, generator(p.seed));
  const shares = product(transposed(v), X);
  const regularization = combine(1, X, -2 / size(v) ** 2, product(v, shares));
  assertLess(apart(mergeConcepts({ ...p, regularization }).W, mergeConcepts(p).W), 1e-8);
}, 320);

law("features in any other basis, not only a turned one, give the same map", (p) => {
  const M = skewed(p.W0.cols, generator(p.seed));
  const other = mergeConcepts({
    ...p,
    W0: mergeConcepts({ ...p, ...mapOf(p.W0, M) }).W,
    targets: product(p.targets, M),
    regularization: product(p.regularization, M),
  }).W;
  assertLess(apart(product(other, transposed(M)), mergeConcepts(p).W), 1e-8);
});

/** A problem whose answer is W0 M⁻ᵀ: as many targets as features, which leave no choice. */
function mapOf(W0: Matrix, M: Matrix): Omit<Problem, "W0"> {
  return { targets: M, values: W0, regularization: M };
}

law("as many targets as features decide W, whatever W0 and the captions are", (p) => {
  const d = p.W0.cols, M = skewed(d, generator(p.seed));
  const { W } = mergeConcepts({ ...p, ...mapOf(p.W0, M), regularization: p.regularization });
  assertLess(apart(product(W, transposed(M)), p.W0), 1e-9);
});

law("a target more never makes the change on the captions smaller", (p) => {
  const s = p.targets.rows - 1;
  if (!s) return;
  const kept = [...Array(s).keys()];
  const fewer = { targets: pickRows(p.targets, kept), values: pickCols(p.values, kept) };
  const least = change(p, mergeConcepts({ ...p, ...fewer }).W);
  assertLess(least, change(p, mergeConcepts(p).W) * (1 + 1e-9));
}, 8);

law("what is merged may be merged again, with more: as if all had been merged at once", (p) => {
  const s = p.targets.rows, first = [...Array(Math.ceil(s / 2)).keys()];
  const targets = pickRows(p.targets, first);
  const { W } = mergeConcepts({ ...p, targets, values: pickCols(p.values, first) });
  // The merged weights answer for their targets, as a fine-tuned concept's do.
  const values = { ...p.values, data: p.values.data.slice() },
    given = product(W, transposed(targets));
  for (let i = 0; i < values.rows; i++) {
    for (const j of first) values.data[i * s + j] = given.data[i * first.length + j];
  }
  assertLess(apart(mergeConcepts({ ...p, values }).W, mergeConcepts(p).W), 1e-8);
}, 320);

law("a concept merged alone answers to its own words as it was taught to", (p) => {
  const tuned = random(p.W0.rows, p.W0.cols, generator(p.seed));
  const taught = product(tuned, transposed(p.targets));
  const { W } = mergeConcepts({ ...p, values: taught });
  assertLess(apart(product(W, transposed(p.targets)), taught), 1e-9);
}, 1280);

law("a large ridge leaves the least change of the weights themselves", (p) => {
  const d = p.W0.cols, eye: Matrix = { rows: d, cols: d, data: new Float64Array(d * d) };
  for (let i = 0; i < d; i++) eye.data[i * d + i] = 1;
  const shortest = mergeConcepts({ ...p, regularization: eye }).W;
  assertLess(apart(mergeConcepts({ ...p, ridge: 1e12 }).W, shortest), 1e-6);
}, 320);

law("a caption said more often is changed no more by the merge", (p) => {
  const rows = [...Array(p.regularization.rows).keys()], said = pickRows(p.regularization, [0]);
  const moved = (W: Matrix) => size(product(combine(1, W, -1, p.W0), transposed(said)));
  const often = pickRows(p.regularization, [...rows, ...new Array(50).fill(0)]);
  const { W } = mergeConcepts({ ...p, regularization: often });
  assertLess(moved(W), moved(mergeConcepts(p).W) * (1 + 1e-9) + 1e-12);
}, 8);

Deno.test("Stable Diffusion's 32 matrices share one factorization, and take seconds", () => {
  const draw = generator(32), d = 768, s = 14;
  // A thousand captions of thirteen words and an end.
  const problem = { targets: random(s, d, draw), regularization: random(14000, d, draw) };
  const W0 = random(1280, d, draw), values = random(1280, s, draw);
  const began = performance.now();
  const solver = mergeSolver(problem);
  for (const [rows, count] of [[320, 10], [640, 10], [1280, 12]]) {
    const one = (A: Matrix): Matrix => ({ ...A, rows, data: A.data.slice(0, rows * A.cols) });
    for (let i = 0; i < count; i++) {
      const { report } = solver.apply(one(W0), one(values));
      assertLess(report.constraintResidual, 1e-12);
    }
  }
  // Two seconds on two idle cores; a factorization for each matrix would take half a minute.
  assert(performance.now() - began < 20_000, "the merge takes too long");
});
