/** Doing what is planned and not done yet; and before that, how long it will take, by steps that are timed here. */
import { columns } from "../terminal/table.ts";
import { trainConcepts } from "../concepts/training/train.ts";
import type { Trains } from "../concepts/training/methods.ts";
import { isFile } from "../files/paths.ts";
import { type Lab, type Shelf, TOGETHER } from "./lab.ts";
import { makeMaps, readMaps } from "./maps.ts";
import { anchorsOf, measure, readRow, rowPath } from "./measuring.ts";
import { passedBy, type Plan, type Wanted, type WantedMaps } from "./plan.ts";
import { endOf, type Training } from "./recipes.ts";
import type { Settings } from "./settings.ts";
import { conceptsOf, deltaPath, obtain, regularizationOf } from "./teach.ts";
import { duration } from "../numerics/quantities.ts";

/** What is not there yet. */
export interface Missing {
  readonly trainings: readonly Training[];
  readonly rows: readonly Wanted[];
  readonly maps: readonly WantedMaps[];
  /** All that the plan has: rows that several tables show count once. */
  readonly planned: { readonly rows: number; readonly trainings: number };
}

/** Compares a plan with what lies in the folder. */
export async function missingOf(shelf: Shelf, plan: Plan): Promise<Missing> {
  const trainings: Training[] = [], rows = new Map<string, Wanted>(), maps: WantedMaps[] = [];
  const paths = new Set<string>();
  for (const t of plan.trainings) {
    if (!await isFile(await deltaPath(shelf, t))) trainings.push(t);
  }
  for (const row of plan.rows) {
    const path = await rowPath(shelf, row);
    paths.add(path);
    if (!rows.has(path) && !await readRow(shelf, row)) rows.set(path, row);
  }
  for (const wanted of plan.maps) {
    if (!await readMaps(shelf, wanted)) maps.push(wanted);
  }
  const planned = { rows: paths.size + plan.maps.length, trainings: plan.trainings.length };
  return { trainings, rows: [...rows.values()], maps, planned };
}

/** Seconds that things take. */
export interface Speeds {
  /** A training step, by what trains. */
  readonly step: ReadonlyMap<Trains, number>;
  /** A sampled picture. */
  readonly picture: number;
}

/** Steps of a timed run; the first ones compile. */
const TIMED = 6, COMPILING = 2;

/** Times a few steps of everything that trains, and a batch of pictures. */
export async function timeSteps(lab: Lab, { trainings }: Missing): Promise<Speeds> {
  const step = new Map<Trains, number>();
  for (const run of trainings) {
    const { trains, batch, rate, regularization } = run;
    if (step.has(trains)) continue;
    let began = 0, ended = 0;
    await trainConcepts(lab.model, {
      ...{
        concepts: await conceptsOf({ ...run, tokens: ["<new1>", "<new2>"] }),
        trains,
        batch,
        rate,
      },
      regularization: regularization === "none"
        ? []
        : await regularizationOf(lab, { ...run, regularization: "real", count: 4 }),
      ...{ steps: TIMED, reportEvery: 1 },
      onReport: ({ step }) => {
        if (step === COMPILING) began = performance.now();
        ended = performance.now();
      },
    });
    step.set(trains, (ended - began) / 1000 / (TIMED - COMPILING));
  }
  const seconds: number[] = [];
  for (const seed of [0, 1]) {
    const began = performance.now();
    await lab.sample(Array(TOGETHER).fill("photo"), { seed }, lab.model);
    seconds.push((performance.now() - began) / 1000);
  }
  return { step, picture: seconds[1] / TOGETHER };
}

/** What is to be done in lines for people, and the seconds that it should take. */
export function estimate(
  { trainings, rows, maps }: Missing,
  { step, picture }: Speeds,
): { lines: string[]; seconds: number } {
  const table: (readonly [string, number, string, number])[] = [];
  for (const [trains, each] of step) {
    // A run that a longer one passes costs nothing.
    const runs = trainings.filter((t) =>
      t.trains === trains && !trainings.some((other) => passedBy(other, trainings).includes(t))
    );
    const steps = runs.reduce((sum, t) => sum + endOf(t), 0);
    table.push([`training steps of ${trains}, ${runs.length} runs`, steps, "step", each]);
  }
  const made = rows.reduce((sum, r) => sum + r.prompts * r.samples + 2 * r.ofClass, 0) +
    maps.reduce((sum, m) => sum + m.count, 0);
  table.push([`pictures of ${rows.length + maps.length} rows`, made, "picture", picture]);
  const generated = new Map(
    trainings.filter((t) => t.regularization === "generated")
      .flatMap((t) => t.concepts.map((name) => [name, t.count])),
  );
  const prior = [...generated.values()].reduce((sum, n) => sum + n, 0);
  if (prior) table.push(["generated regularization pictures", prior, "picture", picture]);
  const seconds = table.reduce((sum, [, n, , each]) => sum + n * each, 0);
  return {
    lines: [
      ...columns(table.map(([what, n, unit, each]) => [
        ...[what, String(n), `${duration(each)} a ${unit}`, duration(n * each)],
      ])),
      `about ${duration(seconds)} in all, at these speeds`,
    ],
    seconds,
  };
}

/** Does all of it; whatever is finished stays. */
export async function work(
  lab: Lab,
  { rows, maps, trainings }: Missing,
  plan: Plan,
  settings: Settings,
): Promise<void> {
  for (const { subject, prompts } of plan.rows) await anchorsOf(lab, subject, prompts, lab);
  const began = performance.now();
  for (const [i, row] of rows.entries()) {
    const passed = duration((performance.now() - began) / 1000);
    lab.progress.note(
      `${i + 1}/${rows.length}, after ${passed}: ${row.experiment}, ${nameOf(row)}`,
    );
    await measure(lab, row, settings.real);
  }
  for (const wanted of maps) await makeMaps(lab, wanted);
  // What no row samples from: Figures 3 and 12 look at weights.
  for (const run of trainings) await obtain(lab, run);
}

const nameOf = ({ subject, title, seed, guidance, share }: Wanted): string =>
  `${title} of ${subject.join(" + ")}, seed ${seed}, guidance ${guidance}` +
  (share < 1 ? `, after ${Math.round(100 * share)} % of the steps` : "");
