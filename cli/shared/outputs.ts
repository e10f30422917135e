/**
 * What each verb writes and what it reads, told by its request alone, so that all of it is claimed before a model is
 * looked at. A verb that writes and is not here does not get into `work.ts`.
 */
import { CHECKPOINT_FILE } from "../../concepts/training/checkpoints.ts";
import { DELTA_FILE } from "../../concepts/deltas/delta.ts";
import { FileError } from "../../files/errors.ts";
import { fileNames } from "../../files/file_names.ts";
import { METRICS_FILE } from "../../files/metrics/metrics.ts";
import { ownFiles } from "../../files/own_files.ts";
import { claim, type ClaimOptions, type Output, refuseInputs } from "../../files/outputs.ts";
import { isFile, isFolder, joined } from "../../files/paths.ts";
import { UsageError } from "../../terminal/errors.ts";
import { SAMPLES_FOLDER, states } from "../train/checkpoints.ts";
import type {
  AnalyseRequest,
  AttentionRequest,
  CompressRequest,
  ConvertRequest,
  DemoRequest,
  EditRequest,
  EvaluateRequest,
  GenerateRequest,
  MergeRequest,
  TrainRequest,
} from "../requests.ts";

/** Claims what a verb writes. */
export type Claims<R> = (request: R) => Promise<AsyncDisposable>;

/** Name of the sheet beside pictures. */
export const SHEET_FILE = "sheet.png";

/** Name of the report of `evaluate`. */
export const REPORT_FILE = "report.html";

/** Folder of the pictures that `evaluate` generates. */
export const PICTURES_FOLDER = "pictures";

/** Files of weights: a folder with two deltas in other formats is none any more, and one's words would be the other's. */
const WEIGHTS = /\.(safetensors|bin|ckpt|pt|pth)$/i;

const folder = (path: string, ...holds: (string | RegExp)[]): Output => (
  { path, flag: "--out", holds }
);
const file = (path: string, flag = "--out"): Output => ({ path, flag });

/** A plot, where one was asked for. */
const plotOf = ({ plot }: { plot?: string }): Output[] =>
  plot === undefined ? [] : [file(plot, "--plot")];

/** A delta: a file, or a folder for it, which may have to be without `more`. */
const deltaAt = (out: string, ...more: RegExp[]): Output =>
  WEIGHTS.test(out) ? file(out) : folder(out, DELTA_FILE, ...more);

/** Names of the pictures of a request, without their folder, in the order of prompts and seeds. */
export function pictureNames(
  { prompts, count, seed }: Pick<GenerateRequest, "prompts" | "count" | "seed">,
): string[] {
  return fileNames(prompts, "picture").flatMap((name) =>
    Array.from({ length: count }, (_, i) => `${name}-${seed + i}.png`)
  );
}

/** `moongate generate` */
export const claimGenerate: Claims<GenerateRequest> = (request) =>
  claim([folder(request.out, ...pictureNames(request), SHEET_FILE)], {
    ...sampledReads(request),
    overwrite: request.overwrite,
  });

/** `moongate edit` */
export const claimEdit: Claims<EditRequest> = (request) => {
  const { out, seed, count, overwrite } = request;
  const seeds = Array.from({ length: count }, (_, i) => seed + i);
  const names = seeds.flatMap((n) => [`source-${n}.png`, `edited-${n}.png`]);
  return claim([folder(out, ...names, SHEET_FILE)], { ...sampledReads(request), overwrite });
};

/** `moongate attention` */
export const claimAttention: Claims<AttentionRequest> = (request) =>
  claim([file(request.out)], { ...sampledReads(request), overwrite: request.overwrite });

/** `moongate merge` */
export const claimMerge: Claims<MergeRequest> = ({ out, deltas, model, captions, overwrite }) =>
  claim([folder(out, DELTA_FILE)], { reads: [...deltas, model, captions], overwrite });

/** `moongate convert`; files that a format keeps beside are claimed by {@linkcode claimBeside}. */
export const claimConvert: Claims<ConvertRequest> = ({ out, to, from, model, overwrite }) =>
  claim([deltaAt(out, ...to === "moongate" ? [] : [WEIGHTS])], { reads: [from, model], overwrite });

/**
 * Files with words beside the converted delta, whose names are known once it is read.
 *
 * @param paths all that is written
 * @param reads what is read beside what the request names
 */
export async function claimBeside(
  { out, from, model, overwrite }: ConvertRequest,
  paths: readonly string[],
  reads: readonly string[],
): Promise<AsyncDisposable> {
  const options = { reads: [from, model, ...reads], overwrite };
  await refuseInputs(paths.map((path) => file(path)), options);
  const beside = WEIGHTS.test(out) ? paths.filter((path) => path !== out) : [];
  return await claim(beside.map((path) => file(path)), options);
}

/** `moongate analyse` */
export const claimAnalyse: Claims<AnalyseRequest> = (request) =>
  claim(plotOf(request), {
    reads: [request.before, request.after],
    overwrite: request.overwrite,
  });

/** `moongate compress` */
export const claimCompress: Claims<CompressRequest> = (request) =>
  claim([deltaAt(request.out), ...plotOf(request)], {
    reads: [request.from, request.model],
    overwrite: request.overwrite,
  });

/** `moongate evaluate` */
export const claimEvaluate: Claims<EvaluateRequest> = (request) => {
  const { out, json, generate, generated, targets, real, model, scorer, dino } = request;
  const pictures = generate ? [...pictureNames(generate), SHEET_FILE] : [];
  const outputs = [
    folder(out, REPORT_FILE, ...pictures.map((name) => `${PICTURES_FOLDER}/${name}`)),
    ...json === undefined ? [] : [file(json, "--json")],
  ];
  return claim(outputs, {
    reads: [model, scorer, dino, ...generate ? sampledReads(generate).reads : []],
    pictures: [generated, ...targets, real],
    overwrite: request.overwrite,
  });
};

/** Files of the demo in its folder; beside them a folder with a delta for each concept. */
export const DEMO = {
  sheet: "demo.png",
  report: REPORT_FILE,
  merged: "merged.safetensors",
  delta: (concept: string) => `${concept}/${DELTA_FILE}`,
} as const;

/** `moongate demo`: makes again what it made before, and nothing else. */
export const claimDemo: Claims<DemoRequest> = async (request) => {
  const { demoConcepts } = await import("../demo/plan.ts");
  const { isOwn: mayReplace } = await ownFiles(request.out, "demo");
  const { sheet, report, merged, delta } = DEMO;
  const deltas = demoConcepts(request).map(delta);
  return await claim([folder(request.out, sheet, report, merged, ...deltas)], {
    overwrite: request.overwrite,
    mayReplace,
  });
};

/** What verbs that sample read. */
function sampledReads(
  { model, deltas, image, promptsFrom }: Pick<GenerateRequest, "model" | "deltas"> & {
    image?: string;
    promptsFrom?: string;
  },
): { reads: (string | undefined)[] } {
  return { reads: [model, ...deltas.map(({ path }) => path), image, promptsFrom] };
}

/** Folder of the pictures of classes that a training run generates. */
export const REGULARIZATION_FOLDER = "regularization";

/** All that a training run leaves in its folder. */
const RUN: readonly (string | RegExp)[] = [
  ...[DELTA_FILE, CHECKPOINT_FILE, METRICS_FILE, `${SAMPLES_FOLDER}/`, `${REGULARIZATION_FOLDER}/`],
  ...[/^checkpoint-\d+\/$/, /^events\.out\.tfevents\..*\.moongate$/],
];

/** `moongate train`: a folder of its own, in which only `--resume` goes on. */
export const claimTrain: Claims<TrainRequest> = async (request) => {
  const { out, resume, overwrite } = request;
  if (resume && overwrite) {
    throw new UsageError("--resume goes on with a run, --overwrite starts it again: give one");
  }
  const [state] = await states(out);
  if (resume) await mustBeOpen(out, state);
  const options: ClaimOptions = {
    reads: [
      ...[request.model, request.from, request.prior?.scorer, request.conceptsList],
      ...request.concepts.map((c) => c.captions),
    ],
    pictures: [
      ...[...request.concepts.map((c) => c.photos), request.prior?.from],
      ...request.regularization.map(({ path }) => path),
    ],
    overwrite: resume || overwrite,
    existing: await runIn(out, state),
  };
  return await claim([folder(out, ...RUN)], options);
};

/** Which run a folder holds, by its newest state and its files. */
async function runIn(out: string, state?: string): Promise<ClaimOptions["existing"]> {
  if (await isFile(joined(out, DELTA_FILE)) && !state) {
    return { what: "a finished run", advice: "Train on top of it by --from. " };
  }
  if (!state && !await isFile(joined(out, METRICS_FILE))) return undefined;
  return { what: "an unfinished run", advice: "Go on with it by --resume. " };
}

/** Refuses to go on where there is nothing to go on with, or a result that going on would replace. */
async function mustBeOpen(out: string, state: string | undefined): Promise<void> {
  if (await isFile(out)) return; // It is said of all outputs.
  if (!await isFolder(out)) {
    throw new FileError(out, "does not exist, so there is nothing to resume", "Check --out");
  }
  if (state || !await isFile(joined(out, DELTA_FILE))) return;
  throw new FileError(
    out,
    `holds a finished run (${DELTA_FILE}), so there is nothing to resume`,
    "Name another folder by --out, train on top of it by --from, or start again by --overwrite in place of --resume",
  );
}
