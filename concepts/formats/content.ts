/**
 * A file as a tree of tensors, whatever its container: nested dictionaries of a PyTorch pickle, or the flat list of a
 * safetensors file. Formats look at this, and never at a file's name.
 */
import { FileError } from "../../files/errors.ts";
import { openSafetensors } from "../../files/safetensors.ts";
import { type ByteSource, fileSource } from "../../files/source.ts";

/** A stored tensor, read when it is wanted. */
export interface Leaf {
  /** Element type as the file names it. */
  readonly dtype: string;
  /** Extents, outermost first. */
  readonly shape: readonly number[];
  /** The elements as f32. */
  read(): Promise<Float32Array>;
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
 * Opens a safetensors file or a PyTorch pickle; which of them it is, its first bytes tell.
 *
 * @throws FileError when it is neither, damaged, or a pickle: those are not read yet
 */
export async function openContent(path: string): Promise<DeltaFile> {
  const bytes = await fileSource(path);
  if (await isPickle(bytes)) {
    bytes.close();
    throw noPickles(path, "read");
  }
  const source = await openSafetensors(bytes);
  const root = new Map<string, Content>();
  for (const [name, { dtype, shape }] of source.tensors) {
    root.set(name, { dtype, shape, read: () => source.readFloat32(name) });
  }
  return {
    path,
    container: "safetensors",
    metadata: source.metadata,
    root,
    [Symbol.dispose]: () => source.close(),
  };
}

/**
 * First four bytes of what `torch.save` writes: a zip archive, or before PyTorch 1.6 a pickle of its magic number. Neither
 * can be the length of a safetensors header.
 */
const PICKLES = ["504b0304", "80028a0a"];

async function isPickle(source: ByteSource): Promise<boolean> {
  return source.size >= 4 && PICKLES.includes((await source.read(0, 4)).toHex());
}

/** What is said of pickles as long as there is no reader and writer of them. */
export const noPickles = (path: string, done: "read" | "written"): FileError =>
  new FileError(
    path,
    `${done === "read" ? "is" : "would be"} a PyTorch pickle, and those are not ${done} yet`,
    done === "read" ? "Save its tensors as safetensors first" : "Choose a format in safetensors",
  );

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
