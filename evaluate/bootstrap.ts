/**
 * Confidence intervals by the bootstrap (Efron & Tibshirani, An Introduction to the Bootstrap, §13): pictures are drawn
 * again with replacement, and the score is computed from each draw.
 *
 * A draw is given as how often each picture occurs in it, so that kernels and cosines are computed once only.
 */
import { expectKinds, FUNCTION, listOf, NUMBER } from "../tensor/kinds.ts";
import { hostRandom } from "../numerics/random.ts";

/** A score with its interval. */
export interface Estimate {
  /** The score of the pictures as they are. */
  readonly value: number;
  /** Lower end of the interval. */
  readonly low: number;
  /** Upper end of the interval. */
  readonly high: number;
}

/** Options of {@linkcode bootstrap}. */
export interface BootstrapOptions {
  /** Draws. Default 1000. */
  readonly resamples?: number;
  /** Random seed, a whole number. Default 0. */
  readonly seed?: number;
  /** Coverage of the interval, between 0 and 1. Default 0.95. */
  readonly level?: number;
  /** Called with how many draws are scored. */
  readonly onDraw?: (done: number, total: number) => void;
}

/**
 * A score and its interval.
 *
 * The percentiles are moved by what separates the draws' mean from the score: a draw repeats pictures, which biases the
 * Fréchet distance upwards, and that bias is not uncertainty.
 *
 * @param counts pictures in each set that is drawn from, independently
 * @param score takes, for each set, how often each picture occurs; all ones are the pictures as they are
 * @throws RangeError for an empty set, no resamples, or a level outside of (0, 1)
 */
export function bootstrap(
  counts: readonly number[],
  score: (times: readonly Float64Array[]) => number,
  { resamples = 1000, seed = 0, level = 0.95, onDraw }: BootstrapOptions = {},
): Estimate {
  expectKinds("bootstrap", { counts: [counts, listOf(NUMBER)], score: [score, FUNCTION] });
  if (!counts.every((n) => n > 0)) throw new RangeError("nothing can be drawn from an empty set");
  if (!(resamples >= 1)) throw new RangeError(`${resamples} resamples: at least one is needed`);
  if (!(level > 0 && level < 1)) throw new RangeError(`a level of ${level} is not between 0 and 1`);
  const value = score(counts.map((n) => new Float64Array(n).fill(1)));
  const drawn = Float64Array.from({ length: resamples }, (_, r) => {
    const random = hostRandom(seed, r);
    const scored = score(counts.map((n) => {
      const times = new Float64Array(n);
      for (let i = 0; i < n; i++) times[random.integer(0, n - 1)]++;
      return times;
    }));
    onDraw?.(r + 1, resamples);
    return scored;
  }).filter(Number.isFinite).sort();
  // Of two pictures a draw may hold one only, from which no spread can be computed: such draws say nothing.
  if (!drawn.length) return { value, low: NaN, high: NaN };
  const shift = value - drawn.reduce((s, x) => s + x, 0) / drawn.length;
  return {
    value,
    low: quantile(drawn, (1 - level) / 2) + shift,
    high: quantile(drawn, (1 + level) / 2) + shift,
  };
}

/** Between sorted values, linearly. */
function quantile(sorted: Float64Array, q: number): number {
  const at = q * (sorted.length - 1), i = Math.floor(at);
  return sorted[i] + (at - i) * (sorted[Math.min(i + 1, sorted.length - 1)] - sorted[i]);
}
