/**
 * Checkpoints as `torch.save` writes them: `.ckpt`, `.bin`, `.pt`, `.pth`. Dictionaries, lists and tensors in a pickle,
 * the tensors' numbers beside it: in a zip archive, or (before PyTorch 1.6) behind it.
 *
 * The pickle is read as data and can run nothing (`pickle.ts`, `torch_globals.ts`). Only the dictionaries are in memory;
 * a tensor is read when it is wanted.
 */
import { SOURCE } from "../given.ts";
import { expectKinds } from "../../tensor/kinds.ts";
import { hexOf } from "../bytes.ts";
import { expectFor } from "../kinds.ts";
import { FileError } from "../errors.ts";
import { PickleObject, type PickleValue } from "./pickle.ts";
import type { TensorSource } from "../safetensors/read.ts";
import { tensorSource } from "../safetensors/read.ts";
import { type ByteSource, sourceOf } from "../source.ts";
import { StridedTensor } from "./globals.ts";
import { type Opened, openLegacy, openZipped } from "./containers.ts";
import { type TorchTensor, viewTensor } from "./tensor.ts";

export type { TorchTensor } from "./tensor.ts";

/** A dictionary; entries whose key is no text or number are left out. */
export type TorchDict = ReadonlyMap<string, TorchValue>;

/** What a checkpoint holds. Objects of which nothing is known are undefined. */
export type TorchValue =
  | TorchTensor
  | TorchDict
  | readonly TorchValue[]
  | string
  | number
  | bigint
  | boolean
  | null
  | undefined;

/** An opened checkpoint. */
export interface TorchFile {
  /** Path or name for messages. */
  readonly name: string;
  /** What was saved. */
  readonly root: TorchValue;
  /** Gives the file handle back; nothing can be read after. */
  close(): void;
}

/** First bytes of a zip archive, and of the number with which older checkpoints begin. */
const ZIP = "504b0304", LEGACY = "80028a0a";

/** Whether a file begins like a checkpoint of PyTorch. No safetensors file does: its header would be too long. */
export async function isTorch(source: ByteSource): Promise<boolean> {
  const start = await firstBytes(source);
  return start === ZIP || start === LEGACY;
}

const firstBytes = async (source: ByteSource): Promise<string> =>
  source.size < 4 ? "" : hexOf(await source.read(0, 4));

/**
 * Opens a checkpoint.
 *
 * @param from a path, or the bytes themselves, or any other {@linkcode ByteSource}
 * @throws FileError naming the file and the fault: it is none, damaged, big-endian, or names a global that no file of
 *   tensors needs; a tensor that lies about its size is refused here, before anything is read of it
 */
export async function openTorch(from: string | Uint8Array | ByteSource): Promise<TorchFile> {
  expectKinds("openTorch", { from: [from, SOURCE] });
  const source = await sourceOf(from);
  try {
    await expectFor("openTorch", source, "checkpoint of PyTorch");
    const start = await firstBytes(source);
    if (start !== ZIP && start !== LEGACY) {
      throw new FileError(
        source.name,
        "is no PyTorch checkpoint: it begins like neither a zip archive nor a pickle of one",
        "It is damaged, cut short, or of another kind",
      );
    }
    const opened = await (start === ZIP ? openZipped(source) : openLegacy(source));
    return {
      name: source.name,
      root: new Converter(source.name, opened).convert(opened.root, "", 0),
      close: () => source.close(),
    };
  } catch (error) {
    source.close();
    throw error;
  }
}

/** Levels of dictionaries in dictionaries. */
const DEEPEST = 64;
/** Values in all; those that occur in several places count in each. */
const MOST = 1_000_000;

/** From what the pickle says to what is given out: a tree, though a pickle can hold circles. */
class Converter {
  #values = 0;

  constructor(readonly file: string, readonly opened: Opened) {}

  convert(value: PickleValue, path: string, depth: number): TorchValue {
    if (depth > DEEPEST || ++this.#values > MOST) {
      throw new FileError(
        this.file,
        depth > DEEPEST
          ? `nests more than ${DEEPEST} levels deep`
          : `holds more than ${MOST} values`,
        "It is damaged, or no checkpoint of a model",
      );
    }
    const inner = (part: PickleValue, name: string) =>
      this.convert(part, path ? `${path}.${name}` : name, depth + 1);
    if (value instanceof StridedTensor) {
      return viewTensor(this.file, path, value, this.opened.run(value.storage));
    }
    if (value instanceof Map) {
      const dict = new Map<string, TorchValue>();
      for (const [key, part] of value) {
        if (typeof key !== "string" && typeof key !== "number") continue;
        dict.set(String(key), inner(part, String(key)));
      }
      return dict;
    }
    if (Array.isArray(value)) return value.map((part, i) => inner(part, String(i)));
    if (value instanceof Uint8Array || value instanceof PickleObject) return undefined;
    return typeof value === "object" && value !== null ? undefined : value;
  }
}

/** Whether something in a checkpoint is a tensor. */
export const isTorchTensor = (value: TorchValue): value is TorchTensor =>
  typeof value === "object" && value !== null && "read" in value;

/**
 * A model's weights in a checkpoint, by name: its dictionary of tensors, or the one under `state_dict`. Of what is no
 * tensor, texts and numbers become its metadata.
 *
 * @throws FileError when there is no such dictionary
 */
export async function openTorchWeights(
  from: string | Uint8Array | ByteSource,
): Promise<TensorSource> {
  const { name, root, close } = await openTorch(from);
  const held = root instanceof Map ? root.get("state_dict") ?? root : undefined;
  const tensors = new Map<string, TorchTensor>();
  const metadata: Record<string, string> = Object.create(null);
  for (const [key, value] of root instanceof Map ? root : []) {
    if (typeof value === "string" || typeof value === "number") metadata[key] = String(value);
  }
  if (held instanceof Map) {
    for (const [key, value] of held) if (isTorchTensor(value)) tensors.set(key, value);
  }
  if (!tensors.size) {
    close();
    throw new FileError(name, "holds no dictionary of tensors", "It is no checkpoint of a model");
  }
  return tensorSource(
    name,
    tensors,
    metadata,
    (tensor: TorchTensor, first, count) => tensor.read(first, count),
    close,
  );
}
