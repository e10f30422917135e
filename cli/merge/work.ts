/** The work of `moongate merge`: several deltas in one, and how well each matrix went. */
import { DELTA_FILE } from "../../concepts/deltas/delta.ts";
import { saveDelta } from "../../concepts/deltas/formats/save.ts";
import type { MergeReport } from "../../concepts/merge/solve.ts";
import { mergeDeltas } from "../../concepts/merge/deltas.ts";
import { FileError } from "../../files/errors.ts";
import { readLines } from "../../files/text.ts";
import { isFile } from "../../files/paths.ts";
import { loadPipeline } from "../../diffusion/pipeline.ts";
import { checkTexts } from "../../models/text_window.ts";
import { figures } from "../../numerics/quantities.ts";
import { phrase } from "../../concepts/data/prompts.ts";
import { openDevice } from "../shared/device.ts";
import { learnWords, openDeltas, tokensOf } from "../shared/deltas.ts";
import { nextAfterDelta } from "../shared/hints.ts";
import { UsageError } from "../../terminal/errors.ts";
import { inspectModel } from "../shared/model.ts";
import { loading, phases } from "../shared/phases.ts";
import type { MergeRequest } from "./request.ts";
import type { Ui } from "../shared/ui.ts";
import { columns } from "../../terminal/table.ts";

export { claimMerge as claim } from "./claim.ts";

/** Captions that a model folder may carry for merging. */
export const CAPTIONS_FILE = "captions.txt";

/** Merges deltas; gives the path of the merged one. */
export async function run(request: MergeRequest, ui: Ui): Promise<string> {
  const facts = await inspectModel(request.model);
  const deltas = await openDeltas(request.deltas, facts);
  learnWords(facts, deltas);
  const all = await readCaptions(request, facts.folder.path);
  const captions = all.slice(0, request.captionCount);
  checkTexts(facts.window, captions, "caption", (line) => ui.progress.note(line));
  using device = await openDevice(request, ui);
  const model = await loadPipeline(device, facts.folder, {
    addTokens: tokensOf(deltas, facts),
    onProgress: loading(ui),
  });
  const { delta, reports } = await mergeDeltas(model, deltas.map((d) => d.delta), {
    regularization: captions,
    ridge: request.ridge ?? facts.defaults.merging.ridge,
    onProgress: phases(ui, (what) => what === "captions" ? "encode captions" : "merge matrices"),
  });
  const path = `${request.out}/${DELTA_FILE}`;
  await saveDelta(path, delta);
  for (const line of reportTable(reports)) ui.say(line);
  const words = delta.tokens.map(phrase);
  ui.progress.note(nextAfterDelta(request.model, request.out, words));
  return path;
}

async function readCaptions({ captions, model }: MergeRequest, folder: string): Promise<string[]> {
  const path = captions ?? `${folder}/${CAPTIONS_FILE}`;
  if (captions === undefined && !await isFile(path)) {
    throw new UsageError(
      `${model} holds no ${CAPTIONS_FILE}: give --captions, a file with a caption a line of ordinary ` +
        "pictures (a few hundred or more), which the merge is to leave as they are",
    );
  }
  const lines = await readLines(path);
  if (lines.length) return lines;
  throw new FileError(path, "holds no captions", "A caption a line is expected");
}

/** The report as aligned columns: a line for each matrix, and every distinct warning below. */
export function reportTable(reports: ReadonlyMap<string, MergeReport>): string[] {
  const digits = (x: number | undefined) => x === undefined ? "" : figures(x);
  const rows = [
    ["matrix", "residual", "weights", "captions"],
    ...[...reports].map(([path, r]) => [
      path.replace(/^unet\./, "").replace(/\.transformer_blocks|\.attentions|\.weight$/g, ""),
      digits(r.constraintResidual),
      digits(r.weightChange),
      digits(r.regularizationChangeRelative),
    ]),
  ];
  const warnings = new Set([...reports.values()].flatMap((r) => r.warnings));
  return [
    ...columns(rows),
    "residual: how far W·C = V is missed; weights, captions: relative change of the matrix, and of",
    "what the regularization captions give",
    ...[...warnings].map((w) => `warning: ${w}`),
  ];
}
