/**
 * Delta files: everything that fine-tuning changed, and nothing else, in one self-describing safetensors file. The key
 * and value matrices lie under their checkpoint names, each new token's embedding under `token.<name>`; the header says
 * which model they belong to, what the tokens stand for and how they were trained.
 */
import { FileError } from "../files/errors.ts";
import { openSafetensors } from "../files/safetensors.ts";
import { writeSafetensors } from "../files/safetensors_write.ts";

/** A new token V* and what it was taught as. */
export interface DeltaToken {
  /** As written in prompts, `<new1>`. */
  readonly token: string;
  /** The class word(s) it specialises, "gate"; empty for a style or a token without class. */
  readonly className: string;
  /** Vocabulary entry whose row it started from. */
  readonly initializer: string;
}

/** Weights in the file's own layout: linear `[out, in]`. */
export interface DeltaWeight {
  /** `[out, in]`. */
  readonly shape: readonly number[];
  /** Row-major. */
  readonly data: Float32Array;
}

/** What fine-tuning changed. */
export interface Delta {
  /** Fingerprint of the base model (`files/folder.ts`). */
  readonly base: string;
  /** The new tokens, in the order of `embeddings`. */
  readonly tokens: readonly DeltaToken[];
  /** Embedding of each token, in the order of `tokens`: `[d]`. */
  readonly embeddings: readonly Float32Array[];
  /** Absolute trained weights by path, `unet.….attn2.to_k.weight`. */
  readonly weights: ReadonlyMap<string, DeltaWeight>;
  /** Hyper-parameters, captions, and how the file came to be (trained, merged): for people and reports. */
  readonly notes: Readonly<Record<string, unknown>>;
}

const FORMAT = "moongate-delta";
const VERSION = 1;

/** Name of the file inside an output folder. */
export const DELTA_FILE = "delta.safetensors";

/** Writes a delta, whole or not at all. */
export async function saveDelta(path: string, delta: Delta): Promise<void> {
  const tensors = new Map<string, DeltaWeight>(delta.weights);
  delta.tokens.forEach(({ token }, i) =>
    tensors.set(`token.${token}`, {
      shape: [delta.embeddings[i].length],
      data: delta.embeddings[i],
    })
  );
  await writeSafetensors(path, tensors, {
    format: FORMAT,
    version: String(VERSION),
    base: delta.base,
    tokens: JSON.stringify(delta.tokens),
    notes: JSON.stringify(delta.notes),
  });
}

/**
 * Reads a delta file, or the one in an output folder.
 *
 * @throws FileError when it is missing, truncated, no delta, of a newer version, or not true to its own header
 */
export async function loadDelta(path: string): Promise<Delta> {
  const file = await resolveDelta(path);
  using source = await openSafetensors(file);
  const { metadata } = source;
  if (metadata.format !== FORMAT) {
    throw new FileError(
      file,
      "is no moongate delta",
      "Give the folder or file that `moongate train` wrote",
    );
  }
  if (Number(metadata.version) !== VERSION) {
    throw new FileError(
      file,
      `is of delta version ${metadata.version}`,
      `This moongate reads version ${VERSION}; update it`,
    );
  }
  const tokens = parse<DeltaToken[]>(file, "tokens", metadata.tokens);
  const embeddings: Float32Array[] = [];
  for (const { token } of tokens) embeddings.push(await source.readFloat32(`token.${token}`));
  const weights = new Map<string, DeltaWeight>();
  for (const [name, info] of source.tensors) {
    if (name.startsWith("token.")) continue;
    const data = await source.readFloat32(name);
    if (!data.every(Number.isFinite)) {
      throw new FileError(file, `tensor "${name}" holds NaN or infinity`);
    }
    weights.set(name, { shape: info.shape, data });
  }
  return {
    base: metadata.base ?? "",
    tokens,
    embeddings,
    weights,
    notes: parse(file, "notes", metadata.notes),
  };
}

/** The delta file that a path means: itself, or `delta.safetensors` in that folder. */
async function resolveDelta(path: string): Promise<string> {
  try {
    return (await Deno.stat(path)).isDirectory ? `${path}/${DELTA_FILE}` : path;
  } catch (error) {
    throw FileError.from(error, path, "opening it");
  }
}

function parse<T>(file: string, field: string, text: string | undefined): T {
  try {
    return JSON.parse(text ?? "");
  } catch {
    throw new FileError(
      file,
      `its header field "${field}" is missing or no JSON`,
      "The file is damaged",
    );
  }
}

/** Refuses a delta that was trained on another model. */
export function checkBase(path: string, delta: Delta, fingerprint: string): void {
  if (delta.base !== fingerprint) {
    throw new FileError(
      path,
      `was trained on another model (${short(delta.base)}, this one is ${short(fingerprint)})`,
      "Use it with the model that its notes name",
    );
  }
}

const short = (hash: string): string => hash.slice(0, 12) || "unknown";
