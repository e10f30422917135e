/**
 * From a checkpoint's tensors to parameters on a device and back. A checkpoint is compared with its config before
 * anything is uploaded, and every difference is listed at once.
 */
import type { Device } from "../device/device.ts";
import { FileError } from "../files/errors.ts";
import { isReal } from "../files/dtypes.ts";
import type { TensorSource } from "../files/safetensors/read.ts";
import type { TensorToWrite } from "../files/safetensors/write.ts";
import { sameShape, type Shape, sizeOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatten, unflatten } from "../tensor/tree.ts";
import { engineRows, type Floats, toFile, toFloats } from "./layout.ts";
import {
  engineShape,
  heldAs,
  ParameterError,
  type ParameterSpec,
  type ParameterSpecs,
  type ParameterTree,
} from "./params.ts";
import { type ModelConfig, parameterSpecs } from "./specs.ts";

/** Options of {@linkcode loadComponent}. */
export interface LoadOptions {
  /** Element type of weights on the device; vectors (biases, norms) are f32 always. Default f32. */
  readonly dtype?: "f32" | "f16";
  /** Called after each tensor with the number loaded and the number there are. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** Names under which files hold a parameter besides its own. */
function otherNames(name: string): string[] {
  const names: string[] = [];
  // Autoencoders saved before diffusers 0.12.
  const old = { to_q: "query", to_k: "key", to_v: "value", "to_out.0": "proj_attn" };
  for (const [now, before] of Object.entries(old)) {
    const part = `mid_block.attentions.0.${now}.`;
    if (name.includes(part)) names.push(name.replace(`.${now}.`, `.${before}.`));
  }
  // Single encoders as transformers 5 holds them in memory.
  for (const prefix of ["text_model.", "vision_model."]) {
    if (name.startsWith(prefix)) names.push(name.slice(prefix.length));
  }
  return names;
}

/** Tensors that files hold and no computation here reads: buffers, the other half of a CLIP, what follows a ViT. */
function isIdle(name: string, config: ModelConfig): boolean {
  if (/(^|\.)position_ids$/.test(name) || name === "logit_scale") return true;
  if (config.kind === "vit") return /^(pooler\.dense|classifier)\./.test(name);
  const half = config.kind === "clip_text"
    ? "vision_model."
    : config.kind === "clip_vision"
    ? "text_model."
    : undefined;
  return half !== undefined && (name.startsWith(half) || /^(text|visual)_projection\./.test(name));
}

/** A linear layer may be stored as a 1×1 convolution and the other way round. */
const fits = (stored: Shape, wanted: Shape): boolean => {
  const bare = (s: Shape) => s.length === 4 && s[2] === 1 && s[3] === 1 ? s.slice(0, 2) : s;
  return sameShape(bare(stored), bare(wanted));
};

/** Finds every parameter in a file. Throws {@linkcode FileError} listing what is missing, misshapen or unknown. */
function locate(source: TensorSource, specs: ParameterSpecs, config: ModelConfig) {
  const found = new Map<string, string>();
  const missing: string[] = [];
  const wrong: string[] = [];
  const whole: string[] = [];
  for (const [name, spec] of specs) {
    const stored = [name, ...otherNames(name)].find((n) => source.tensors.has(n));
    if (stored === undefined) {
      missing.push(name);
      continue;
    }
    found.set(name, stored);
    const { shape, dtype } = source.tensors.get(stored)!;
    if (!fits(shape, spec.shape)) wrong.push(`${stored} is [${shape}], not [${spec.shape}]`);
    if (!isReal(dtype)) whole.push(`${stored} (${dtype})`);
  }
  const used = new Set(found.values());
  const unknown = [...source.tensors.keys()].filter((n) => !used.has(n) && !isIdle(n, config));
  const faults = [
    listing("lacks", missing),
    listing("has the wrong shape in", wrong),
    listing("holds no real numbers in", whole),
    listing("holds what its config does not speak of:", unknown),
  ].filter((f) => f);
  if (faults.length) {
    throw new FileError(
      source.name,
      faults.join("; "),
      "Weights and config.json are of different models, or the config asks for what is not supported",
    );
  }
  return found;
}

/**
 * Compares a checkpoint with its config, by names and shapes alone.
 *
 * @throws FileError listing parameters that are missing, of another shape, or unknown
 */
export function compareComponent(source: TensorSource, config: ModelConfig): void {
  locate(source, parameterSpecs(config), config);
}

function listing(what: string, names: readonly string[]): string {
  if (!names.length) return "";
  const shown = names.slice(0, 5).join(", ");
  return `${what} ${shown}${names.length > 5 ? ` and ${names.length - 5} more` : ""}`;
}

/**
 * Uploads a model's parameters. The caller owns the tensors: see {@linkcode Device.free}.
 *
 * @param source the checkpoint
 * @returns a tree whose paths are the checkpoint's names, convolutions in HWIO
 * @throws FileError listing parameters that are missing, of another shape, or unknown
 */
export async function loadComponent(
  device: Device,
  source: TensorSource,
  config: ModelConfig,
  options: LoadOptions = {},
): Promise<ParameterTree> {
  const { dtype = "f32", onProgress } = options;
  const specs = parameterSpecs(config);
  const leaves: [string, Tensor][] = [];
  const place = turningPlace(specs, dtype);
  try {
    for (const [name, stored] of locate(source, specs, config)) {
      const spec = specs.get(name)!;
      const type = heldAs(spec, dtype);
      const parts = partsOf(source, stored, spec, type, place);
      leaves.push([name, await device.uploadParts(parts, engineShape(spec), type)]);
      onProgress?.(leaves.length, specs.size);
    }
  } catch (error) {
    device.free(...leaves.map(([, tensor]) => tensor));
    throw error;
  }
  return unflatten(leaves);
}

/** Elements that are read at a time. */
const PART = 2 ** 22;

/** Memory in which convolutions are turned one after another: new memory for each would lie about until it is collected. */
function turningPlace(specs: ParameterSpecs, dtype: "f32" | "f16"): Floats {
  const convolutions = [...specs.values()].filter((spec) => spec.layout === "conv");
  const most = convolutions.reduce((size, spec) => Math.max(size, sizeOf(spec.shape)), 0);
  return dtype === "f16" ? new Float16Array(most) : new Float32Array(most);
}

/** A parameter in the engine's layout, part by part; each is to be used before the next is asked for. */
async function* partsOf(
  source: TensorSource,
  stored: string,
  { shape, layout }: ParameterSpec,
  dtype: "f32" | "f16",
  place: Floats,
): AsyncGenerator<Floats> {
  const size = sizeOf(shape);
  const row = layout === "conv" ? size / shape[0] : 1;
  const step = Math.max(1, Math.floor(PART / row)) * row;
  for (let first = 0; first < size; first += step) {
    const data = await source.readPart(stored, first, Math.min(step, size - first));
    if (layout === "conv") engineRows(data, shape, first / row, place);
    else yield toFloats(data, dtype);
  }
  if (layout === "conv") yield place.subarray(0, size) as Floats;
}

/**
 * Parameters as a file holds them, for `writeSafetensors`; each is read back from the device when its turn comes.
 *
 * @param names those to write; all by default
 * @throws ParameterError when the tree lacks one of them
 */
export function storeComponent(
  device: Device,
  params: ParameterTree,
  config: ModelConfig,
  names?: Iterable<string>,
): Map<string, TensorToWrite> {
  const specs = parameterSpecs(config);
  const leaves = new Map(flatten<Tensor>(params));
  return new Map([...names ?? specs.keys()].map((name) => {
    const spec = specs.get(name);
    const leaf = leaves.get(name);
    if (!spec || !leaf) throw new ParameterError(config.kind, name, "is missing");
    const shape = extended(spec, leaf);
    const data = async () => {
      const floats = await device.read(leaf) as Float32Array | Float16Array;
      return spec.layout === "conv" ? toFile(floats, shape) : floats;
    };
    return [name, { shape, data, dtype: leaf.dtype === "f16" ? "F16" : "F32" } as const];
  }));
}

/** A table with rows added since its config was read keeps them. */
const extended = (spec: ParameterSpec, leaf: Tensor): Shape =>
  spec.layout === "plain" ? leaf.shape : spec.shape;
