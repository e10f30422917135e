/**
 * Arrays in files of NumPy's: one in a `.npy`, several by name in a `.npz`, which is a zip archive of such. What is read is
 * row-major and little-endian, whatever order the file has, so that `device.upload(data, shape)` takes it.
 */
import { entriesOf, expectEach } from "../safetensors/write.ts";
import { PATH, SOURCE, WRITABLE } from "../given.ts";
import { expectKinds, RECORD } from "../../tensor/kinds.ts";
import { writeFileAtomicBy } from "../atomic.ts";
import { openZip } from "../archives/zip.ts";
import { ZipWriter } from "../archives/zip_write.ts";
import { arrayOf, bytesOf, FILE_BYTES, type FileArray, fileDTypeOf } from "../dtypes.ts";
import { joinedBytes } from "../bytes.ts";
import { gathered } from "../strides.ts";
import { FileError, messageOf } from "../errors.ts";
import { expectFor } from "../kinds.ts";
import type { StoredTensor, TensorSource } from "../safetensors/read.ts";
import { tensorSource } from "../safetensors/read.ts";
import type { TensorToWrite } from "../safetensors/write.ts";
import { type ByteSource, sourceOf } from "../source.ts";
import { decodeName } from "../text.ts";
import {
  headerBytes,
  headerRange,
  isNumpyType,
  type NpyHeader,
  parseHeader,
  PREFIX,
} from "./header.ts";

/** Reads bytes of an array's file at an offset. */
type Read = (offset: number, length: number) => Promise<Uint8Array<ArrayBuffer>>;

/**
 * Reads an array that `np.save` wrote: any numbers of 1 to 8 bytes and truth values, in either order of axes and of bytes.
 *
 * @param from a path, the bytes themselves, or any other {@linkcode ByteSource}
 * @throws FileError for records, objects, text, complex numbers and dates, by name; for what is no such file, is cut short, or
 *   holds more than one array
 */
export async function readNpy(from: string | Uint8Array | ByteSource): Promise<StoredTensor> {
  expectKinds("readNpy", { from: [from, SOURCE] });
  const source = await sourceOf(from);
  try {
    await expectFor("readNpy", source, "array of NumPy's (.npy)");
    const read: Read = (offset, length) => source.read(offset, length);
    const header = await headerOf(read, source.size, source.name);
    const { dtype, shape } = header;
    return { dtype, shape, data: await elements(read, header, 0, count(shape)) };
  } finally {
    source.close();
  }
}

/**
 * Opens an archive that `np.savez` or `np.savez_compressed` wrote; arrays are read one at a time, by name.
 *
 * @param from a path, the bytes themselves, or any other {@linkcode ByteSource}
 * @throws FileError as {@linkcode readNpy} does, and for an archive that holds something else than arrays
 */
export async function openNpz(from: string | Uint8Array | ByteSource): Promise<TensorSource> {
  expectKinds("openNpz", { from: [from, SOURCE] });
  const source = await sourceOf(from);
  try {
    await expectFor("openNpz", source, "archive of NumPy's arrays (.npz)");
    const zip = await openZip(source);
    const entries = new Map<string, NpyHeader & { readonly read: Read }>();
    for (const [path, entry] of zip.entries) {
      if (!path.endsWith(".npy")) {
        throw new FileError(source.name, `holds "${path}", which is no array of NumPy`);
      }
      const read: Read = (offset, length) => zip.read(entry, offset, length);
      const header = await headerOf(read, entry.bytes, `${source.name}, "${path}"`);
      entries.set(path.slice(0, -4), { ...header, read });
    }
    const part = (e: NpyHeader & { readonly read: Read }, first: number, n: number) =>
      elements(e.read, e, first, n);
    return tensorSource(source.name, entries, {}, part, () => source.close());
  } catch (error) {
    source.close();
    throw error;
  }
}

/**
 * Writes an array as `np.save` does: row-major, little-endian, whole or not at all.
 *
 * @throws FileError where shape and data disagree, NumPy has no such type (bf16), or the file can't be written
 */
export async function writeNpy(path: string, array: TensorToWrite): Promise<void> {
  expectKinds("writeNpy", { path: [path, PATH], array: [array, WRITABLE] });
  const parts = await partsOf(path, array);
  await writeFileAtomicBy(path, async (put) => {
    for (const part of parts) await put(part);
  });
}

/** The same in memory: the bytes of the file. */
export async function encodeNpy(array: TensorToWrite): Promise<Uint8Array<ArrayBuffer>> {
  expectKinds("encodeNpy", { array: [array, WRITABLE] });
  return joinedBytes(await partsOf("(bytes)", array));
}

/**
 * Writes arrays by name as `np.savez` does, uncompressed, whole or not at all.
 *
 * @throws FileError as {@linkcode writeNpy} does, and where they take more than 4 GB together
 */
export async function writeNpz(
  path: string,
  arrays: Readonly<Record<string, TensorToWrite>> | ReadonlyMap<string, TensorToWrite>,
): Promise<void> {
  expectKinds("writeNpz", { path: [path, PATH], arrays: [arrays, RECORD] });
  expectEach("writeNpz", "argument 2 (arrays)", arrays);
  await writeFileAtomicBy(path, (put) => putArchive(path, arrays, put));
}

/** The same in memory: the bytes of the archive. */
export async function encodeNpz(
  arrays: Readonly<Record<string, TensorToWrite>> | ReadonlyMap<string, TensorToWrite>,
): Promise<Uint8Array<ArrayBuffer>> {
  expectKinds("encodeNpz", { arrays: [arrays, RECORD] });
  expectEach("encodeNpz", "argument 1 (arrays)", arrays);
  const parts: Uint8Array[] = [];
  await putArchive("(bytes)", arrays, (bytes) => {
    parts.push(bytes.slice());
    return Promise.resolve();
  });
  return joinedBytes(parts);
}

async function putArchive(
  path: string,
  arrays: Readonly<Record<string, TensorToWrite>> | ReadonlyMap<string, TensorToWrite>,
  put: (bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  const zip = new ZipWriter(path, put);
  for (const [name, array] of entriesOf(arrays)) {
    await zip.add(`${name}.npy`, joinedBytes(await partsOf(`${path}, "${name}"`, array)));
  }
  await zip.end();
}

async function headerOf(read: Read, size: number, file: string): Promise<NpyHeader> {
  const [from, to] = headerRange(await read(0, Math.min(PREFIX, size)), file);
  if (to > size) throw new FileError(file, `ends within its header, at byte ${size}`);
  const header = parseHeader(decodeName(await read(from, to - from)), to, file);
  const there = size - to;
  if (there !== header.bytes) {
    throw new FileError(
      file,
      `has ${there} bytes of elements where its shape [${header.shape}] of ${header.dtype} takes ${header.bytes}`,
      there < header.bytes
        ? "It was cut short: fetch or write it again"
        : "Save one array in a file, or several with np.savez",
    );
  }
  return header;
}

/** `n` elements from element `first`, counted row by row. */
async function elements(
  read: Read,
  header: NpyHeader,
  first: number,
  n: number,
): Promise<FileArray> {
  const { dtype, offset, bigEndian, shape } = header;
  const size = FILE_BYTES[dtype];
  const columns = header.fortran && shape.length > 1;
  const [from, length] = columns ? [0, header.bytes] : [first * size, n * size];
  const bytes = await read(offset + from, length);
  if (bigEndian) swap(bytes, size);
  const data = arrayOf(dtype, bytes);
  if (!columns) return data;
  const strides = shape.map((_, axis) => count(shape.slice(0, axis)));
  return gathered(data, shape, strides).slice(first, first + n);
}

/** Turns the bytes of each element around. */
function swap(bytes: Uint8Array, size: number): void {
  for (let at = 0; at < bytes.length; at += size) bytes.subarray(at, at + size).reverse();
}

const count = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

/** Header and elements of an array as they are written. */
async function partsOf(file: string, array: TensorToWrite): Promise<Uint8Array[]> {
  const { shape, data: given } = array;
  const data = typeof given === "function" ? await given() : given;
  const dtype = array.dtype ?? fileDTypeOf(data);
  if (!isNumpyType(dtype)) {
    throw new FileError(file, `would hold ${dtype}, which NumPy does not have`, "Write it as F32");
  }
  if (count(shape) !== data.length) {
    throw new FileError(file, `has ${data.length} elements for the shape [${shape}]`);
  }
  try {
    return [headerBytes(dtype, shape), bytesOf(data, dtype)];
  } catch (cause) {
    throw new FileError(file, messageOf(cause), undefined, { cause });
  }
}
