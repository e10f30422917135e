/** What `moongate train` writes and what it reads, so that all of it is claimed first. */
import { DELTA_FILE } from "../../concepts/deltas/delta.ts";
import { CHECKPOINT_FILE } from "../../concepts/training/checkpoints.ts";
import { FileError } from "../../files/errors.ts";
import { METRICS_FILE } from "../../files/metrics/metrics.ts";
import { claim, type ClaimOptions } from "../../files/outputs.ts";
import { isFile, isFolder, joined } from "../../files/paths.ts";
import { UsageError } from "../../terminal/errors.ts";
import { type Claims, folder } from "../shared/outputs.ts";
import { SAMPLES_FOLDER, states } from "./checkpoints.ts";
import type { TrainRequest } from "./request.ts";

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
