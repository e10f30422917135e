/** What many runs of `measure.ts` say together: a table with a line for each concept, and intervals over the seeds. */
import { interval, mean } from "../evaluate/interval.ts";

/** What one run gave. */
export interface Row {
  readonly concept: string;
  readonly seed: number;
  /** With the regularization set, or without. */
  readonly regularized: boolean;
  /** How far the concept was learnt: 0 as the untouched model, 1 as fresh pictures of it. */
  readonly frac: number;
  readonly align: number;
  readonly base: number;
  readonly ceil: number;
  /** KID of "photo of a <class>" against real renders. */
  readonly kid: number;
  /** Share of those pictures in which the classifier sees the class. */
  readonly classKept: number;
  readonly seconds: number;
}

const show = (xs: readonly number[]): string => {
  if (!xs.length) return "–";
  const { mean, half } = interval(xs);
  return mean.toFixed(2) + (half < Infinity ? ` ± ${half.toFixed(2)}` : "");
};

/** The runs as a Markdown table, concepts in the order in which they appear; the last line averages each seed first. */
export function summary(rows: readonly Row[]): string {
  const columns: [string, boolean, (r: Row) => number][] = [
    ["frac", true, (r) => r.frac],
    ["class kept", true, (r) => r.classKept],
    ["KID", true, (r) => r.kid],
    ["frac, no reg.", false, (r) => r.frac],
    ["class kept, no reg.", false, (r) => r.classKept],
    ["KID, no reg.", false, (r) => r.kid],
  ];
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const names = [...new Set(rows.map((r) => r.concept))];
  const seeds = [...new Set(rows.map((r) => r.seed))];
  const some = (regularized: boolean, f: (r: Row) => boolean) =>
    rows.filter((r) => r.regularized === regularized && f(r));
  const all = columns.map(([, regularized, of]) =>
    show(
      seeds.map((seed) => some(regularized, (r) => r.seed === seed).map(of))
        .filter((xs) => xs.length === names.length).map(mean),
    )
  );
  return [
    line(["concept", ...columns.map(([title]) => title)]),
    line(["concept", ...columns].map((_, i) => i ? "--:" : "---")),
    ...names.map((name) =>
      line([
        name,
        ...columns.map(([, regularized, of]) =>
          show(some(regularized, (r) => r.concept === name).map(of))
        ),
      ])
    ),
    line(["**all**", ...all]),
  ].join("\n");
}
