/**
 * How long a merge takes at the size of Stable Diffusion 1.5: the 32 key and value matrices of its cross-attention, two
 * concepts, and what a thousand captions give. On the processor alone, one thread.
 *
 * Usage: `deno run bench/merge.ts [captions] [words of each, with the end]`
 */
import { mergeSolver } from "../concepts/merge/solve.ts";
import type { Matrix } from "../numerics/matrix.ts";
import { hostRandom } from "../numerics/random.ts";
import { duration } from "../numerics/quantities.ts";

const [captions = 1000, words = 14] = Deno.args.map(Number);
const WIDTH = 768, TARGETS = 14; // "<new1> cat" and "photo of a <new1> cat" with their ends, of two concepts.
const OUTPUTS = [[320, 10], [640, 10], [1280, 12]].flatMap(([o, n]) =>
  new Array<number>(n).fill(o)
);

const draw = hostRandom(1);
const random = (rows: number, cols: number): Matrix => ({
  rows,
  cols,
  data: Float64Array.from({ length: rows * cols }, () => draw.uniform() - 0.5),
});
const targets = random(TARGETS, WIDTH), regularization = random(captions * words, WIDTH);
const matrices = OUTPUTS.map((o) => ({ W0: random(o, WIDTH), values: random(o, TARGETS) }));

/** Milliseconds. */
function timed(work: () => void): number {
  const began = performance.now();
  work();
  return performance.now() - began;
}

const runs = Array.from({ length: 5 }, () => {
  let solver: ReturnType<typeof mergeSolver>;
  const merge = (relative: boolean) => () => {
    for (const { W0, values } of matrices) solver.apply(W0, values, { relative });
  };
  const factorization = timed(() => {
    solver = mergeSolver({ targets, regularization, duplicateTolerance: 1e-6 });
  });
  return { factorization, matrices: timed(merge(false)), measured: timed(merge(true)) };
});
const best = (key: keyof typeof runs[number]) => Math.min(...runs.map((r) => r[key]));
const [first, rest, measured] = [best("factorization"), best("matrices"), best("measured")];
console.log(`${captions} captions, ${captions * words} rows of ${WIDTH}; best of ${runs.length}`);
console.log(`factorization ${duration(first / 1000)}`);
console.log(`32 matrices ${duration(rest / 1000)}`);
console.log(`in all ${duration((first + rest) / 1000)}`);
console.log(
  `with the change relative to what the captions gave: ${duration((first + measured) / 1000)}`,
);
