/**
 * Kernel Inception Distance (Bińkowski et al., ICLR 2018): the unbiased squared maximum mean discrepancy of two sets of
 * features under k(x, y) = (x·y/d + 1)³, averaged over random subsets as clean-fid does.
 */
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

/** KID of two feature sets; 0 for equal distributions, slightly negative by chance. */
export function kid(a: Features, b: Features, options: KidOptions = {}): number {
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

function mmd(x: Features, y: Features): number {
  const m = x.count;
  const kernel = (p: Features, q: Features) =>
    innerProducts(p, q).map((v) => (v / x.size + 1) ** 3);
  const within = (p: Features) => {
    const k = kernel(p, p);
    let s = 0;
    for (let i = 0; i < m; i++) for (let j = 0; j < m; j++) if (i !== j) s += k[i * m + j];
    return s / (m * (m - 1));
  };
  return within(x) + within(y) - 2 * kernel(x, y).reduce((s, v) => s + v, 0) / (m * m);
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
