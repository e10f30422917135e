/** What the demo shows of its work: one contact sheet, and a report that opens from disk. */
import type { Delta } from "../../concepts/deltas/delta.ts";
import type { MergeReport } from "../../concepts/merge/solve.ts";
import type { Picture } from "../../files/pictures/picture.ts";
import { sheet } from "../../files/pictures/sheet.ts";
import type { DemoConcept, DemoPlan } from "./plan.ts";
import { reportPage } from "../shared/report.ts";
import { reportTable } from "../merge/work.ts";
import { duration, figures } from "../../numerics/quantities.ts";

/** A taught concept with what it looked like. */
export interface Taught {
  readonly concept: DemoConcept;
  readonly delta: Delta;
  readonly losses: readonly { readonly step: number; readonly loss: number }[];
  readonly before: readonly Picture[];
  readonly after: readonly Picture[];
  readonly seconds: number;
}

/** The same with what the merged model makes of it. */
export interface Learnt extends Taught {
  readonly merged: readonly Picture[];
  /** Image alignment of each set of pictures, and of drawings of the concept in the places that were asked for. */
  readonly alignment: Readonly<Record<"before" | "after" | "merged" | "ideal", number>>;
}

/** Targets, before, after and merged of each concept, then both in one picture. */
export function contactSheet(
  plan: DemoPlan,
  learnt: readonly Learnt[],
  pair: readonly Picture[],
): Picture {
  const across = plan.pairPrompts.length;
  const rows = [
    ...learnt.flatMap(({ concept, before, after, merged, alignment }) => {
      const scored = (title: string, score: number) =>
        `${title}: image alignment ${figures(score)}`;
      const labels = concept.prompts;
      return [
        {
          title: `what it is taught: ${concept.description}`,
          pictures: concept.pictures.slice(0, across),
          labels: [],
        },
        {
          title: scored(`before, when ${concept.token} is no word yet`, alignment.before),
          pictures: before,
          labels,
        },
        {
          title: scored(`after ${plan.training.steps} steps`, alignment.after),
          pictures: after,
          labels,
        },
        {
          title: scored("from the model with both, merged in closed form", alignment.merged),
          pictures: merged,
          labels,
        },
      ];
    }),
    { title: "both, from the merged model", pictures: pair, labels: plan.pairPrompts },
  ];
  return sheet(rows.map((r) => r.pictures), {
    zoom: 3,
    textScale: 1,
    titles: rows.map((r) => r.title),
    labels: rows.map((r) => r.labels),
  });
}

/** The report. */
export function demoPage(
  plan: DemoPlan,
  learnt: readonly Learnt[],
  pair: readonly Picture[],
  reports: ReadonlyMap<string, MergeReport>,
  adapter: string,
  seconds: number,
): Promise<string> {
  const { steps, rate, schedule = "constant" } = plan.training;
  const numbers =
    `${steps} steps, rate ${rate} (${schedule}), ${plan.sampling.steps} sampling steps, guidance ${plan.sampling.guidance}`;
  return reportPage({
    title: "moongate demo",
    lead: `Two things that the model had never seen, taught on ${adapter} in ${
      duration(seconds)
    } (${numbers}).`,
    sections: [
      {
        title: "How much was learnt",
        text:
          "Image alignment: how much pictures of new scenes look like the ones that the concept was taught from, by the " +
          "cosine of their CLIP features. Fresh drawings of the concept in those scenes are what a model could reach.",
        rows: [],
        table: [
          ["concept", "before", "after", "merged", "fresh drawings"],
          ...learnt.map(({ concept, alignment: { before, after, merged, ideal } }) => [
            `${concept.token} ${concept.className}`,
            ...[before, after, merged, ideal].map((score) => figures(score)),
          ]),
        ],
      },
      ...learnt.map(({ concept, before, after, merged, losses, seconds }) => ({
        title: `${concept.token} ${concept.className}: ${concept.description}`,
        text:
          `Taught from ${concept.pictures.length} pictures and ${concept.regularization.length} of other ${concept.className}s, in ${
            duration(seconds)
          }.`,
        rows: [
          {
            title: "pictures it was taught from",
            pictures: concept.pictures,
            captions: [],
          },
          {
            title: `the untouched model, to which ${concept.token} is no word yet`,
            pictures: before,
            captions: concept.prompts,
          },
          { title: "after", pictures: after, captions: concept.prompts },
          { title: "from the merged model", pictures: merged, captions: concept.prompts },
        ],
        curve: losses,
      })),
      {
        title: "Merged",
        text: "Both sets of key and value matrices in one, in closed form; no training.",
        rows: [{ title: "", pictures: pair, captions: plan.pairPrompts }],
        pre: reportTable(reports).join("\n"),
      },
    ],
  });
}
