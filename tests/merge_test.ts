// The laws of the merge (Custom Diffusion, equation 4), on drawn problems, and one problem whose answer is known exactly.
import { assert, assertEquals, assertLess, assertThrows } from "@std/assert";
import fc from "fast-check";
import { mergeConcepts, MergeError, mergeSolver } from "../concepts/merge/solve.ts";
import type { Matrix } from "../numerics/matrix.ts";
import {
  apart,
  combine,
  fullSize,
  generator,
  pickCols,
  pickRows,
  type Problem,
  problem,
  problems,
  product,
  random,
  rotation,
  size,
  transposed,
} from "./merge_problem.ts";

const runs = { numRuns: 150 };
/** Conditions that C_reg is drawn with, at most. */
const [tame, ill] = [1e2, 1e6];
const change = (p: Problem, W: Matrix) =>
  size(product(combine(1, W, -1, p.W0), transposed(p.regularization)));
const residual = (p: Problem, W: Matrix) => apart(product(W, transposed(p.targets)), p.values);

/** Holds for drawn problems; where `rows` are given, also for so many of one as wide as Stable Diffusion's. */
function law(
  name: string,
  check: (p: Problem & { seed: number }) => void,
  { condition = tame, rows }: { condition?: number; rows?: number } = {},
) {
  Deno.test(name, () =>
    fc.assert(fc.property(problems(condition), check), {
      ...runs,
      examples: rows ? [[fullSize(condition, rows)]] : [],
    }));
}

law("the constraint holds to 1e-9, also where A has a condition up to 1e12", (p) => {
  const { W, report } = mergeConcepts(p);
  assertLess(residual(p, W), 1e-9);
  assertLess(Math.abs(report.constraintResidual - residual(p, W)), 1e-9);
}, { condition: ill, rows: 1280 });

law(
  "nothing feasible is closer: every perturbation that keeps W Cᵀ changes C_reg's outputs more",
  (p) => {
    const draw = generator(p.seed), { W } = mergeConcepts(p), least = change(p, W);
    const Ct = transposed(p.targets);
    for (const scale of [1, 1e-2, 1e-4]) {
      // D − (D Cᵀ)(C Cᵀ)⁻¹ C keeps the constraint: the merge of a zero matrix with identity regularization gives that part.
      const D = random(p.W0.rows, p.W0.cols, draw), d = p.W0.cols;
      const identity: Matrix = { rows: d, cols: d, data: new Float64Array(d * d) };
      for (let i = 0; i < d; i++) identity.data[i * d + i] = 1;
      const zero: Matrix = { ...D, data: new Float64Array(D.data.length) };
      const along = mergeConcepts({
        W0: zero,
        targets: p.targets,
        values: product(D, Ct),
        regularization: identity,
      }).W;
      const free = combine(1, D, -1, along);
      if (size(free) < 1e-8) continue;
      assertLess(size(product(free, Ct)) / (size(free) * size(Ct)), 1e-10);
      const other = combine(1, W, scale, free);
      assert(change(p, other) >= least * (1 - 1e-12), `${change(p, other)} < ${least}`);
    }
  },
  { rows: 8 },
);

law("stationarity: (W − W0) A lies in the row space of the targets", (p) => {
  const { W } = mergeConcepts(p), X = p.regularization;
  const G = product(product(combine(1, W, -1, p.W0), transposed(X)), X);
  // Project out the targets by Gram–Schmidt: nothing may remain.
  const basis: Float64Array[] = [];
  const less = (x: Float64Array) => {
    for (let pass = 0; pass < 2; pass++) {
      for (const q of basis) {
        const along = q.reduce((sum, y, i) => sum + y * x[i], 0);
        q.forEach((y, i) => x[i] -= along * y);
      }
    }
    return x;
  };
  for (let r = 0; r < p.targets.rows; r++) {
    const x = less(pickRows(p.targets, [r]).data), length = Math.hypot(...x);
    basis.push(x.map((y) => y / length));
  }
  for (let r = 0; r < G.rows; r++) {
    const row = pickRows(G, [r]).data, before = Math.hypot(...row);
    assertLess(Math.hypot(...less(row)), 1e-8 * Math.max(before, 1e-3 * size(G)));
  }
}, { rows: 8 });

law("values that W0 already gives leave W0 alone", (p) => {
  const { W, report } = mergeConcepts({ ...p, values: product(p.W0, transposed(p.targets)) });
  assertLess(apart(W, p.W0), 1e-10);
  assertLess(report.weightChange, 1e-10);
}, { rows: 1280 });

law("the order of the targets does not matter", (p) => {
  const order = [...Array(p.targets.rows).keys()].reverse();
  const other = { targets: pickRows(p.targets, order), values: pickCols(p.values, order) };
  assertLess(apart(mergeConcepts({ ...p, ...other }).W, mergeConcepts(p).W), 1e-9);
}, { rows: 320 });

law(
  "the order of the regularization rows does not matter, also where A has a condition up to 1e12",
  (p) => {
    const order = [...Array(p.regularization.rows).keys()].reverse();
    const regularization = pickRows(p.regularization, order);
    // A formula that forms A and leaves it at that differs by 1e-5 here.
    assertLess(apart(mergeConcepts({ ...p, regularization }).W, mergeConcepts(p).W), 1e-8);
  },
  { condition: ill, rows: 320 },
);

law("the scale of C_reg does not matter, and for powers of two not in one bit", (p) => {
  const { W, report } = mergeConcepts(p);
  const scaled = (by: number) => ({
    ...p,
    regularization: combine(by, p.regularization, 0, p.regularization),
  });
  assertEquals(mergeConcepts(scaled(2 ** -30)).W.data, W.data);
  const other = mergeConcepts(scaled(1000 / 3));
  assertLess(apart(other.W, W), 1e-9);
  const ratio = other.report.regularizationChange / (report.regularizationChange || 1);
  assertLess(Math.abs(ratio / (1000 / 3) - 1), 1e-6);
});

law("saying every caption twice changes nothing", (p) => {
  const rows = [...Array(p.regularization.rows).keys()];
  const regularization = pickRows(p.regularization, [...rows, ...rows]);
  assertLess(apart(mergeConcepts({ ...p, regularization }).W, mergeConcepts(p).W), 1e-9);
});

law("scaling W0 and the values scales W", (p) => {
  const scaled = { W0: combine(-7.3, p.W0, 0, p.W0), values: combine(-7.3, p.values, 0, p.values) };
  const { W } = mergeConcepts(p);
  assertLess(apart(mergeConcepts({ ...p, ...scaled }).W, combine(-7.3, W, 0, W)), 1e-9);
});

law("scaling one target with its values changes nothing", (p) => {
  const targets = { ...p.targets, data: p.targets.data.slice() };
  const values = { ...p.values, data: p.values.data.slice() };
  for (let c = 0; c < targets.cols; c++) targets.data[c] *= 1e5;
  for (let i = 0; i < values.rows; i++) values.data[i * values.cols] *= 1e5;
  assertLess(apart(mergeConcepts({ ...p, targets, values }).W, mergeConcepts(p).W), 1e-9);
}, { rows: 320 });

law("W is linear in (W0, V)", (p) => {
  const draw = generator(p.seed ^ 1);
  const W0 = random(p.W0.rows, p.W0.cols, draw),
    values = random(p.values.rows, p.values.cols, draw);
  const sum = mergeConcepts({
    ...p,
    W0: combine(2, p.W0, -3, W0),
    values: combine(2, p.values, -3, values),
  }).W;
  const parts = combine(2, mergeConcepts(p).W, -3, mergeConcepts({ ...p, W0, values }).W);
  assertLess(size(combine(1, sum, -1, parts)) / size(mergeConcepts(p).W), 1e-8);
});

law("rotating the outputs commutes with merging", (p) => {
  const Q = rotation(p.W0.rows, generator(p.seed));
  const turned = mergeConcepts({ ...p, W0: product(Q, p.W0), values: product(Q, p.values) }).W;
  assertLess(apart(turned, product(Q, mergeConcepts(p).W)), 1e-9);
});

law("rotating the features commutes with merging, also where A has a condition up to 1e12", (p) => {
  const Q = rotation(p.W0.cols, generator(p.seed));
  const turned = mergeConcepts({
    W0: product(p.W0, Q),
    targets: product(p.targets, Q),
    values: p.values,
    regularization: product(p.regularization, Q),
  }).W;
  assertLess(apart(turned, product(mergeConcepts(p).W, Q)), 1e-8);
}, { condition: ill });

law("targets that come twice with the same values count once, and are reported", (p) => {
  const s = p.targets.rows, order = [...Array(s).keys(), 0, s - 1];
  const twice = { ...p, targets: pickRows(p.targets, order), values: pickCols(p.values, order) };
  const { W, report } = mergeConcepts(twice), once = mergeConcepts(p);
  assertEquals(W.data, once.W.data);
  assertEquals(report.duplicates, [{ row: s, of: 0 }, { row: s + 1, of: s - 1 }]);
  assertEquals(report.targetsRank, s);
}, { rows: 1280 });

law("the same target with different values is a contradiction that names both rows", (p) => {
  const s = p.targets.rows, order = [...Array(s).keys(), 0];
  const values = pickCols(p.values, order);
  values.data[s] += 0.25;
  const error = assertThrows(
    () => mergeConcepts({ ...p, targets: pickRows(p.targets, order), values }),
    MergeError,
    `rows 0 and ${s} are the same`,
  );
  assertEquals(error.code, "contradiction");
}, { rows: 1280 });

law("a target that is a combination of others is refused, and named with them", (p) => {
  const mix = combine(0.5, pickRows(p.targets, [0]), -2, pickRows(p.targets, [p.targets.rows - 1]));
  const data = Float64Array.from([...p.targets.data, ...mix.data]);
  const targets = { rows: p.targets.rows + 1, cols: mix.cols, data };
  const values = pickCols(p.values, [...Array(p.targets.rows).keys(), 0]);
  const error = assertThrows(() => mergeConcepts({ ...p, targets, values }), MergeError);
  assertEquals(error.code, "rank");
  assert(/row \d+ is a combination of rows? \d+/.test(error.message), error.message);
}, { rows: 1280 });

law("too few or dependent captions are refused with the rank; a ridge solves them", (p) => {
  const d = p.W0.cols, keep = [...Array(d - 1).keys()];
  const few = pickRows(p.regularization, keep);
  const many = pickRows(p.regularization, [...keep, ...keep, ...keep]);
  for (const regularization of [few, many]) {
    const error = assertThrows(() => mergeConcepts({ ...p, regularization }), MergeError, "ridge");
    assertEquals(error.code, "rank");
    assert(error.message.includes(`rank ${d - 1} of ${d}`), error.message);
    const { W, report } = mergeConcepts({ ...p, regularization, ridge: 1e-6 });
    assertLess(residual(p, W), 1e-9);
    assertEquals(report.ridge, 1e-6);
  }
});

law("merging again changes nothing", (p) => {
  const { W } = mergeConcepts(p);
  assertLess(apart(mergeConcepts({ ...p, W0: W }).W, W), 1e-10);
}, { rows: 320 });

law("a smaller ridge comes closer to none, in proportion", (p) => {
  const { W } = mergeConcepts(p),
    off = (ridge: number) => apart(mergeConcepts({ ...p, ridge }).W, W);
  assertLess(off(1e-9), 0.02 * off(1e-7) + 1e-10);
  assertLess(off(1e-12), 1e-5 * off(1e-7) + 1e-9);
});

law("a ridge is the same as captions along every axis", (p) => {
  const X = p.regularization, d = X.cols;
  const length = Math.sqrt(0.3 * size(X) ** 2 / d), axes = new Float64Array(d * d);
  for (let i = 0; i < d; i++) axes[i * d + i] = length;
  const data = Float64Array.from([...X.data, ...axes]);
  const { W } = mergeConcepts({ ...p, regularization: { rows: X.rows + d, cols: d, data } });
  assertLess(apart(mergeConcepts({ ...p, ridge: 0.3 }).W, W), 1e-9);
});

law("a factorization shared by many matrices gives each one what it gets alone", (p) => {
  const solver = mergeSolver(p), draw = generator(p.seed);
  for (const o of [1, 5, 8]) {
    const W0 = random(o, p.W0.cols, draw), values = random(o, p.values.cols, draw);
    assertEquals(solver.apply(W0, values).W.data, mergeConcepts({ ...p, W0, values }).W.data);
  }
});

law("each output row is merged on its own", (p) => {
  const whole = mergeConcepts(p).W;
  const last = p.W0.rows - 1;
  const alone =
    mergeConcepts({ ...p, W0: pickRows(p.W0, [last]), values: pickRows(p.values, [last]) }).W;
  assertLess(apart(alone, pickRows(whole, [last])), 1e-9);
});

law("the report measures what it says", (p) => {
  for (const ridge of [0, 1e-3]) {
    const { W, report } = mergeConcepts({ ...p, ridge });
    const moved = change(p, W), before = size(product(p.W0, transposed(p.regularization)));
    assertLess(Math.abs(report.regularizationChange - moved), 1e-8 * (moved + before));
    assertLess(
      Math.abs(report.regularizationChangeRelative! - moved / before),
      1e-6 * (1 + moved / before),
    );
    assertLess(Math.abs(report.weightChange - apart(W, p.W0)), 1e-9 * (1 + report.weightChange));
  }
}, { rows: 8 });

/** A problem in whole numbers: C_reg unit upper triangular, so that its inverse and the answer are whole numbers too. */
function wholeNumbers(d: number, seed: number): Problem & { answer: Matrix } {
  const draw = generator(seed), o = 4, s = 3;
  const whole = (size: number) => () => Math.round(size * draw());
  const X: Matrix = { rows: d, cols: d, data: new Float64Array(d * d) };
  const inverse: Matrix = { rows: d, cols: d, data: new Float64Array(d * d) };
  for (let i = 0; i < d; i++) {
    X.data[i * d + i] = 1;
    for (let j = i + 1; j < d; j++) X.data[i * d + j] = Math.round(2 * draw());
  }
  for (let c = 0; c < d; c++) {
    for (let i = d - 1; i >= 0; i--) {
      let x = i === c ? 1 : 0;
      for (let k = i + 1; k < d; k++) x -= X.data[i * d + k] * inverse.data[k * d + c];
      inverse.data[i * d + c] = x;
    }
  }
  const B = random(s, d, whole(2)), M = random(o, s, whole(2)), W0 = random(o, d, whole(3));
  // With C = B X the stationary point is W0 + M C A⁻¹ = W0 + M B X⁻ᵀ.
  const targets = product(B, X);
  const answer = combine(1, W0, 1, product(product(M, B), transposed(inverse)));
  return { W0, targets, values: product(answer, transposed(targets)), regularization: X, answer };
}

Deno.test("a problem in whole numbers gets its exact answer, with the digits of C_reg and not of A", () => {
  let worst = 0;
  for (let seed = 1; seed <= 20; seed++) {
    const { answer, ...p } = wholeNumbers(16, seed);
    const { W, report } = mergeConcepts(p);
    // A's condition is the square of this one (up to 1e10 here): the formula as written loses 10 digits.
    worst = Math.max(worst, report.regularizationCondition);
    assertLess(apart(W, answer), 1e-15 * 100 * report.regularizationCondition);
    assertLess(report.constraintResidual, 1e-12);
  }
  assert(worst > 1e4, `the problems were too easy: condition ${worst}`);
});

Deno.test("nearly equal targets with different values are met as well as float64 can, with a warning", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const p = problem({ seed, o: 3, d: 10, s: 3, extra: 20, condition: 10 ** (seed % 7) });
    const order = [0, 1, 2, 0], draw = generator(seed);
    const targets = pickRows(p.targets, order), values = pickCols(p.values, order);
    for (let c = 0; c < 10; c++) targets.data[30 + c] += 1e-7 * draw();
    for (let i = 0; i < 3; i++) values.data[i * 4 + 3] += 1;
    const { W, report } = mergeConcepts({ ...p, targets, values });
    // Rounding W alone, grown ten million-fold, misses by this much.
    assertLess(residual({ ...p, targets, values }, W), 2e-16 * size(W) * size(targets));
    assert(report.weightChange > 1e5);
    assert(report.warnings.some((warning) => warning.includes("nearly dependent")));
  }
});

Deno.test("past what Cholesky bears, reflections take over, and the constraint still holds", () => {
  for (const condition of [1e8, 1e10]) {
    const p = problem({ seed: 5, o: 3, d: 20, s: 4, extra: 400, condition });
    const { W, report } = mergeConcepts(p);
    assertEquals(report.factorization, "qr");
    assertLess(residual(p, W), 1e-9);
    assert(report.regularizationCondition > condition / 10);
  }
});

Deno.test("at Stable Diffusion's width the constraint holds and tiles have no seams", () => {
  const draw = generator(9), d = 768, o = 21, s = 17, n = 900;
  const p = {
    W0: random(o, d, draw),
    targets: random(s, d, draw),
    values: random(o, s, draw),
    regularization: random(n, d, draw),
  };
  const { W, report } = mergeConcepts(p);
  assertLess(residual(p, W), 1e-12);
  assertEquals(report.factorization, "cholesky");
  assertLess(Math.abs(report.regularizationChange / change(p, W) - 1), 1e-9);
});

Deno.test("near duplicates count as one only with a tolerance, and their values are then compared", () => {
  const p = problem({ seed: 3, o: 2, d: 6, s: 2, extra: 10, condition: 10 });
  const order = [0, 1, 0];
  const targets = pickRows(p.targets, order), values = pickCols(p.values, order);
  targets.data[13] *= 1 + 1e-8;
  const warned = mergeConcepts({ ...p, targets, values }).report.warnings;
  assert(warned.some((w) => w.includes("nearly dependent")), warned.join());
  const { report } = mergeConcepts({ ...p, targets, values, duplicateTolerance: 1e-6 });
  assertEquals(report.duplicates, [{ row: 2, of: 0 }]);
  assertEquals(report.warnings, []);
  values.data[2] += 0.1;
  assertThrows(
    () => mergeConcepts({ ...p, targets, values, duplicateTolerance: 1e-6 }),
    MergeError,
    "no W can give both",
  );
});

Deno.test("wrong shapes, NaN and a bad ridge are refused by name", () => {
  const p = problem({ seed: 1, o: 3, d: 4, s: 2, extra: 4, condition: 1 });
  const wrong = (part: Record<string, unknown>, message: string) =>
    assertThrows(() => mergeConcepts({ ...p, ...part }), MergeError, message);
  wrong({ W0: random(3, 5, () => 1) }, "W0 is 3×5: it must have 4 columns");
  wrong({ values: random(2, 2, () => 1) }, "values is 2×2: it must have 3 rows, as W0 has");
  wrong({ values: random(3, 3, () => 1) }, "values is 3×3: it must have 2 columns");
  wrong({ regularization: random(9, 3, () => 1) }, "regularization is 9×3: it must have 4 columns");
  wrong(
    { targets: { rows: 2, cols: 4, data: new Float64Array(7) } },
    "targets is 2×4 but its data has 7",
  );
  wrong({ targets: { rows: 0, cols: 4, data: new Float64Array(0) } }, "targets is 0×4");
  wrong({ W0: { rows: 3, cols: 4, data: new Float32Array(12) } }, "W0 must be");
  wrong({ W0: undefined }, "W0 must be");
  const holed = { ...p.regularization, data: p.regularization.data.slice() };
  holed.data[6] = NaN;
  wrong({ regularization: holed }, "regularization has NaN at row 1, column 2");
  wrong({ ridge: -1 }, "ridge is -1");
  wrong({ ridge: NaN }, "ridge is NaN");
  wrong({ targets: { rows: 2, cols: 4, data: new Float64Array(8) } }, "targets row 0 is all zeros");
});
