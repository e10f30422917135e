/** Intervals of means of a few runs, by Student's t: what repeated trainings say, where `bootstrap.ts` draws pictures. */

/** 97.5 % points of Student's t for 1, 2, … degrees of freedom. */
const T = [
  ...[12.71, 4.3, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23],
  ...[2.2, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.1, 2.09, 2.09],
  ...[2.08, 2.07, 2.07, 2.06, 2.06, 2.06, 2.05, 2.05, 2.05, 2.04],
];

/** The normal distribution's, for more. */
const Z = 1.96;

/** The arithmetic mean. */
export const mean = (xs: ArrayLike<number>): number =>
  Array.from(xs).reduce((a, b) => a + b, 0) / xs.length;

/** Mean and half the width of its 95 % interval; one run has no interval, and its half is infinite. */
export function interval(xs: readonly number[]): { mean: number; half: number } {
  const middle = mean(xs), freedom = xs.length - 1;
  if (freedom < 1) return { mean: middle, half: Infinity };
  const variance = xs.reduce((s, x) => s + (x - middle) ** 2, 0) / freedom;
  return { mean: middle, half: (T[freedom - 1] ?? Z) * Math.sqrt(variance / xs.length) };
}
