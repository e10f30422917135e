/**
 * Tensors in safetensors files, read one at a time.
 *
 * Why ranged: the UNet of Stable Diffusion is 3.4 GB; only the tensor that is being uploaded is ever in memory. Names
 * are the checkpoint's own, since the parameters of the models are trees with those very paths.
 */
import { SOURCE } from "../given.ts";
import { expectKinds } from "../../tensor/kinds.ts";
import { arrayOf, FILE_BYTES, type FileArray, type FileDType, toFloat32 } from "../dtypes.ts";
import { FileError } from "../errors.ts";
import { readHeader, type TensorEntry } from "./header.ts";
import { type ByteSource, sourceOf } from "../source.ts";

export type { FileArray, FileDType } from "../dtypes.ts";

/** What is known of a stored tensor before it is read. */
export interface TensorInfo {
  /** Element type in the file. */
  readonly dtype: FileDType;
  /** Extents, outermost first, in the file's own layout (PyTorch's); empty for a scalar. */
  readonly shape: readonly number[];
}

/** A tensor in memory, in the file's own layout. BF16 has been widened to `Float32Array`. */
export interface StoredTensor extends TensorInfo {
  /** The elements, row-major. */
  readonly data: FileArray;
}

/** Named tensors that can be read one at a time: a file, or the shards of a model. */
export interface TensorSource {
  /** Path or name for messages. */
  readonly name: string;
  /** All tensors by name, in the order of the file. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** What the writer noted in the header, e.g. `{ format: "pt" }`. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Reads one tensor. Throws {@linkcode FileError} if there is none of that name. */
  read(name: string): Promise<StoredTensor>;
  /** Reads `count` elements of a tensor from element `first` (row-major), e.g. a few rows of an embedding. */
  readPart(name: string, first: number, count: number): Promise<FileArray>;
  /** Reads one tensor of real numbers as f32, whatever its width in the file. */
  readFloat32(name: string): Promise<Float32Array>;
  /** Gives the file handles back; nothing can be read after. */
  close(): void;
  /** Same as `close`, for `using`. */
  [Symbol.dispose](): void;
}

/**
 * Opens one safetensors file.
 *
 * @param from a path, or the bytes themselves, or any other {@linkcode ByteSource}
 * @throws FileError naming the file, the tensor and the fault if the header is not true in every respect
 */
export async function openSafetensors(
  from: string | Uint8Array | ByteSource,
): Promise<TensorSource> {
  expectKinds("openSafetensors", { from: [from, SOURCE] });
  const source = await sourceOf(from);
  try {
    const { tensors, metadata } = await readHeader(source);
    const readRange = (entry: TensorEntry, first: number, count: number) =>
      source.read(
        entry.offset + first * FILE_BYTES[entry.dtype],
        count * FILE_BYTES[entry.dtype],
      ).then((bytes) => arrayOf(entry.dtype, bytes));
    return tensorSource(source.name, tensors, metadata, readRange, () => source.close());
  } catch (error) {
    source.close();
    throw error;
  }
}

/**
 * Builds a {@linkcode TensorSource} from its entries and a way to read a range of one; for whoever adds a file format.
 *
 * @param readRange `count` elements from element `first`; called with ranges that lie inside the tensor only
 */
export function tensorSource<E extends TensorInfo>(
  name: string,
  tensors: ReadonlyMap<string, E>,
  metadata: Readonly<Record<string, string>>,
  readRange: (entry: E, first: number, count: number, tensor: string) => Promise<FileArray>,
  close: () => void,
): TensorSource {
  const entryOf = (tensor: string): E => {
    const entry = tensors.get(tensor);
    if (!entry) throw missing(name, tensor, tensors.keys());
    return entry;
  };
  const read = async (tensor: string): Promise<StoredTensor> => {
    const entry = entryOf(tensor);
    const data = await readRange(entry, 0, elements(entry.shape), tensor);
    return { dtype: entry.dtype, shape: entry.shape, data };
  };
  return {
    name,
    tensors,
    metadata,
    read,
    async readPart(tensor, first, count) {
      const entry = entryOf(tensor);
      const size = elements(entry.shape);
      const sane = Number.isSafeInteger(first) && Number.isSafeInteger(count) && first >= 0 &&
        count >= 0 && first + count <= size;
      if (!sane) {
        throw new FileError(
          name,
          `tensor "${tensor}" has ${size} elements, so ${count} from number ${first} can't be read`,
        );
      }
      return await readRange(entry, first, count, tensor);
    },
    async readFloat32(tensor) {
      const { data, dtype } = await read(tensor);
      return realNumbers(name, tensor, dtype, data);
    },
    close,
    [Symbol.dispose]: close,
  };
}

/** Elements of a tensor as f32. Throws {@linkcode FileError} naming it where they are whole numbers. */
export function realNumbers(
  file: string,
  tensor: string,
  dtype: FileDType,
  data: FileArray,
): Float32Array {
  try {
    return toFloat32(data);
  } catch (cause) {
    throw new FileError(
      file,
      `tensor "${tensor}" is of type ${dtype} where real numbers are needed`,
      "The file is of another model, or was converted wrongly",
      { cause },
    );
  }
}

const elements = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

function missing(file: string, tensor: string, names: Iterable<string>): FileError {
  const last = tensor.split(".").slice(-2).join(".");
  const near = [...names].find((n) => n.endsWith(last));
  return new FileError(
    file,
    `holds no tensor "${tensor}"${near ? ` (but "${near}")` : ""}`,
    "It is of another model or another layout",
  );
}
