/** All numbers of a run, put together from what lies in the folder: this is the JSON, and what report and docs show. */
import { openBase } from "../concepts/deltas/formats/base.ts";
import { type Claim, CLAIMS, type Verdict, verdictOf } from "./claims.ts";
import { FIGURES, METHODS_SHOWN, type PaperRow, type ScoreName, TABLES } from "./experiments.ts";
import type { Shelf } from "./lab.ts";
import { readMaps } from "./maps.ts";
import { anchorsOf, type Measured, readRow } from "./measuring.ts";
import type { Plan, Wanted } from "./plan.ts";
import { recipeOf, type Training } from "./recipes.ts";
import { difference, overRuns, type Run, type Scored, scored } from "./scores.ts";
import type { Settings } from "./settings.ts";
import { OURS, SINGLE, variantsNamed } from "./variants.ts";
import { type Changes, changesOf, type Spectra, spectraOf } from "./weights.ts";

/** A measured row of a table. */
export interface ResultRow {
  readonly variant: string;
  readonly title: string;
  readonly scores: Readonly<Partial<Record<ScoreName, Scored>>>;
  readonly paper?: PaperRow;
}

/** A point of Figures 8, 13 and 17. */
export interface Point {
  readonly variant: string;
  readonly title: string;
  readonly guidance: number;
  readonly share: number;
  readonly text: Scored;
  readonly image: Scored;
}

/** A claim and how it came out. */
export interface Concluded extends Claim {
  readonly difference: Scored;
  readonly verdict: Verdict;
}

/** Everything. */
export interface Results {
  readonly settings: Settings;
  /** What pictures were sampled on. */
  readonly devices: readonly string[];
  readonly tables: Readonly<Record<string, readonly ResultRow[]>>;
  readonly points: Readonly<Record<string, readonly Point[]>>;
  readonly conclusions: readonly Concluded[];
  readonly changes?: Changes;
  readonly spectra?: Spectra;
  /** Figure 16: correlation of two class words' attention, by model. */
  readonly overlap: readonly { readonly title: string; readonly overlap: Scored }[];
  /** Rows that were planned and are not measured yet. */
  readonly missing: number;
}

/** A planned row that was measured. */
interface Found {
  readonly wanted: Wanted;
  readonly run: Run;
}

/** Puts the results together; what is not there yet is left out. */
export async function collect(shelf: Shelf, plan: Plan, settings: Settings): Promise<Results> {
  const found = await findRows(shelf, plan);
  const of = (experiment: string, variant: string, more: Partial<Wanted> = {}): Run[] =>
    found.filter(({ wanted }) =>
      wanted.experiment === experiment && wanted.variant === variant &&
      Object.entries(more).every(([k, v]) => wanted[k as keyof Wanted] === v)
    ).map(({ run }) => run);
  const tables = TABLES.map(({ id, variants, scores, paper }): [string, ResultRow[]] => [
    id,
    variants.flatMap((variant) => {
      const runs = of(id, variant);
      if (!runs.length) return [];
      const { title } = found.find((f) => f.wanted.variant === variant)!.wanted;
      const numbers = scores.map((score) => [score, scored(runs, score)]);
      return [{ variant, title, scores: Object.fromEntries(numbers), paper: paper[variant] }];
    }),
  ]);
  const points = FIGURES.map((id): [string, Point[]] => [id, pointsOf(found, id)]);
  const runsOf = (variant: string, figures: readonly string[]): Training[] =>
    figures.some((f) => plan.experiments.includes(f))
      ? settings.seeds.flatMap((seed) =>
        settings.concepts.map((name) =>
          recipeOf(
            variantsNamed(SINGLE, [variant])[0],
            [name],
            seed,
            settings,
            shelf.defaults,
          ) as Training
        )
      )
      : [];
  using base = await openBase(shelf.folder);
  const changes = await changesOf(shelf, base, runsOf("custom-all", ["figure3"]));
  const spectra = await spectraOf(shelf, base, runsOf(OURS, ["figure12", "figure13"]));
  const overlap: { title: string; overlap: Scored }[] = [];
  for (const wanted of plan.maps) {
    const maps = await readMaps(shelf, wanted);
    if (maps) overlap.push({ title: wanted.title, overlap: overRuns(maps.overlap) });
  }
  const claims = CLAIMS.filter((c) => plan.experiments.includes(c.experiment));
  const compared = claims.map((claim): Concluded => {
    const { experiment, above, below, score, at } = claim;
    const apart = difference(of(experiment, above), of(experiment, below), score, at);
    return { ...claim, difference: apart, verdict: verdictOf(apart) };
  });
  return {
    settings,
    devices: [...new Set(found.map(({ run }) => run.row.device))],
    tables: Object.fromEntries(tables.filter(([, rows]) => rows.length)),
    points: Object.fromEntries(points.filter(([, rows]) => rows.length)),
    conclusions: [...compared, ...changes ? groupClaims(changes) : []],
    ...(changes && { changes }),
    ...(spectra && { spectra }),
    overlap,
    missing: plan.rows.length - found.length,
  };
}

async function findRows(shelf: Shelf, plan: Plan): Promise<Found[]> {
  const runOf = ({ subject, seed }: Wanted) => `${subject.join("+")} s${seed}`;
  const found: Found[] = [], untouched = new Map<string, Measured>();
  for (const wanted of plan.rows) {
    const row = await readRow(shelf, wanted), run = runOf(wanted);
    if (row && wanted.experiment === "untouched") untouched.set(run, row);
    const anchors = await anchorsOf(shelf, wanted.subject, wanted.prompts),
      none = untouched.get(run);
    if (row && anchors && none) {
      found.push({ wanted, run: { run, row, anchors, untouched: none } });
    }
  }
  return found;
}

/** Points of a figure in the order in which they were planned, runs of a point together. */
function pointsOf(found: readonly Found[], id: string): Point[] {
  const groups = new Map<string, Found[]>();
  for (const one of found.filter(({ wanted }) => wanted.experiment === id)) {
    const { variant, guidance, share } = one.wanted, key = `${variant} ${guidance} ${share}`;
    groups.set(key, [...groups.get(key) ?? [], one]);
  }
  return [...groups.values()].map((all) => {
    const [{ wanted: { variant, title, guidance, share } }] = all, runs = all.map((f) => f.run);
    const [text, image] = (["text", "image"] as const).map((score) => scored(runs, score));
    return { variant, title, guidance, share, text, image };
  });
}

/** What Figure 3 says. */
const groupClaims = ({ above }: Changes): Concluded[] =>
  Object.entries(above).map(([group, apart]) => ({
    ...{ experiment: "figure3", score: "text", above: "cross-attention", below: group },
    text: `Cross-attention changes more than ${group}, when everything trains`,
    paper: "changes most (figure)",
    difference: apart,
    verdict: verdictOf(apart),
  }));

/** Methods of a figure in the order in which they are shown. */
export const shownIn = (points: readonly Point[]): string[] =>
  [...METHODS_SHOWN, ...points.map((p) => p.variant)].filter((v, i, all) =>
    all.indexOf(v) === i && points.some((p) => p.variant === v)
  );
