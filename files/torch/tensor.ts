/**
 * The numbers of a PyTorch tensor: a view of a run of bytes, by offset and strides; several tensors may share one run.
 *
 * A tensor that lies in order, as nearly all do, is read like one of safetensors: only its own bytes, or some of them.
 */
import { gathered } from "../strides.ts";
import { arrayOf, FILE_BYTES, type FileArray, type FileDType } from "../dtypes.ts";
import { FileError } from "../errors.ts";
import type { StridedTensor } from "./globals.ts";

/** Bytes of a run. */
export interface Run {
  /** How many there are. */
  readonly bytes: number;
  /** Reads some of them. */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
}

/** A tensor in a checkpoint, whose numbers are read when they are wanted. */
export interface TorchTensor {
  /** Element type, as safetensors names it. */
  readonly dtype: FileDType;
  /** Extents, outermost first. */
  readonly shape: readonly number[];
  /** `count` elements from element `first`, row-major; all by default. BF16 becomes f32. */
  read(first?: number, count?: number): Promise<FileArray>;
}

/** Elements that a tensor may have which repeats those of its storage. */
const REPEATED = 2 ** 20;

/**
 * A tensor over the bytes that hold its storage.
 *
 * @param path where it is in the checkpoint, for messages
 * @throws FileError when it reaches beyond its storage, or the storage beyond its bytes
 */
export function viewTensor(
  file: string,
  path: string,
  { storage, offset, shape, strides }: StridedTensor,
  run: Run,
): TorchTensor {
  const { dtype, elements } = storage, size = FILE_BYTES[dtype];
  const fault = (text: string) =>
    new FileError(file, `tensor "${path}" ${text}`, "The file is damaged: fetch or write it again");
  const total = shape.includes(0) ? 0 : shape.reduce((a, b) => a * b, 1);
  const reach = total === 0
    ? 0
    : shape.reduce((sum, extent, i) => sum + (extent - 1) * strides[i], 1);
  if (elements * size > run.bytes) {
    throw fault(`has ${elements} numbers of type ${dtype} in ${run.bytes} bytes`);
  }
  if (total > 0 && !(offset + reach <= elements)) {
    throw fault(`of shape [${shape}] reaches beyond the ${elements} numbers that are stored`);
  }
  if (total > Math.max(elements, REPEATED)) {
    throw fault(`of shape [${shape}] repeats the ${elements} numbers that are stored`);
  }
  const numbers = async (first: number, count: number) =>
    arrayOf(dtype, await run.read(first * size, count * size));
  const ordered = isOrdered(shape, strides);
  return {
    dtype,
    shape,
    async read(first = 0, count = total - first) {
      if (count === 0) return await numbers(0, 0);
      if (ordered) return await numbers(offset + first, count);
      const all = gathered(await numbers(offset, reach), shape, strides);
      return count === total ? all : all.slice(first, first + count);
    },
  };
}

/** Whether elements follow each other as in an array in C. */
function isOrdered(shape: readonly number[], strides: readonly number[]): boolean {
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== step) return false;
    step *= shape[i];
  }
  return true;
}
