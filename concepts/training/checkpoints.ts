/**
 * Checkpoints: the whole state of a training run (trained values, moments, step) in one file, from which it goes on as
 * if it had never stopped. Everything random is a function of seed and step, so nothing else needs saving.
 */
import { PATH } from "../../files/given.ts";
import { DEVICE } from "../../diffusion/given.ts";
import { expectKinds, having, NUMBER, TEXT } from "../../tensor/kinds.ts";
import { FileError } from "../../files/errors.ts";
import { isObject } from "../../files/json.ts";
import { openSafetensors } from "../../files/safetensors/read.ts";
import { sha256 } from "../../files/sha256.ts";
import { type TensorToWrite, writeSafetensors } from "../../files/safetensors/write.ts";
import { tensor } from "../../ops/leaf.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { AdamState, Named } from "../../autograd/optimizer.ts";
import type { Device } from "../../device/device.ts";

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
  expectKinds("saveCheckpoint", {
    path: [path, PATH],
    device: [device, DEVICE],
    step: [step, NUMBER],
    run: [run, TEXT],
    state: [state, having("a training's state", "params")],
  });
  const tensors = new Map<string, TensorToWrite & { data: Float32Array }>();
  const put = async (name: string, t: Tensor) => {
    tensors.set(name, { shape: t.shape, data: await device.read(t) as Float32Array });
  };
  for (const part of ["params", "m", "v", "average"] as const) {
    for (const [name, t] of Object.entries(state[part] ?? {})) await put(`${part}:${name}`, t);
  }
  for (const i of [0, 1] as const) await put(`correction:${i}`, state.corrections[i]);
  const checksum = await checksumOf(new Map([...tensors].map(([name, t]) => [name, t.data])));
  await writeSafetensors(path, tensors, { format: FORMAT, step: String(step), run, checksum });
}

/** A checkpoint of a run that was started differently. */
export class OtherRunError extends FileError {
  /** Where both runs are JSON objects, the fields that differ. */
  readonly differs: readonly string[];
  /** Puts the message together; where both runs are JSON objects, it names the first difference. */
  constructor(path: string, before: string, now: string) {
    const [was, is] = [before, now].map(fieldsOf);
    const differs = was && is
      ? Object.keys({ ...is, ...was }).filter((key) => was[key] !== is[key])
      : [];
    const [name] = differs;
    const fault = name
      ? `was started with ${name} ${was![name] ?? "none"}, and this run has ${is![name] ?? "none"}`
      : `was started with other settings: ${before}`;
    super(path, fault, "Give the same, or start again without --resume elsewhere");
    this.differs = differs;
  }
}

/** Fields of a JSON object as JSON; undefined for other text. */
function fieldsOf(text: string): Record<string, string> | undefined {
  try {
    const fields: unknown = JSON.parse(text);
    if (!isObject(fields)) return undefined;
    return Object.fromEntries(Object.entries(fields).map(([k, v]) => [k, JSON.stringify(v)]));
  } catch {
    return undefined;
  }
}

/** A hash of tensors by name, whatever their order. */
async function checksumOf(tensors: ReadonlyMap<string, Float32Array>): Promise<string> {
  const lines: string[] = [];
  for (const [name, data] of tensors) lines.push(`${name} ${await sha256(data)}\n`);
  return await sha256(new TextEncoder().encode(lines.sort().join("")));
}

const DAMAGED = "The file is damaged";

/**
 * Reads a checkpoint.
 *
 * @throws OtherRunError when it is of a run that was started differently
 * @throws FileError when it is missing, damaged, or no checkpoint
 */
export async function loadCheckpoint(path: string, run: string): Promise<Checkpoint> {
  expectKinds("loadCheckpoint", { path: [path, PATH], run: [run, TEXT] });
  using source = await openSafetensors(path);
  const { metadata } = source;
  const step = Number(metadata.step);
  if (metadata.format !== FORMAT || !/^\d+$/.test(metadata.step)) {
    throw new FileError(path, "is no training checkpoint", "Start again without --resume");
  }
  if (metadata.run !== run) throw new OtherRunError(path, metadata.run, run);
  const parts = { params: {}, m: {}, v: {}, average: {} } as Record<string, Record<string, Tensor>>;
  const corrections: Tensor[] = [], read = new Map<string, Float32Array>();
  for (const [name, info] of source.tensors) {
    const data = await source.readFloat32(name), value = tensor(data, info.shape);
    read.set(name, data);
    const [part, of] = [name.slice(0, name.indexOf(":")), name.slice(name.indexOf(":") + 1)];
    if (/^correction:[01]$/.test(name)) corrections[Number(of)] = value;
    else if (Object.hasOwn(parts, part)) parts[part][of] = value;
    else throw new FileError(path, `holds "${name}", which no checkpoint has`);
  }
  const [c1, c2] = corrections;
  if (!c1 || !c2) throw new FileError(path, "lacks the optimizer's corrections", DAMAGED);
  const { params, m, v, average } = parts, averaged = Object.keys(average).length > 0;
  for (const [part, of] of Object.entries({ m, v, ...averaged && { average } })) {
    const odd = Object.keys({ ...params, ...of }).find((name) =>
      String(params[name]?.shape) !== String(of[name]?.shape)
    );
    if (odd !== undefined) throw new FileError(path, `has no ${part} that fits "${odd}"`, DAMAGED);
  }
  if (metadata.checksum !== await checksumOf(read)) {
    throw new FileError(path, "its numbers are not those that were written", DAMAGED);
  }
  const state = { params, m, v, corrections: [c1, c2] as const };
  return { step, run, state: averaged ? { ...state, average } : state };
}
