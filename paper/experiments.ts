/** The tables and figures, as data: what each shows, and what the paper says there. */
import type { CompressTarget } from "../concepts/deltas/compress.ts";
import { OURS, PRETRAINED } from "./variants.ts";

/** What is measured of pictures. */
export type ScoreName = "text" | "image" | "learnt" | "said" | "tradeoff" | "seen" | "kid" | "kept";

/** A row of the paper: text- and image-alignment, and KID × 10³ where it says one. */
export type PaperRow = readonly [text: number, image: number, kid?: number];

/** A table. */
export interface Table {
  readonly id: string;
  readonly title: string;
  /** What it is about, in a sentence. */
  readonly about: string;
  /** Of one concept, or of two. */
  readonly of: "single" | "pair";
  readonly variants: readonly string[];
  readonly scores: readonly ScoreName[];
  readonly paper: Readonly<Record<string, PaperRow>>;
}

const SINGLE_SCORES = ["text", "image", "tradeoff", "seen", "kid", "kept"] as const;

/** Tables 1, 3 and 4. Table 2 asks people. */
export const TABLES: readonly Table[] = [
  {
    id: "table1",
    title: "Table 1, one concept",
    about: "Each method teaches each concept by itself.",
    of: "single",
    variants: [PRETRAINED, "textual-inversion", "dreambooth", "custom-all", OURS],
    scores: SINGLE_SCORES,
    paper: {
      "textual-inversion": [0.670, 0.827, 22.27],
      "dreambooth": [0.781, 0.776, 32.53],
      "custom-all": [0.795, 0.748, 19.27],
      [OURS]: [0.795, 0.775, 20.96],
    },
  },
  {
    id: "pairs",
    title: "Table 1, two concepts",
    about: "Prompts ask for both concepts in one picture.",
    of: "pair",
    variants: [
      ...[PRETRAINED, "textual-inversion", "dreambooth", "custom-all"],
      ...["sequential", "merged", "joint"],
    ],
    scores: ["text", "image", "tradeoff", "seen"],
    paper: {
      "textual-inversion": [0.544, 0.630],
      "dreambooth": [0.783, 0.695],
      "custom-all": [0.787, 0.691],
      "sequential": [0.797, 0.700],
      "merged": [0.800, 0.695],
      "joint": [0.801, 0.706],
    },
  },
  {
    id: "table3",
    title: "Table 3, ablations",
    about: "Ours without augmentation, without regularization pictures, and with generated ones.",
    of: "single",
    variants: [OURS, "no-augmentation", "no-regularization", "generated"],
    scores: SINGLE_SCORES,
    paper: {
      [OURS]: [0.795, 0.775, 20.96],
      "no-augmentation": [0.800, 0.736, 20.67],
      "no-regularization": [0.799, 0.756, 32.64],
      "generated": [0.791, 0.768, 34.70],
    },
  },
  {
    id: "table4",
    title: "Table 4, choice of V*",
    about: "V* starts from a rare word (ours) or from noise, or stays what it starts as.",
    of: "single",
    variants: [OURS, "random-token", "frozen-token"],
    scores: SINGLE_SCORES,
    paper: {
      [OURS]: [0.795, 0.774, 22.43],
      "random-token": [0.805, 0.765, 22.06],
      "frozen-token": [0.816, 0.733, 21.86],
    },
  },
];

/** The figures that are numbers. */
export const FIGURES = ["figure3", "figure8", "figure12", "figure13", "figure16", "figure17"];

/** Everything that `--only` takes. */
export const EXPERIMENTS: readonly string[] = [...TABLES.map((t) => t.id), ...FIGURES];

/** Methods whose points Figures 8 and 17 show. */
export const METHODS_SHOWN = ["textual-inversion", "dreambooth", "custom-all", OURS];

/** Figure 13: how much of the singular values is kept, and the size that the paper gives, in MB. */
export const COMPRESSIONS: readonly {
  readonly id: string;
  readonly title: string;
  readonly target: CompressTarget;
  readonly paperSize: number;
}[] = [
  { id: "energy-0.6", title: "Top 60 %", target: { energy: 0.6 }, paperSize: 15 },
  { id: "energy-0.4", title: "Top 40 %", target: { energy: 0.4 }, paperSize: 5 },
  { id: "energy-0.1", title: "Top 10 %", target: { energy: 0.1 }, paperSize: 1 },
  { id: "rank-1", title: "Rank 1", target: { rank: 1 }, paperSize: 0.1 },
  { id: "rank-0", title: "Rank 0", target: { rank: 0 }, paperSize: 0.08 },
];

/** Size of the paper's delta, in MB. */
export const PAPER_SIZE = 75;

/** Pictures a model whose attention maps are made (Figure 16). */
export const MAPS = 4;
