/**
 * From measured pictures to numbers with intervals. Several runs (a concept and a seed each) give an interval by
 * Student's t over the runs, which holds what training and concepts vary by; a single one gives it by drawing its
 * pictures again, which holds what sampling varies by, and no more.
 */
import { bootstrap, type Estimate } from "../evaluate/bootstrap.ts";
import { interval } from "../evaluate/interval.ts";
import type { ScoreName } from "./experiments.ts";
import type { Anchors, Measured } from "./measuring.ts";

/** A measured row with what it is held against. */
export interface Run {
  /** The concept or pair, and the seed: rows of one run are compared with each other. */
  readonly run: string;
  readonly row: Measured;
  readonly anchors: Anchors;
  /** The untouched model's row of the same run. */
  readonly untouched: Measured;
}

/** A number with its interval, and from how many runs it is. */
export interface Scored extends Estimate {
  readonly runs: number;
}

/** A score as tables show it. */
export interface ScoreInfo {
  readonly title: string;
  /** Digits behind the point. */
  readonly digits: number;
}

/** All scores. */
export const SCORES: Readonly<Record<ScoreName, ScoreInfo>> = {
  text: { title: "text alignment", digits: 3 },
  image: { title: "image alignment", digits: 3 },
  learnt: { title: "learnt", digits: 2 },
  said: { title: "follows the prompt", digits: 2 },
  tradeoff: { title: "trade-off", digits: 3 },
  seen: { title: "seen", digits: 2 },
  kid: { title: "KID", digits: 2 },
  kept: { title: "class kept", digits: 2 },
};

/** How often each picture counts: all once, or as a draw of the bootstrap has it. */
type Weights = ArrayLike<number>;

/** The mean of values that count so often. */
function mean(values: readonly number[], weights?: Weights): number {
  if (!weights) return values.reduce((a, b) => a + b, 0) / values.length;
  let sum = 0, all = 0;
  values.forEach((v, i) => (sum += weights[i] * v, all += weights[i]));
  return sum / all;
}

/** Where x is on the way from one end to the other; NaN where the scorer does not tell the ends apart. */
const between = (x: number, from: number, to: number): number =>
  to > from ? (x - from) / (to - from) : NaN;

const within = (x: number): number => Math.min(1, Math.max(0, x));

/**
 * A score of a run.
 *
 * - learnt: image alignment, 0 as the untouched model's and 1 as that of what the prompts ask for, drawn;
 * - said: text alignment, 0 as that of the training pictures and 1 as that of what the prompts ask for, drawn;
 * - tradeoff: √(learnt · said), both cut to 0…1. A model that does not know the concept has 0, and so has one that
 *   repeats its training pictures; and nothing is gained by being better at one than a picture that is right.
 *
 * @param at of two concepts, which one's image alignment; by default the mean of both
 */
export function scoreOf(run: Run, score: ScoreName, weights?: Weights, at?: number): number {
  const { row, anchors, untouched } = run;
  const concepts = at === undefined ? row.image.map((_, i) => i) : [at];
  const over = (f: (i: number) => number) => mean(concepts.map(f));
  switch (score) {
    case "text":
      return mean(row.text, weights);
    case "image":
      return over((i) => mean(row.image[i], weights));
    case "learnt":
      return over((i) => {
        const none = mean(untouched.image[i]);
        return between(mean(row.image[i], weights), none, anchors.idealImage[i]);
      });
    case "said":
      return between(mean(row.text, weights), anchors.targetText, anchors.idealText);
    case "tradeoff":
      return Math.sqrt(
        within(scoreOf(run, "learnt", weights)) * within(scoreOf(run, "said", weights)),
      );
    case "seen":
      return mean(row.seen, weights);
    case "kid":
      return row.kid?.value ?? NaN;
    case "kept":
      return row.kept ? mean(row.kept, weights) : NaN;
  }
}

/** A score over runs. */
export function scored(runs: readonly Run[], score: ScoreName, at?: number): Scored {
  const values = runs.map((run) => scoreOf(run, score, undefined, at));
  if (runs.length !== 1) return overRuns(values);
  const [run] = runs;
  if (score === "kid") return { ...run.row.kid ?? { value: NaN, low: NaN, high: NaN }, runs: 1 };
  const count = score === "kept" ? run.row.kept?.length ?? 0 : run.row.text.length;
  if (!count) return { value: NaN, low: NaN, high: NaN, runs: 1 };
  return { ...bootstrap([count], ([w]) => scoreOf(run, score, w, at)), runs: 1 };
}

/**
 * By how much `a` is above `b`, in runs that both have. Pictures of two models share prompts and noise, so they are drawn
 * together.
 */
export function difference(
  a: readonly Run[],
  b: readonly Run[],
  score: ScoreName,
  at?: number,
): Scored {
  const both = a.flatMap((x) => {
    const y = b.find((other) => other.run === x.run);
    return y ? [[x, y] as const] : [];
  });
  const of = ([x, y]: readonly [Run, Run], w?: Weights) =>
    scoreOf(x, score, w, at) - scoreOf(y, score, w, at);
  if (both.length !== 1) return overRuns(both.map((pair) => of(pair)));
  const [pair] = both;
  if (score === "kid") return apart(pair[0].row.kid, pair[1].row.kid);
  const count = score === "kept" ? pair[0].row.kept?.length ?? 0 : pair[0].row.text.length;
  if (!count) return { value: NaN, low: NaN, high: NaN, runs: 1 };
  return { ...bootstrap([count], ([w]) => of(pair, w)), runs: 1 };
}

/** The mean over the runs in which there is a value; no interval can be given for none. */
export function overRuns(all: readonly number[]): Scored {
  const values = all.filter(Number.isFinite);
  if (!values.length) return { value: NaN, low: NaN, high: NaN, runs: 0 };
  const { mean: value, half } = interval(values);
  return { value, low: value - half, high: value + half, runs: values.length };
}

/** The difference of two estimates from pictures of their own. */
function apart(a?: Estimate, b?: Estimate): Scored {
  if (!a || !b) return { value: NaN, low: NaN, high: NaN, runs: 1 };
  const value = a.value - b.value;
  return {
    value,
    low: value - Math.hypot(a.value - a.low, b.high - b.value),
    high: value + Math.hypot(a.high - a.value, b.value - b.low),
    runs: 1,
  };
}
