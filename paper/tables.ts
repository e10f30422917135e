/** Results as tables of text, for the report and for docs: one way to write a number with its interval. */
import { FIGURES, type PaperRow, type ScoreName, TABLES } from "./experiments.ts";
import type { Concluded, Point, ResultRow, Results } from "./results.ts";
import { type Scored, SCORES } from "./scores.ts";
import { bytes } from "../numerics/quantities.ts";

/** Rows of cells, the first of them the heads. */
export type Cells = readonly (readonly string[])[];

/** "0.795 ± 0.012", or with a lopsided interval "0.795 (0.780 … 0.799)". */
export function written({ value, low, high }: Scored, digits: number): string {
  if (!Number.isFinite(value)) return "–";
  const show = (x: number) => x.toFixed(digits).replace(/^-(0(\.0*)?)$/, "$1");
  if (!Number.isFinite(low) || !Number.isFinite(high)) return show(value);
  const half = (high - low) / 2;
  const even = Math.abs(value - low - half) < 0.02 * half;
  return even ? `${show(value)} ± ${show(half)}` : `${show(value)} (${show(low)} … ${show(high)})`;
}

const withInfo = (scored: Scored | undefined, score: ScoreName): string => {
  return scored ? written(scored, SCORES[score].digits) : "–";
};

const paperCells = (paper: PaperRow | undefined, kid: boolean): string[] => {
  const cell = (x: number | undefined, digits: number) => x === undefined ? "–" : x.toFixed(digits);
  return [cell(paper?.[0], 3), cell(paper?.[1], 3), ...kid ? [cell(paper?.[2], 2)] : []];
};

/** A table of the paper, with the paper's own numbers on the right. */
export function tableCells(rows: readonly ResultRow[], scores: readonly ScoreName[]): Cells {
  const kid = scores.includes("kid");
  return [
    [
      "",
      ...scores.map((score) => SCORES[score].title),
      ...["paper: text", "image", ...kid ? ["KID × 10³"] : []],
    ],
    ...rows.map(({ title, scores: own, paper }) => [
      title,
      ...scores.map((score) => withInfo(own[score], score)),
      ...paperCells(paper, kid),
    ]),
  ];
}

/** Points of a figure. */
export function pointCells(points: readonly Point[]): Cells {
  return [
    ["", "steps", "guidance", "text alignment", "image alignment"],
    ...points.map(({ title, share, guidance, text, image }) => [
      ...[title, `${Math.round(100 * share)} %`, String(guidance)],
      ...[withInfo(text, "text"), withInfo(image, "image")],
    ]),
  ];
}

/** What came out of each claim. */
export function conclusionCells(conclusions: readonly Concluded[]): Cells {
  const runs = ({ runs }: Scored) => runs === 1 ? "pictures of 1 run" : `${runs} runs`;
  return [
    ["claim", "difference", "from", "in the paper", "here"],
    ...conclusions.map(({ text, score, experiment, difference, paper, verdict }) => [
      text,
      experiment === "figure3" ? written(difference, 4) : withInfo(difference, score),
      ...[runs(difference), paper, verdict],
    ]),
  ];
}

/** A summary of a part of the results. */
export interface Part {
  readonly id: string;
  readonly title: string;
  readonly text: string;
  readonly cells: Cells;
}

const TITLES: Readonly<Record<string, string>> = {
  figure8: "Figure 8, text against image alignment",
  figure13: "Figure 13, compressed deltas",
  figure17: "Figure 17, alignment by training steps",
};

/** All parts that have numbers, in the paper's order. */
export function partsOf(results: Results): Part[] {
  const { tables, points, changes, spectra, overlap } = results, parts: Part[] = [];
  for (const { id, title, about, scores } of TABLES) {
    const rows = tables[id];
    if (rows) parts.push({ id, title, text: about, cells: tableCells(rows, scores) });
  }
  if (changes) {
    parts.push({
      ...{ id: "figure3", title: "Figure 3, change of weights" },
      text: "Mean relative change of a layer, ‖θ′ − θ‖ / ‖θ‖, when the whole UNet trains.",
      cells: [
        ["layers", "mean change"],
        ...Object.entries(changes.groups).map(([group, change]) => [group, written(change, 4)]),
      ],
    });
  }
  for (const id of FIGURES.filter((id) => points[id])) {
    parts.push({ id, title: TITLES[id], text: "", cells: pointCells(points[id]) });
  }
  if (spectra) {
    const { whole, ranks, sizes } = spectra;
    parts.push({
      ...{ id: "figure12", title: "Figure 12, singular values of what was added" },
      text: `${written(ranks, 2)} of a matrix's singular values hold 60 % of their sum; ` +
        `a whole delta is ${bytes(whole * 1e6)} of numbers.`,
      cells: [
        ["kept", "size beside the whole delta"],
        ...Object.entries(sizes).map(([id, size]) => [id, written(size, 3)]),
      ],
    });
  }
  if (overlap.length) {
    parts.push({
      ...{ id: "figure16", title: "Figure 16, attention to the two classes" },
      text:
        "Correlation over places of what the two class words get; the paper finds that maps of " +
        "similar things overlap, before and after.",
      cells: [
        ["model", "overlap"],
        ...overlap.map(({ title, overlap }) => [title, written(overlap, 2)]),
      ],
    });
  }
  return parts;
}

/** Cells as a Markdown table. */
export function markdown([heads, ...body]: Cells): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(heads), line(heads.map((_, i) => i ? "--:" : "---")), ...body.map(line)].join("\n");
}
