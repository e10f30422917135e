/**
 * A file that another function reads than the one that was given it: what it is, and which function that is. Whoever has an array
 * in a `.npy`, several in a `.npz`, or weights in one of two formats, need not know the formats to be told.
 */
import { latin1 } from "./bytes.ts";
import { FileError } from "./errors.ts";
import { isPictureName, kindOf } from "./kinds.ts";
import type { ByteSource } from "./stores/source.ts";

/** Functions of the library that read tensors from files. */
export type Reader = "readNpy" | "openNpz" | "openTorch" | "openSafetensors";

/** What a file is, by its content and else by its name; and which function reads it, where one does. */
export async function whatIs(
  source: ByteSource,
): Promise<{ readonly is: string; readonly by?: Reader } | undefined> {
  const start = await source.read(0, Math.min(source.size, 512));
  const head = latin1(start, 0, start.length);
  if (head.startsWith("\x93NUMPY")) return { is: "an array of NumPy's (.npy)", by: "readNpy" };
  if (head.startsWith("PK\x03\x04")) {
    // The name of the first entry, as it stands in front of it.
    const first = head.slice(30, 30 + (start[26] | start[27] << 8));
    if (first.endsWith(".npy")) return { is: "an archive of NumPy's arrays (.npz)", by: "openNpz" };
    if (/^[^/]+\/(data\.pkl|byteorder|version|data\/)/.test(first)) {
      return { is: "a checkpoint of PyTorch", by: "openTorch" };
    }
  }
  // The number with which PyTorch's older checkpoints begin.
  if (head.startsWith("\x80\x02\x8a\x0a")) {
    return { is: "a checkpoint of PyTorch", by: "openTorch" };
  }
  if (head[8] === "{") {
    const length = new DataView(start.buffer, start.byteOffset).getBigUint64(0, true);
    if (length >= 2n && length <= BigInt(source.size - 8)) {
      return { is: "a safetensors file", by: "openSafetensors" };
    }
  }
  const kind = kindOf(start) ?? (isPictureName(source.name) ? "a damaged picture" : undefined);
  const isText = start.every((byte) => byte >= 0x20 && byte < 0x7f || byte >= 9 && byte <= 13);
  const is = kind ?? (isText && start.length ? "a text" : undefined);
  return is === undefined ? undefined : { is };
}

/** Refuses a file that is known and of another kind. @throws FileError saying what it is, and what reads it */
export async function expectFor(
  reader: Reader,
  source: ByteSource,
  wanted: string,
): Promise<void> {
  const found = await whatIs(source);
  // Of zip archives the directory decides, which is read next.
  if (!found || found.by === reader || (found.is === "a zip archive" && /Npz|Torch/.test(reader))) {
    return;
  }
  throw strange(source, found, wanted);
}

/** The error of a file that is something else than was wanted. */
export const strange = (
  source: ByteSource,
  { is, by }: { readonly is: string; readonly by?: Reader },
  wanted: string,
): FileError => new FileError(source.name, `is ${is}, and no ${wanted}`, by && `${by} reads it`);
