/**
 * Compressing a delta (paper §4.1, "Low-rank compression"): what fine-tuning added to each matrix, ΔW, has few large
 * singular values, and the rest can go.
 */
import { DELTA } from "./delta.ts";
import { expectKinds } from "../../tensor/kinds.ts";
import { changeMatrix, factors, needsBase, numbersOf, pays, weightChange } from "./changes.ts";
import type { Delta, DeltaWeight } from "./delta.ts";
import { type BaseWeights, deltaSize } from "./formats/save.ts";
import { svd } from "../../numerics/svd.ts";

/** How much is kept: one of the three. */
export type CompressTarget =
  /** Of the singular values' sum, as the paper's 60 %, 40 % and 10 %: the largest ones whose sum does not exceed it. */
  | { readonly energy: number }
  /** This many singular values of each matrix. */
  | { readonly rank: number }
  /** As much energy, equal for all matrices, as fits into a file of this many bytes; at least a singular value of one. */
  | { readonly bytes: number };

/** A compressed delta, and what there was to choose from. */
export interface Compressed {
  /** Matrices as factors; convolutions, biases and other vectors as they were. */
  readonly delta: Delta;
  /** All singular values of each ΔW, largest first. */
  readonly spectra: ReadonlyMap<string, Float64Array>;
  /** Rank that was kept of each. */
  readonly ranks: ReadonlyMap<string, number>;
  /** Bytes of all numbers that are left. */
  readonly bytes: number;
}

/** Options of {@linkcode compressDelta}. */
export interface CompressOptions {
  /** The base model's weights: needed where the delta holds trained weights or DoRA's lengths. */
  readonly base?: BaseWeights;
  /** Called after each matrix with the number that are done and the number there are. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** Share of the singular values' sum that the paper keeps (§4.1: 60 %, a fifth of the size, and no visible loss). */
export const ENERGY = 0.6;

/**
 * Cuts each matrix of a delta to the best one of lower rank. A matrix whose factors would take more room than itself is
 * kept whole, as a difference.
 *
 * @throws RangeError when an energy is not in 0…1, a rank is not a whole number, or the bytes hold nothing of the change:
 *   then it says how many do
 */
export async function compressDelta(
  delta: Delta,
  target: CompressTarget = { energy: ENERGY },
  { base, onProgress }: CompressOptions = {},
): Promise<Compressed> {
  expectKinds("compressDelta", { delta: [delta, DELTA] });
  check(target);
  const W0 = (path: string, w: DeltaWeight) => needsBase(w) ? needed(base, path) : [];
  const matrices = [...delta.weights].filter(([, w]) => w.shape.length === 2);
  const fixed = 4 * (rowsOf(delta) + vectorsOf(delta));
  const spectra = new Map<string, Float64Array>(), ranks = new Map<string, number>();
  const weights = new Map(delta.weights), passes = "bytes" in target ? 2 : 1;
  let done = 0;
  const step = () => onProgress?.(++done, passes * matrices.length);
  if ("bytes" in target) {
    for (const [path, w] of matrices) {
      spectra.set(path, svd(changeMatrix(w, await W0(path, w)), 0).s);
      step();
    }
  }
  const wanted = "rank" in target
    ? (s: Float64Array) => Math.min(target.rank, s.length)
    : rankOfEnergy(
      "energy" in target ? target.energy : energyFor(target.bytes, delta, spectra),
    );
  for (const [path, w] of matrices) {
    const from = await W0(path, w), whole = svd(changeMatrix(w, from), wanted), rank = whole.U.rows;
    spectra.set(path, whole.s);
    ranks.set(path, rank);
    weights.set(
      path,
      pays(w.shape, rank) ? factors(whole, w.shape) : "u" in w ? w : weightChange(w, from),
    );
    step();
  }
  return {
    delta: { ...delta, weights, notes: { ...delta.notes, compressed: target } },
    ...{ spectra, ranks, bytes: fixed + sizeOf(delta, ranks) },
  };
}

/** A rule for how many of the largest singular values to keep: those that sum up to at most `energy` of the whole. */
export function rankOfEnergy(energy: number): (s: Float64Array) => number {
  return (s) => {
    const whole = s.reduce((a, b) => a + b, 0);
    if (whole === 0) return 0;
    if (energy >= 1) return s.length;
    let sum = 0, rank = 0;
    while (rank < s.length && (sum += s[rank]) <= energy * whole) rank++;
    return rank;
  };
}

/** The smallest energy at which something stays of what there is; 0 where there is nothing. */
export function leastEnergy(spectra: Iterable<Float64Array>): number {
  let least = Infinity;
  for (const s of spectra) {
    const whole = s.reduce((a, b) => a + b, 0);
    if (whole > 0) least = Math.min(least, s[0] / whole);
  }
  // A little more, so that rounding does not take away what it stands for.
  return least === Infinity ? 0 : Math.min(1, least * (1 + 1e-12));
}

/** The largest energy whose file fits, as far as sizes grow with it; they do but for a few bytes of names. */
function energyFor(
  bytes: number,
  delta: Delta,
  spectra: ReadonlyMap<string, Float64Array>,
): number {
  const size = (energy: number, target = bytes) => fileSize(delta, spectra, energy, target);
  const least = leastEnergy(spectra.values());
  if (size(least) > bytes) {
    let needed = size(least);
    // The file notes what was asked for, and that number takes room, too.
    while (size(least, needed) > needed) needed = size(least, needed);
    throw new RangeError(
      `${bytes} bytes are too few: the smallest file that still changes the model takes ${needed} ` +
        `(${Math.ceil(needed / 100) / 10}KB)`,
    );
  }
  if (size(1) <= bytes) return 1;
  let low = least, high = 1;
  for (let i = 0; i < 50; i++) {
    const middle = (low + high) / 2;
    if (size(middle) <= bytes) low = middle;
    else high = middle;
  }
  return low;
}

/** Bytes of the file at an energy, told by the shapes of what would be in it. */
function fileSize(
  delta: Delta,
  spectra: ReadonlyMap<string, Float64Array>,
  energy: number,
  bytes: number,
): number {
  const none = new Float32Array(), rankOf = rankOfEnergy(energy), weights = new Map(delta.weights);
  for (const [path, s] of spectra) {
    const w = delta.weights.get(path)!, { shape } = w, rank = rankOf(s);
    if (pays(shape, rank)) weights.set(path, { shape, rank, u: none, v: none });
    else if (!("u" in w)) weights.set(path, { shape, change: none });
  }
  return deltaSize({ ...delta, weights, notes: { ...delta.notes, compressed: { bytes } } });
}

/** Bytes of all matrices at given ranks. */
function sizeOf(delta: Delta, ranks: ReadonlyMap<string, number>): number {
  let sum = 0;
  for (const [path, rank] of ranks) {
    const { shape: [out, into] } = delta.weights.get(path)!;
    sum += 4 * (pays([out, into], rank) ? rank * (out + into) : out * into);
  }
  return sum;
}

const rowsOf = ({ embeddings, embeddings2 = [] }: Delta): number =>
  [...embeddings, ...embeddings2].reduce((sum, row) => sum + row.length, 0);

const vectorsOf = ({ weights }: Delta): number =>
  [...weights.values()].filter((w) => w.shape.length !== 2)
    .reduce((sum, w) => numbersOf(w).reduce((count, part) => count + part.length, sum), 0);

async function needed(base: BaseWeights | undefined, path: string): Promise<Float32Array> {
  if (base) return await base(path);
  throw new RangeError(
    `compressing takes the base model: how ${path} differs from it can't be told from the delta alone`,
  );
}

function check(target: CompressTarget): void {
  if ("energy" in target && !(target.energy >= 0 && target.energy <= 1)) {
    throw new RangeError(`energy is a share, 0 to 1, and not ${target.energy}`);
  }
  if ("rank" in target && !(Number.isInteger(target.rank) && target.rank >= 0)) {
    throw new RangeError(`a rank is a whole number, and not ${target.rank}`);
  }
  if ("bytes" in target && !(target.bytes >= 0)) {
    throw new RangeError(`a size is a number of bytes, and not ${target.bytes}`);
  }
}
