/** The report: one HTML page with the conclusions first, then every table and figure with its pictures. */
import { alignmentPlot, changesPlot, spectrumPlot } from "../cli/shared/plot.ts";
import { reportPage, type ReportRow, type ReportSection } from "../cli/shared/report.ts";
import { readPicture } from "../files/pictures/image.ts";
import { TABLES } from "./experiments.ts";
import type { Shelf } from "./lab.ts";
import { readMaps } from "./maps.ts";
import { readRow } from "./measuring.ts";
import type { Plan, Wanted } from "./plan.ts";
import { type Point, type Results, shownIn } from "./results.ts";
import { subjectOf } from "./subjects.ts";
import { conclusionCells, partsOf } from "./tables.ts";

/** The page. */
export async function report(shelf: Shelf, plan: Plan, results: Results): Promise<string> {
  const sections: ReportSection[] = [conclusions(results)];
  for (const { id, title, text, cells } of partsOf(results)) {
    sections.push({
      ...{ title, text, table: cells },
      plots: await plotsOf(id, results),
      rows: await rowsOf(shelf, plan, id),
    });
  }
  return await reportPage({
    title: "The paper in miniature",
    lead: leadOf(results),
    sections,
  });
}

/** What was run, in a sentence or two. */
export function leadOf({ settings, devices, missing }: Results): string {
  const { name, concepts, pairs, seeds, batch, prompts, samples, pairPrompts, pairSamples } =
    settings;
  const counts = [
    `${concepts.length} concepts`,
    `${pairs.length} ${pairs.length === 1 ? "pair" : "pairs"}`,
    `${seeds.length} ${seeds.length === 1 ? "seed" : "seeds"}`,
    `batches of ${batch}`,
    `${prompts} × ${samples} pictures a concept and model`,
    `${pairPrompts} × ${pairSamples} a pair`,
  ];
  return `The ${name} run: ${counts.join(", ")}; on ${devices.join(" and ") || "nothing yet"}. ` +
    "Intervals are of 95 %: over runs (a concept and a seed each) by Student's t where there are " +
    "several, and else over the pictures of the one run, by the bootstrap; those hold what sampling " +
    "varies by, and not what training does." +
    (missing ? ` ${missing} planned rows are not measured yet.` : "");
}

function conclusions({ conclusions }: Results): ReportSection {
  const count = (verdict: string) => conclusions.filter((c) => c.verdict === verdict).length;
  const [same, other, open] = ["as in the paper", "not as in the paper", "undecided"].map(count);
  return {
    title: "Conclusions",
    text:
      `Of ${conclusions.length} claims ${same} came out as in the paper, ${other} did not, and ` +
      `${open} are undecided: their interval holds zero. Differences are of the first named minus ` +
      "the other. The trade-off is √(learnt · said): image alignment from 0, as the untouched " +
      "model's, to 1, as that of what the prompts ask for, drawn; and text alignment from 0, as that " +
      "of the training pictures, to 1, as that of the same drawings. Both are cut there.",
    rows: [],
    table: conclusionCells(conclusions),
  };
}

const percent = (share: number): string => `${Math.round(100 * share)} %`;

/** How points of a figure are drawn: what stands beside each, and which are joined, in which order. */
const DRAWN: Readonly<
  Record<string, {
    label(p: Point): string;
    series(p: Point): string;
    order(p: Point): number;
  }>
> = {
  figure8: { label: (p) => String(p.guidance), series: (p) => p.title, order: (p) => p.guidance },
  figure13: { label: (p) => p.title, series: () => "ours", order: () => 0 },
  figure17: { label: (p) => percent(p.share), series: (p) => p.title, order: (p) => p.share },
};

async function plotsOf(id: string, results: Results): Promise<string[]> {
  const { changes, spectra, points, tables } = results;
  if (id === "figure3" && changes) return [await changesPlot(changes.layers)];
  if (id === "figure12" && spectra) {
    const values = Object.entries(spectra.spectra).map(([path, s]) =>
      [path, Float64Array.from(s)] as const
    );
    return [await spectrumPlot(new Map(values), new Map(Object.entries(spectra.cuts)))];
  }
  if (points[id]) {
    const { label, series, order } = DRAWN[id];
    const shown = shownIn(points[id]).flatMap((v) => points[id].filter((p) => p.variant === v));
    const ordered = shown.toSorted((a, b) => order(a) - order(b));
    return [await alignmentPlot(ordered.map((p) => pointOf(series(p), label(p), p)))];
  }
  if (!tables[id]) return [];
  return [
    await alignmentPlot(
      tables[id].flatMap(({ title, scores: { text, image } }) =>
        text && image ? [pointOf(title, title, { text, image })] : []
      ),
    ),
  ];
}

const pointOf = (
  series: string,
  label: string,
  { text, image }: Pick<Point, "text" | "image">,
) => ({
  ...{ series, label, text: text.value, image: image.value },
  textInterval: [text.low, text.high] as const,
  imageInterval: [image.low, image.high] as const,
});

/** Pictures of a part: those of the first subject and seed. */
async function rowsOf(shelf: Shelf, plan: Plan, id: string): Promise<ReportRow[]> {
  if (id === "figure16") {
    const rows: ReportRow[] = [];
    for (const wanted of plan.maps) {
      const maps = await readMaps(shelf, wanted);
      if (!maps) continue;
      const pictures = [await readPicture(`${shelf.out}/${maps.sheet}`)];
      rows.push({ title: wanted.title, pictures, captions: [], whole: true });
    }
    return rows;
  }
  const mine = plan.rows.filter((row) => row.experiment === id);
  const [first] = mine;
  if (!first) return [];
  const shown = mine.filter((row) =>
    row.seed === first.seed && row.subject.join() === first.subject.join()
  );
  const { targets } = await subjectOf(first.subject, 0);
  const taught = { title: "what it is taught", pictures: targets.flat(), captions: [] };
  const [prompted, ofClass]: ReportRow[][] = [[taught], []];
  for (const wanted of shown) {
    const row = await readRow(shelf, wanted);
    if (!row) continue;
    const read = (names: readonly string[]) =>
      Promise.all(names.map((name) => readPicture(`${shelf.out}/${name}`)));
    const title = titleOf(id, wanted);
    prompted.push({ title, pictures: await read(row.pictures), captions: row.prompts });
    if (!row.classPictures.length) continue;
    const pictures = await read(row.classPictures);
    ofClass.push({ title: `${title}: the class alone`, pictures, captions: [] });
  }
  return [...prompted, ...TABLES.some((t) => t.id === id) ? ofClass : []];
}

const titleOf = (id: string, { title, guidance, share }: Wanted): string =>
  id === "figure8"
    ? `${title}, guidance ${guidance}`
    : id === "figure17"
    ? `${title}, after ${percent(share)} of the steps`
    : title;
