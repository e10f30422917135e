/** What the paper concludes, as statements that a measurement can bear out or refute; and whether this one does. */
import type { ScoreName } from "./experiments.ts";
import type { Scored } from "./scores.ts";
import { OURS, PRETRAINED } from "./variants.ts";

/** A statement that one variant scores above another. */
export interface Claim {
  /** The table, which both are rows of; or a figure. */
  readonly experiment: string;
  /** In words. */
  readonly text: string;
  readonly score: ScoreName;
  readonly above: string;
  readonly below: string;
  /** Of two concepts, the one whose image alignment is meant. */
  readonly at?: number;
  /** The paper's numbers for it. */
  readonly paper: string;
}

/** How a claim came out. */
export type Verdict = "as in the paper" | "not as in the paper" | "undecided" | "not measured";

const says = (
  experiment: string,
  text: string,
  score: ScoreName,
  [above, below]: readonly [string, string],
  paper: string,
  at?: number,
): Claim => ({ experiment, text, score, above, below, paper, ...(at !== undefined && { at }) });

/** Every claim. */
export const CLAIMS: readonly Claim[] = [
  ...([
    ["textual-inversion", "Textual Inversion", "0.795/0.775 to 0.670/0.827"],
    ["dreambooth", "DreamBooth", "0.795/0.775 to 0.781/0.776"],
    ["custom-all", "fine-tuning all weights", "0.795/0.775 to 0.795/0.748, “on par”"],
  ] as const).map(([id, name, paper]) =>
    says("table1", `Ours beats ${name} on the trade-off`, "tradeoff", [OURS, id], paper)
  ),
  says(
    "table1",
    "Ours follows prompts better than Textual Inversion",
    "text",
    [OURS, "textual-inversion"],
    "0.795 to 0.670",
  ),
  says(
    "table1",
    "DreamBooth moves the class further from real pictures than ours (KID)",
    "kid",
    ["dreambooth", OURS],
    "32.53 to 20.96",
  ),
  says(
    "table1",
    "Ours brings the class nearer to real pictures than the untouched model (KID)",
    "kid",
    [PRETRAINED, OURS],
    "22.27 to 20.96",
  ),
  says(
    "table3",
    "Without augmentation the concept is learnt less",
    "image",
    [OURS, "no-augmentation"],
    "0.775 to 0.736",
  ),
  says(
    "table3",
    "Without regularization the concept is learnt less, in half the steps",
    "image",
    [OURS, "no-regularization"],
    "0.775 to 0.756",
  ),
  says(
    "table3",
    "Real regularization pictures keep the prior (KID without is higher)",
    "kid",
    ["no-regularization", OURS],
    "32.64 to 20.96",
  ),
  says(
    "table3",
    "Real regularization pictures keep the class (a classifier sees it more often than without)",
    "kept",
    [OURS, "no-regularization"],
    "not measured; Figures 5 and 21 show it",
  ),
  says(
    "table3",
    "Generated regularization pictures keep the prior less than real ones (KID)",
    "kid",
    ["generated", OURS],
    "34.70 to 20.96",
  ),
  says(
    "table4",
    "A V* that is not optimized learns less",
    "image",
    [OURS, "frozen-token"],
    "0.774 to 0.733",
  ),
  says(
    "table4",
    "A V* that starts from noise learns less",
    "image",
    [OURS, "random-token"],
    "0.774 to 0.765",
  ),
  says(
    "table4",
    "A V* that starts from noise follows prompts better",
    "text",
    ["random-token", OURS],
    "0.805 to 0.795",
  ),
  ...(["joint", "merged"] as const).flatMap((ours) =>
    ([
      ["textual-inversion", "Textual Inversion", "0.544/0.630"],
      ["dreambooth", "DreamBooth", "0.783/0.695"],
      ["custom-all", "fine-tuning all weights", "0.787/0.691"],
      ["sequential", "sequential training", "0.797/0.700"],
    ] as const).map(([id, name, paper]) => {
      const [how, own] = ours === "joint"
        ? ["Joint training", "0.801/0.706"]
        : ["Merging (optimization)", "0.800/0.695"];
      const text = `${how} beats ${name} on the trade-off`;
      return says("pairs", text, "tradeoff", [ours, id], `${own} to ${paper}`);
    })
  ),
  says(
    "pairs",
    "Joint training beats merging on the trade-off",
    "tradeoff",
    ["joint", "merged"],
    "0.801/0.706 to 0.800/0.695",
  ),
  says(
    "pairs",
    "Joint training shows the concepts better than merging",
    "image",
    ["joint", "merged"],
    "0.706 to 0.695",
  ),
  says(
    "pairs",
    "Joint training shows both in one picture more often than merging",
    "seen",
    ["joint", "merged"],
    "not measured; Figure 7 shows it",
  ),
  says(
    "pairs",
    "Sequential training forgets the first concept",
    "image",
    ["joint", "sequential"],
    "0.702 to 0.674",
    0,
  ),
  says(
    "figure13",
    "Rank 1 looks less like the concept than the whole delta",
    "image",
    [OURS, "rank-1"],
    "falls with compression (figure)",
  ),
  says(
    "figure13",
    "Rank 1 follows prompts better than the whole delta",
    "text",
    ["rank-1", OURS],
    "rises with compression (figure)",
  ),
];

/** Whether a difference bears a claim out: only when its interval leaves zero on one side. */
export function verdictOf({ value, low, high }: Scored): Verdict {
  if (Number.isNaN(value)) return "not measured";
  if (low > 0) return "as in the paper";
  return high < 0 ? "not as in the paper" : "undecided";
}
