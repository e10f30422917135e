/**
 * Checkpoints: the whole state of a training run (trained values, moments, step) in one file, from which it goes on as
 * if it had never stopped. Everything random is a function of seed and step, so nothing else needs saving.
 */
import { FileError } from "../files/errors.ts";
import { openSafetensors } from "../files/safetensors.ts";
import { type TensorToWrite, writeSafetensors } from "../files/safetensors_write.ts";
import { tensor } from "../ops/leaf.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { AdamState, Named } from "../autograd/optimizer.ts";
import type { Device } from "../device/device.ts";

const FORMAT = "moongate-checkpoint";

/** Name of the file inside an output folder. */
export const CHECKPOINT_FILE = "checkpoint.safetensors";

/** What is saved: the optimizer's state and, where a run keeps them, averaged weights. */
export interface SavedState extends AdamState {
  /** Exponential moving average of the weights. */
  readonly average?: Named;
}

/** A saved state. */
export interface Checkpoint {
  /** Finished steps. */
  readonly step: number;
  /** What the run was started with; a resumed run must be started with the same. */
  readonly run: string;
  /** Trained values and moments. */
  readonly state: SavedState;
}

/** Writes the state of a run, whole or not at all. */
export async function saveCheckpoint(
  path: string,
  device: Device,
  step: number,
  run: string,
  state: SavedState,
): Promise<void> {
  const tensors = new Map<string, TensorToWrite>();
  const put = async (name: string, t: Tensor) => {
    tensors.set(name, { shape: t.shape, data: await device.read(t) as Float32Array });
  };
  for (const part of ["params", "m", "v", "average"] as const) {
    for (const [name, t] of Object.entries(state[part] ?? {})) await put(`${part}:${name}`, t);
  }
  for (const i of [0, 1] as const) await put(`correction:${i}`, state.corrections[i]);
  await writeSafetensors(path, tensors, { format: FORMAT, step: String(step), run });
}

/**
 * Reads a checkpoint.
 *
 * @throws FileError when it is missing, damaged, or of a run that was started differently
 */
export async function loadCheckpoint(path: string, run: string): Promise<Checkpoint> {
  using source = await openSafetensors(path);
  const { metadata } = source;
  const step = Number(metadata.step);
  if (metadata.format !== FORMAT || !Number.isInteger(step)) {
    throw new FileError(path, "is no training checkpoint", "Start again without --resume");
  }
  if (metadata.run !== run) {
    throw new FileError(
      path,
      "belongs to a run with other settings",
      `It was started with ${metadata.run}; give the same, or start again without --resume`,
    );
  }
  const parts = { params: {}, m: {}, v: {}, average: {} } as Record<string, Record<string, Tensor>>;
  const corrections: Tensor[] = [];
  for (const [name, info] of source.tensors) {
    const value = tensor(await source.readFloat32(name), info.shape);
    const [part, path] = [name.slice(0, name.indexOf(":")), name.slice(name.indexOf(":") + 1)];
    if (part === "correction") corrections[Number(path)] = value;
    else if (part in parts) parts[part][path] = value;
    else throw new FileError(path, `holds "${name}", which no checkpoint has`);
  }
  const [c1, c2] = corrections;
  if (!c1 || !c2) {
    throw new FileError(path, "lacks the optimizer's corrections", "The file is damaged");
  }
  const { params, m, v, average } = parts;
  const state = { params, m, v, corrections: [c1, c2] as const };
  return { step, run, state: Object.keys(average).length ? { ...state, average } : state };
}
