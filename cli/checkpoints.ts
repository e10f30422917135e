/**
 * Checkpoints in the output folder of a training run: a folder each, `checkpoint-50`, with a delta to sample from and
 * the state to go on from. The state is written last: without it, a checkpoint was never finished.
 */
import { CHECKPOINT_FILE } from "../concepts/checkpoints.ts";
import { isFile, isFolder } from "../files/paths.ts";

/** A checkpoint's folder. */
export interface CheckpointFolder {
  /** Finished steps. */
  readonly step: number;
  /** Its path. */
  readonly path: string;
}

const NAME = /^checkpoint-(\d+)$/;

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

/** The file of the newest state that a run can go on from. */
export async function newestState(out: string): Promise<string | undefined> {
  for (const { path } of (await listCheckpoints(out)).reverse()) {
    const file = `${path}/${CHECKPOINT_FILE}`;
    if (await isFile(file)) return file;
  }
}

/** Removes all checkpoints but the newest `keep`. */
export async function keepNewest(out: string, keep: number): Promise<void> {
  const all = await listCheckpoints(out);
  for (const { path } of all.slice(0, Math.max(0, all.length - keep))) {
    await Deno.remove(path, { recursive: true });
  }
}

/** What a finished run needs no more: the states. The deltas stay. */
export async function removeStates(out: string): Promise<void> {
  for (const { path } of await listCheckpoints(out)) {
    const file = `${path}/${CHECKPOINT_FILE}`;
    if (await isFile(file)) await Deno.remove(file);
  }
}
