/**
 * What a training run is, so that a checkpoint is gone on with by the same run only; and the checkpoint to go on from.
 */
import {
  type Checkpoint,
  loadCheckpoint,
  OtherRunError,
} from "../../concepts/training/checkpoints.ts";
import { numbersOf } from "../../concepts/deltas/changes.ts";
import type { Delta } from "../../concepts/deltas/delta.ts";
import { endsInTime } from "../../concepts/training/rates.ts";
import type { Precision } from "../../diffusion/memory.ts";
import { FileError } from "../../files/errors.ts";
import { sha256 } from "../../files/sha256.ts";
import { UsageError } from "../../terminal/errors.ts";
import { states } from "./checkpoints.ts";
import type { TrainRequest } from "./request.ts";
import type { Ui } from "../shared/ui.ts";
import type { TrainPlan } from "./plan.ts";

/** What decides a run's result, one line each: a checkpoint can only be resumed by the same. */
export async function describeRun(
  request: TrainRequest,
  { model, concepts, start, settings, classes, addTokens, priorImages }: TrainPlan,
  precision: Precision,
): Promise<string> {
  const { steps, ...numbers } = settings;
  const given = classes.flatMap(({ pictures }) => pictures?.map((p) => p.picture.data) ?? []);
  return JSON.stringify({
    ...numbers,
    // A run may be made longer, unless its rate falls towards the end.
    ...(endsInTime(settings.schedule) && { steps }),
    base: model.base,
    precision,
    ...(request.activations === "f16" && { activations: "f16" }),
    ...(start && { "start's contents": await digest(contentsOf(start.delta)) }),
    // By what is in their pictures, not by where those lie.
    concepts: request.concepts.map(({ words }) => words).join(", "),
    method: request.method,
    initializers: Object.values(addTokens).join(", "),
    regularization: classes.map(({ category, prompt, pictures }) =>
      `${category}, "${prompt}": ${pictures ? `${pictures.length} given` : `${priorImages} made`}`
    ).join(", "),
    "pictures' contents": await digest(
      concepts.flatMap((c) => [END, ...c.pictures.map((p) => p.data)]),
    ),
    "masks' contents": await digest(
      concepts.flatMap((c) => [END, ...c.masks?.map((m) => m?.data ?? END) ?? []]),
    ),
    captions: await digest(concepts.flatMap((c) => [END, ...c.captions?.map(bytesOf) ?? []])),
    "regularization's contents": await digest(given),
    "regularization's captions": await digest(
      classes.flatMap(({ pictures }) => [END, ...pictures?.map((p) => bytesOf(p.caption)) ?? []]),
    ),
  });
}

/** All numbers of a delta. */
const contentsOf = ({ embeddings, embeddings2 = [], weights }: Delta): Float32Array[] => [
  ...embeddings,
  ...embeddings2,
  ...[...weights.values()].flatMap(numbersOf),
];

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Stands between the lists of two concepts, and for a mask that is none. */
const END = new Uint8Array(0);

/** Tells lists of parts apart: the first half of SHA-256 over their lengths and bytes. */
async function digest(parts: readonly ArrayBufferView[]): Promise<string> {
  const lengths = BigUint64Array.from(parts, (part) => BigInt(part.byteLength));
  return (await sha256(await new Blob([lengths, ...parts] as BlobPart[]).arrayBuffer())).slice(
    0,
    32,
  );
}

/**
 * The newest checkpoint that is whole; undefined when the run was killed before its first.
 *
 * @throws OtherRunError when that is of a run that was started differently
 * @throws FileError when there are checkpoints, and none is whole
 */
export async function findCheckpoint(
  out: string,
  run: string,
  steps: number,
  ui: Ui,
): Promise<Checkpoint | undefined> {
  const damaged: FileError[] = [];
  for (const file of await states(out)) {
    try {
      const found = await loadCheckpoint(file, run);
      if (found.step > steps) {
        throw new UsageError(
          `${file} is at step ${found.step} already, and --steps asks for ${steps}`,
        );
      }
      for (const { message } of damaged) ui.warn(message);
      if (damaged.length) ui.warn(`going on from ${file}, at step ${found.step}`);
      return found;
    } catch (error) {
      if (error instanceof OtherRunError && String(error.differs) === "steps") {
        throw new UsageError(
          `${file} is of a run whose rate falls to 0 at its last step, so that it can't be made longer or shorter than ` +
            "it was started: give its own --steps. To teach a finished delta on, name it by --from; a run with " +
            "--schedule constant may be made longer",
          { cause: error },
        );
      }
      if (!(error instanceof FileError) || error instanceof OtherRunError) throw error;
      damaged.push(error);
    }
  }
  if (damaged.length) {
    throw new FileError(
      out,
      `holds no checkpoint that is whole: ${damaged.map((error) => error.message).join("; ")}`,
      "Start again by --overwrite in place of --resume, or in another folder",
    );
  }
  ui.progress.note(`${out} holds no checkpoint: starting at step 0`);
}
