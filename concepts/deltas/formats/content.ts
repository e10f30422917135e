/**
 * A file as a tree of tensors, whatever its container: nested dictionaries of a PyTorch pickle, or the flat list of a
 * safetensors file. Formats look at this, and never at a file's name.
 */
import { FileError } from "../../../files/errors.ts";
import { openSafetensors, realNumbers } from "../../../files/safetensors/read.ts";
import { type ByteSource, fileSource } from "../../../files/source.ts";
import { containerOf } from "../../../files/models/weights.ts";
import { isTorchTensor, openTorch, type TorchValue } from "../../../files/torch/checkpoint.ts";

/** A stored tensor, read when it is wanted. */
export interface Leaf {
  /** Element type as the file names it. */
  readonly dtype: string;
  /** Extents, outermost first. */
  readonly shape: readonly number[];
  /** The elements as f32. Rejects with `FileError` where they are whole numbers, which no weights are. */
  read(): Promise<Float32Array>;
  /** The elements, of whatever type: settings are whole numbers as well. */
  readAny(): Promise<number[]>;
}

/** A dictionary. */
export type Dict = ReadonlyMap<string, Content>;

/** A tensor, a dictionary, a list, or something else that no format here wants (a number, a string, nothing). */
export type Content = Leaf | Dict | readonly Content[] | undefined;

/** An opened file. */
export interface DeltaFile {
  /** Its path, for messages. */
  readonly path: string;
  /** How it is packed. */
  readonly container: "safetensors" | "torch";
  /** What the header of a safetensors file notes. */
  readonly metadata: Readonly<Record<string, string>>;
  /** What is in it. */
  readonly root: Dict;
  /** Gives the file handle back. */
  [Symbol.dispose](): void;
}

/** Whether something is a dictionary. */
export const isDict = (content: Content): content is Dict => content instanceof Map;

/** Whether something is a tensor. */
export const isLeaf = (content: Content): content is Leaf =>
  typeof content === "object" && "read" in content;

/** Whether something is a list. */
export const isList = (content: Content): content is readonly Content[] => Array.isArray(content);

/**
 * Opens a safetensors file or a PyTorch checkpoint; which of them it is, its first bytes tell.
 *
 * @throws FileError when it is neither, or damaged, or a checkpoint that names what no file of tensors needs
 */
export async function openContent(path: string): Promise<DeltaFile> {
  const bytes = await fileSource(path);
  return await containerOf(bytes) === "torch"
    ? await checkpoint(path, bytes)
    : await safetensors(path, bytes);
}

async function safetensors(path: string, bytes: ByteSource): Promise<DeltaFile> {
  const source = await openSafetensors(bytes);
  const root = new Map<string, Content>();
  for (const [name, { dtype, shape }] of source.tensors) {
    root.set(name, {
      ...{ dtype, shape, read: () => source.readFloat32(name) },
      readAny: async () => Array.from((await source.read(name)).data, Number),
    });
  }
  return {
    path,
    container: "safetensors",
    metadata: source.metadata,
    root,
    [Symbol.dispose]: () => source.close(),
  };
}

async function checkpoint(path: string, bytes: ByteSource): Promise<DeltaFile> {
  const { root, close } = await openTorch(bytes);
  if (root instanceof Map) {
    return {
      path,
      container: "torch",
      metadata: {},
      root: contentOf(path, root, "") as Dict,
      [Symbol.dispose]: close,
    };
  }
  close();
  throw new FileError(path, "holds no dictionary", "It is no delta and no model");
}

/** Texts and numbers, which no format wants, become undefined. */
function contentOf(path: string, value: TorchValue, name: string): Content {
  if (isTorchTensor(value)) {
    const { dtype, shape } = value;
    return {
      ...{ dtype, shape, read: async () => realNumbers(path, name, dtype, await value.read()) },
      readAny: async () => Array.from(await value.read(), Number),
    };
  }
  if (value instanceof Map) {
    return new Map([...value].map(([key, v]) => [key, contentOf(path, v, key)]));
  }
  return Array.isArray(value) ? value.map((v) => contentOf(path, v, name)) : undefined;
}

/** Reads numbers that are to be finite, of a tensor with the extents wanted (any, where none are given). */
export async function readFinite(
  file: DeltaFile,
  name: string,
  content: Content,
): Promise<Float32Array> {
  if (!isLeaf(content)) throw new FileError(file.path, `holds no tensor under "${name}"`);
  const data = await content.read();
  if (data.every(Number.isFinite)) return data;
  throw new FileError(file.path, `tensor "${name}" holds NaN or infinity`);
}
