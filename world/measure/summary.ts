/** What many runs of `main.ts` say together: tables with a line for each concept, and intervals over the seeds. */
import { interval, mean } from "../../evaluate/interval.ts";

/** What a model makes of "photo of a <class>". */
export interface Prior {
  /** KID against real renders, sampled without guidance. */
  readonly kid: number;
  /** The same, with the guidance that pictures are made with. */
  readonly kidGuided: number;
  /** Share of the guided pictures in which the classifier sees the class. */
  readonly classKept: number;
}

/** What pictures of a concept in new places are like. */
export interface Learnt {
  /** Mean cosine to the concept's own pictures. */
  readonly align: number;
  /** Share in which the classifier of concepts sees it. */
  readonly seen: number;
  /** Share that is nearer to its own pictures than to those of any other concept, by CLIP. */
  readonly nearest: number;
}

/** What one run gave. */
export interface Row extends Prior, Learnt {
  readonly concept: string;
  readonly seed: number;
  /** With the regularization set, or without. */
  readonly regularized: boolean;
  /** Optimizer steps. */
  readonly steps: number;
  /** As applied, at its highest. */
  readonly rate: number;
  /** How the rate runs over the steps. */
  readonly schedule: string;
  /** How far the concept was learnt: 0 as the untouched model, 1 as fresh pictures of it. */
  readonly frac: number;
  readonly base: number;
  readonly ceil: number;
  /** The same of the model before. */
  readonly untouched: Prior;
  readonly seconds: number;
}

const show = (xs: readonly number[]): string => {
  if (!xs.length) return "–";
  const { mean, half } = interval(xs);
  return mean.toFixed(2) + (half < Infinity ? ` ± ${half.toFixed(2)}` : "");
};

/** A column: its head, and what a row has for it. */
type Column = readonly [title: string, regularized: boolean, of: (r: Row) => number];

const LEARNT: readonly Column[] = [
  ["frac", true, (r) => r.frac],
  ["frac, no reg.", false, (r) => r.frac],
  ["concept seen", true, (r) => r.seen],
  ["nearest to its own", true, (r) => r.nearest],
  ["class seen, before", true, (r) => r.untouched.classKept],
  ["class seen", true, (r) => r.classKept],
  ["class seen, no reg.", false, (r) => r.classKept],
];

const DRIFT: readonly Column[] = [
  ["KID, before", true, (r) => r.untouched.kid],
  ["KID", true, (r) => r.kid],
  ["KID, no reg.", false, (r) => r.kid],
  ["guided: before", true, (r) => r.untouched.kidGuided],
  ["guided", true, (r) => r.kidGuided],
  ["guided, no reg.", false, (r) => r.kidGuided],
];

/**
 * The runs as two Markdown tables, what was learnt and how far the class drifted, concepts in the order in which they
 * appear; then how many times as far without the regularization set as with it. Of all concepts together a seed's
 * average is taken first, from seeds that have them all.
 */
export function summary(rows: readonly Row[]): string {
  const ratio = (of: (r: Row) => number) => {
    const [without, withIt] = [false, true].map((regularized) => perSeed(rows, regularized, of));
    return show(
      without.flatMap(([seed, x]) => withIt.filter(([s]) => s === seed).map(([, y]) => x / y)),
    );
  };
  return [
    table(rows, LEARNT),
    table(rows, DRIFT),
    `KID without the regularization set / with it: ${ratio((r) => r.kid)}; guided ${
      ratio((r) => r.kidGuided)
    }`,
  ].join("\n\n");
}

const namesOf = (rows: readonly Row[]) => [...new Set(rows.map((r) => r.concept))];

/** Seeds that have every concept, each with the mean over the concepts. */
function perSeed(
  rows: readonly Row[],
  regularized: boolean,
  of: (r: Row) => number,
): [seed: number, mean: number][] {
  const count = namesOf(rows).length;
  return [...new Set(rows.map((r) => r.seed))].flatMap((seed) => {
    const here = rows.filter((r) => r.regularized === regularized && r.seed === seed);
    return here.length === count ? [[seed, mean(here.map(of))]] : [];
  });
}

function table(rows: readonly Row[], columns: readonly Column[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [
    line(["concept", ...columns.map(([title]) => title)]),
    line(["concept", ...columns].map((_, i) => i ? "--:" : "---")),
    ...namesOf(rows).map((name) =>
      line([
        name,
        ...columns.map(([, regularized, of]) =>
          show(rows.filter((r) => r.regularized === regularized && r.concept === name).map(of))
        ),
      ])
    ),
    line([
      "**all**",
      ...columns.map(([, regularized, of]) =>
        show(perSeed(rows, regularized, of).map(([, x]) => x))
      ),
    ]),
  ].join("\n");
}
