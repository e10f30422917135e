/**
 * Checkpoints in the output folder of a training run: a folder each, `checkpoint-50`, with a delta to sample from and
 * the state to go on from. The state is written last: without it, a checkpoint was never finished.
 */
import { CHECKPOINT_FILE } from "../../concepts/training/checkpoints.ts";
import { DELTA_FILE } from "../../concepts/deltas/delta.ts";
import { isFile, isFolder, namesIn } from "../../files/paths.ts";

/** A checkpoint's folder. */
export interface CheckpointFolder {
  /** Finished steps. */
  readonly step: number;
  /** Its path. */
  readonly path: string;
}

const NAME = /^checkpoint-(\d+)$/;

/** Folder of the sample pictures inside an output folder. */
export const SAMPLES_FOLDER = "samples";

/** Name of the sample picture of a step and a prompt, counted from 0. */
export const sampleFile = (step: number, i: number): string => `${step}-${i + 1}.png`;

const SAMPLE = /^\d+-\d+\.png$/;

/** Where the checkpoint of a step lies. */
export const checkpointFolder = (out: string, step: number): string => `${out}/checkpoint-${step}`;

/** All checkpoints of a run, in order; those that a kill cut short, too. */
export async function listCheckpoints(out: string): Promise<CheckpointFolder[]> {
  if (!await isFolder(out)) return [];
  const entries = await Array.fromAsync(Deno.readDir(out));
  return entries.flatMap(({ name }) => {
    const step = NAME.exec(name)?.[1];
    return step === undefined ? [] : [{ step: Number(step), path: `${out}/${name}` }];
  }).sort((a, b) => a.step - b.step);
}

/** Files of the states that a run can go on from, the newest first. */
export async function states(out: string): Promise<string[]> {
  const files = (await listCheckpoints(out)).reverse().map(({ path }) =>
    `${path}/${CHECKPOINT_FILE}`
  );
  const there = await Promise.all(files.map(isFile));
  return files.filter((_, i) => there[i]);
}

/**
 * Removes all checkpoints but the newest `keep` of those up to a step. Later ones are of a run that was gone on with from
 * before them, since they are damaged: they must not count, or a good one would make place for them.
 */
export async function keepNewest(out: string, keep: number, step = Infinity): Promise<void> {
  const all = (await listCheckpoints(out)).filter((one) => one.step <= step);
  for (const { path } of all.slice(0, Math.max(0, all.length - keep))) {
    await removeFiles(path, [CHECKPOINT_FILE, DELTA_FILE]);
  }
}

/** What a finished run needs no more: the states. The deltas stay. */
export async function removeStates(out: string): Promise<void> {
  for (const { path } of await listCheckpoints(out)) await removeFiles(path, [CHECKPOINT_FILE]);
}

/** Removes an earlier run's results, so that a folder holds those of one; generated pictures of classes may serve again. */
export async function removeRun(out: string): Promise<void> {
  await keepNewest(out, 0);
  const samples = `${out}/${SAMPLES_FOLDER}`;
  if (await isFolder(samples)) {
    await removeFiles(samples, (await namesIn(samples)).filter((name) => SAMPLE.test(name)));
  }
  if (await isFile(`${out}/${DELTA_FILE}`)) await Deno.remove(`${out}/${DELTA_FILE}`);
}

/** Removes files of ours from a folder of ours, and the folder unless somebody put something else into it. */
async function removeFiles(folder: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    if (await isFile(`${folder}/${name}`)) await Deno.remove(`${folder}/${name}`);
  }
  if (!(await namesIn(folder)).length) await Deno.remove(folder);
}
