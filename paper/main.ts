/**
 * The paper in miniature: its tables and figures on the model and the concepts that ship, trained, measured and concluded
 * from here (`docs/paper.md`). What is finished stays in the folder: a run that was killed goes on, and a run of
 * more seeds or concepts does only what is new.
 *
 *     deno task paper --quick                        # what two processor cores do in half an hour
 *     deno task paper --only=table1,figure8          # parts
 *     deno task paper --quick --plan                 # says what it would do, and how long, and stops
 *     deno task paper --quick --write-docs           # puts what was measured into docs/paper.md
 */
import { parseArgs } from "node:util";
import { beside } from "../files/beside.ts";
import { report as complain, UsageError } from "../terminal/errors.ts";
import { createProgress } from "../terminal/progress.ts";
import { type Backend, BACKENDS, isThreads, MOST_THREADS } from "../device/environment.ts";
import { writeFileAtomic } from "../files/atomic.ts";
import { claim } from "../files/outputs.ts";
import { ownFiles } from "../files/own_files.ts";
import { conceptNamed } from "../world/mod.ts";
import { EXPERIMENTS } from "./experiments.ts";
import { type LabOptions, openLab, openShelf } from "./lab.ts";
import { writePage } from "./page.ts";
import { planOf } from "./plan.ts";
import { report } from "./report.ts";
import { collect, type Results } from "./results.ts";
import { FULL, QUICK, type Settings } from "./settings.ts";
import { estimate, missingOf, timeSteps, work } from "./work.ts";
import { duration } from "../numerics/quantities.ts";

/** What is run, and where. */
export interface PaperRequest extends LabOptions {
  readonly settings: Settings;
  /** Experiments; all of them by default. */
  readonly only?: readonly string[];
  /** The model's folder. */
  readonly model: string;
  /** Where everything is kept. */
  readonly out: string;
  /** Replaces results that lie there and were not made by an earlier run. */
  readonly overwrite?: boolean;
  /** Says what is to be done, and stops. */
  readonly planOnly?: boolean;
}

/** Files in the folder that are made anew by every run. */
const RESULTS = "paper.json", REPORT = "report.html";

/** Does what is missing and writes `paper.json` and `report.html`; undefined where only the plan was asked for. */
export async function paper(request: PaperRequest): Promise<Results | undefined> {
  const { settings, only = EXPERIMENTS, model, out, progress } = request;
  const own = await ownFiles(out, "paper");
  await using _ = await claim([{ path: out, flag: "--out", holds: [RESULTS, REPORT] }], {
    reads: [model],
    overwrite: request.overwrite,
    mayReplace: own.isOwn,
  });
  const shelf = await openShelf(model, out, settings.training);
  const plan = planOf(settings, shelf.defaults, only);
  const missing = await missingOf(shelf, plan);
  const rows = missing.rows.length + missing.maps.length, runs = missing.trainings.length;
  progress.note(
    `${rows} of ${missing.planned.rows} measurements and ${runs} of ${missing.planned.trainings} training runs ` +
      `are to be done in ${out}`,
  );
  if (rows + runs) {
    progress.note("timing a few steps of each kind");
    const lab = await openLab(shelf, plan.trainings, request);
    try {
      const { lines } = estimate(missing, await timeSteps(lab, missing));
      for (const line of lines) progress.note(line);
      if (request.planOnly) return undefined;
      const began = performance.now();
      await work(lab, missing, plan, settings);
      progress.note(`took ${duration((performance.now() - began) / 1000)}`);
    } finally {
      lab.free();
    }
  }
  if (request.planOnly) return undefined;
  const results = await collect(shelf, plan, settings);
  const page = await report(shelf, plan, results), text = JSON.stringify(results, undefined, 2);
  await own.make(RESULTS, (path) => writeFileAtomic(path, `${text}\n`));
  await own.make(REPORT, (path) => writeFileAtomic(path, page));
  return results;
}

const OPTIONS = {
  quick: { type: "boolean", default: false },
  plan: { type: "boolean", default: false },
  only: { type: "string" },
  concepts: { type: "string" },
  seeds: { type: "string" },
  model: { type: "string", default: beside("../world/miniature", import.meta.url) },
  out: { type: "string", default: "out/paper" },
  overwrite: { type: "boolean", default: false },
  device: { type: "string" },
  threads: { type: "string" },
  "write-docs": { type: "boolean", default: false },
} as const;

function flagsOf(args: string[]) {
  try {
    return parseArgs({ args, options: OPTIONS }).values;
  } catch (error) {
    const known = Object.keys(OPTIONS).map((name) => `--${name}`).join(", ");
    throw new UsageError(`${(error as Error).message}. There are ${known}: see docs/paper.md`);
  }
}

/** The request that flags make. @throws UsageError for what makes none */
export function requestOf(args: string[]): Omit<PaperRequest, "progress"> & { docs: boolean } {
  const flags = flagsOf(args);
  const only = flags.only?.split(",");
  const unknown = only?.find((name) => !EXPERIMENTS.includes(name));
  if (unknown !== undefined) {
    throw new UsageError(`--only ${unknown}: there are ${EXPERIMENTS.join(", ")}`);
  }
  const base = flags.quick ? QUICK : FULL;
  const concepts = flags.concepts?.split(",") ?? base.concepts;
  for (const name of concepts) {
    try {
      conceptNamed(name);
    } catch (error) {
      throw new UsageError(`--concepts: ${(error as Error).message}`);
    }
  }
  const seeds = flags.seeds === undefined ? base.seeds.length : Number(flags.seeds);
  if (!Number.isInteger(seeds) || seeds < 1) {
    throw new UsageError(`--seeds ${flags.seeds}: how many, a whole number from 1`);
  }
  const settings = { ...base, concepts, seeds: Array.from({ length: seeds }, (_, i) => i) };
  const { model, out, overwrite, plan: planOnly } = flags;
  const choose = deviceOf(flags);
  return { settings, only, model, out, overwrite, planOnly, choose, docs: flags["write-docs"] };
}

function deviceOf({ device, threads }: ReturnType<typeof flagsOf>): PaperRequest["choose"] {
  if (device !== undefined && !BACKENDS.includes(device as Backend)) {
    throw new UsageError(`--device ${device}: there are ${BACKENDS.join(" and ")}`);
  }
  if (threads !== undefined && !isThreads(Number(threads))) {
    throw new UsageError(`--threads ${threads}: a whole number from 1 to ${MOST_THREADS}`);
  }
  const count = threads === undefined ? undefined : Number(threads);
  return { backend: device as Backend | undefined, threads: count };
}

if (import.meta.main) {
  try {
    const { docs, ...request } = requestOf(Deno.args);
    const results = await paper({ ...request, progress: createProgress() });
    if (results) {
      console.log(`${request.out}/report.html`);
      if (docs) await writePage(beside("../docs/paper.md", import.meta.url), results);
    }
  } catch (error) {
    if (!(error instanceof UsageError)) Deno.exit(complain(error));
    console.error(error.message);
    Deno.exit(2);
  }
}
