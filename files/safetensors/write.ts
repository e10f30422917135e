/**
 * Writing safetensors files, whole or not at all, a tensor at a time.
 *
 * Why the order of the reference writer (widest elements first, then by name): every tensor is then aligned to its
 * element size, and the same content gives the same bytes, so that files can be compared by their hash.
 */
import { expectKind, expectKinds, RECORD } from "../../tensor/kinds.ts";
import { PATH, WRITABLE } from "../given.ts";
import { writeFileAtomicBy } from "../atomic.ts";
import { bytesOf, FILE_BYTES, type FileArray, type FileDType, fileDTypeOf } from "../dtypes.ts";
import { FileError, messageOf } from "../errors.ts";

/** A tensor to be written. */
export interface TensorToWrite {
  /** Extents, outermost first; their product is the number of elements. */
  readonly shape: readonly number[];
  /** The elements, row-major; or a function that fetches them when their turn has come, so that a large model is never in memory whole. */
  readonly data: FileArray | (() => Promise<FileArray>);
  /** Element type in the file. That of `data` unless given; must be given where `data` is a function. F16 and BF16 round to nearest-even. */
  readonly dtype?: FileDType;
}

/** Tensors by name, in their order. */
export const entriesOf = (
  tensors: Readonly<Record<string, TensorToWrite>> | ReadonlyMap<string, TensorToWrite>,
): [name: string, tensor: TensorToWrite][] =>
  tensors instanceof Map ? [...tensors] : Object.entries(tensors);

/** Refuses what is not to be written among tensors by name, and says which. @throws TypeError */
export function expectEach(
  op: string,
  place: string,
  tensors: Parameters<typeof entriesOf>[0],
): void {
  for (const [name, one] of entriesOf(tensors)) {
    expectKind(op, `${place}, "${name}",`, one, WRITABLE);
  }
}

/** The reference writer's order of types, widest and most common first. */
const ORDER: readonly FileDType[] = [
  "U64",
  "I64",
  "F64",
  "F32",
  "U32",
  "I32",
  "BF16",
  "F16",
  "U16",
  "I16",
  "I8",
  "U8",
  "BOOL",
];

interface Planned extends TensorToWrite {
  readonly name: string;
  readonly dtype: FileDType;
  readonly bytes: number;
}

/**
 * Writes a safetensors file: it appears whole or not at all.
 *
 * @param tensors by name
 * @param metadata strings to note in the header, e.g. `{ format: "pt" }` (which transformers insists on)
 * @throws FileError naming the file and the tensor if a shape and its data disagree or the file can't be written
 */
export async function writeSafetensors(
  path: string,
  tensors: Readonly<Record<string, TensorToWrite>> | ReadonlyMap<string, TensorToWrite>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  expectKinds("writeSafetensors", {
    path: [path, PATH],
    tensors: [tensors, RECORD],
    metadata: [metadata, RECORD],
  });
  expectEach("writeSafetensors", "argument 2 (tensors)", tensors);
  const plan = planOf(path, tensors);
  await writeFileAtomicBy(path, async (put) => {
    await put(headerOf(plan, metadata));
    for (const tensor of plan) await put(await contentOf(path, tensor));
  });
}

/** How many bytes such a file takes; the elements are not looked at. */
export function safetensorsSize(
  tensors: Readonly<Record<string, TensorToWrite>> | ReadonlyMap<string, TensorToWrite>,
  metadata: Readonly<Record<string, string>> = {},
): number {
  const plan = planOf("(bytes)", tensors);
  return plan.reduce((sum, { bytes }) => sum + bytes, headerOf(plan, metadata).length);
}

/** The same in memory: the bytes of the file. Throws {@linkcode FileError} as {@linkcode writeSafetensors} does. */
export async function encodeSafetensors(
  tensors: Readonly<Record<string, TensorToWrite>> | ReadonlyMap<string, TensorToWrite>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const plan = planOf("(bytes)", tensors);
  const parts = [headerOf(plan, metadata)];
  for (const tensor of plan) parts.push(await contentOf("(bytes)", tensor));
  return new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer());
}

function planOf(
  path: string,
  tensors: Readonly<Record<string, TensorToWrite>> | ReadonlyMap<string, TensorToWrite>,
): Planned[] {
  const plan = entriesOf(tensors).map(([name, tensor]): Planned => {
    if (name === "__metadata__") {
      throw new FileError(path, `a tensor can't be called "__metadata__"`, "Rename it");
    }
    const dtype = tensor.dtype ??
      (typeof tensor.data === "function" ? undefined : fileDTypeOf(tensor.data));
    if (dtype === undefined) {
      throw new FileError(path, `tensor "${name}" has no type`, "Give its dtype with the function");
    }
    const bytes = tensor.shape.reduce((a, b) => a * b, FILE_BYTES[dtype]);
    return { ...tensor, name, dtype, bytes };
  });
  const byName = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
  return plan.sort((a, b) =>
    ORDER.indexOf(a.dtype) - ORDER.indexOf(b.dtype) || byName(a.name, b.name)
  );
}

function headerOf(
  plan: readonly Planned[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  let at = 0;
  // Built from text, since a tensor named "__proto__" or "1" would upset the order of an object.
  const items = plan.map(({ name, dtype, shape, bytes }) => {
    const entry = { dtype, shape, data_offsets: [at, at += bytes] };
    return `${JSON.stringify(name)}:${JSON.stringify(entry)}`;
  });
  if (Object.keys(metadata).length) items.unshift(`"__metadata__":${JSON.stringify(metadata)}`);
  const text = new TextEncoder().encode(`{${items.join(",")}}`);
  const length = Math.ceil(text.length / 8) * 8;
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(text, 8);
  return header;
}

async function contentOf(path: string, tensor: Planned): Promise<Uint8Array> {
  const data = typeof tensor.data === "function" ? await tensor.data() : tensor.data;
  let bytes: Uint8Array;
  try {
    bytes = bytesOf(data, tensor.dtype);
  } catch (cause) {
    throw new FileError(path, `tensor "${tensor.name}": ${messageOf(cause)}`, undefined, { cause });
  }
  if (bytes.length !== tensor.bytes) {
    throw new FileError(
      path,
      `tensor "${tensor.name}" of shape [${tensor.shape.join(", ")}] has ${data.length} elements`,
    );
  }
  return bytes;
}
