/**
 * Kernel Inception Distance (Bińkowski et al., ICLR 2018): the unbiased squared maximum mean discrepancy of two sets of
 * features under k(x, y) = (x·y/d + 1)³, averaged over random subsets as clean-fid does.
 */
import { FEATURES } from "./features.ts";
import { expectKinds } from "../tensor/kinds.ts";
import { bootstrap, type BootstrapOptions, type Estimate } from "./bootstrap.ts";
import { type Features, innerProducts, takeRows } from "./features.ts";

/** Options of {@linkcode kid}; defaults are clean-fid's. */
export interface KidOptions {
  /** Random subsets to average over. Default 100. */
  readonly subsets?: number;
  /** Largest subset. Default 1000. */
  readonly subsetSize?: number;
  /** Uniform numbers in [0, 1) that choose the subsets. Default: a fixed sequence. */
  readonly random?: () => number;
}

/**
 * KID of two feature sets; 0 for equal distributions, slightly negative by chance.
 *
 * @throws RangeError for features of different lengths, or fewer than two on a side
 */
export function kid(a: Features, b: Features, options: KidOptions = {}): number {
  expectKinds("kid", { a: [a, FEATURES], b: [b, FEATURES] });
  const m = Math.min(a.count, b.count, options.subsetSize ?? 1000);
  if (m < 2) throw new RangeError("KID needs at least two pictures on each side");
  // With the whole of both sets in every subset, one subset says it all.
  const subsets = m === a.count && m === b.count ? 1 : options.subsets ?? 100;
  const random = options.random ?? sequence(1);
  let total = 0;
  for (let k = 0; k < subsets; k++) {
    total += mmd(takeRows(a, choose(a.count, m, random)), takeRows(b, choose(b.count, m, random)));
  }
  return total / subsets;
}

/**
 * KID over all pairs of two feature sets, with its interval. A picture that a draw repeats is never paired with itself:
 * the estimate stays unbiased.
 *
 * @throws RangeError for features of different lengths, or fewer than two on a side
 */
export function kidEstimate(a: Features, b: Features, options: BootstrapOptions = {}): Estimate {
  expectKinds("kidEstimate", { a: [a, FEATURES], b: [b, FEATURES] });
  if (Math.min(a.count, b.count) < 2) {
    throw new RangeError("KID needs at least two pictures on each side");
  }
  return bootstrap([a.count, b.count], discrepancy(a, b), options);
}

const mmd = (x: Features, y: Features): number =>
  discrepancy(x, y)([new Float64Array(x.count).fill(1), new Float64Array(y.count).fill(1)]);

/** The squared discrepancy as a function of how often each row occurs. */
function discrepancy(x: Features, y: Features): (times: readonly Float64Array[]) => number {
  const kernel = (p: Features, q: Features) =>
    innerProducts(p, q).map((v) => (v / x.size + 1) ** 3);
  const xx = kernel(x, x), yy = kernel(y, y), xy = kernel(x, y);
  return ([s, t]) => paired(xx, s, s, true) + paired(yy, t, t, true) - 2 * paired(xy, s, t, false);
}

/** The weighted mean of a table of pairs, with or without its diagonal. */
function paired(k: Float64Array, s: Float64Array, t: Float64Array, apart: boolean): number {
  let sum = 0, weight = 0;
  for (let i = 0; i < s.length; i++) {
    for (let j = 0; s[i] > 0 && j < t.length; j++) {
      if (apart && i === j) continue;
      sum += s[i] * t[j] * k[i * t.length + j];
      weight += s[i] * t[j];
    }
  }
  return sum / weight;
}

/** m distinct indices below n. */
function choose(n: number, m: number, random: () => number): number[] {
  const all = Array.from({ length: n }, (_, i) => i);
  for (let i = 0; i < m; i++) {
    const j = i + Math.floor(random() * (n - i));
    [all[i], all[j]] = [all[j], all[i]];
  }
  return all.slice(0, m);
}

function sequence(seed: number): () => number {
  let s = seed >>> 0;
  return () => {
    s = (Math.imul(s, 1664525) + 1013904223) >>> 0;
    return s / 2 ** 32;
  };
}
