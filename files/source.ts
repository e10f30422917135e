/** Bytes of files by path, whatever place it is of: opened to be read in parts, or read whole. */
import { type ByteSource, bytesSource } from "./stores/source.ts";
import { storeOf } from "./stores/stores.ts";

export { blobSource, type ByteSource, bytesSource } from "./stores/source.ts";

/** Reads a whole file. Throws {@linkcode FileError} if it is missing, unreadable or no regular file (or pipe). */
export async function readBytes(path: string, { pipes = false } = {}): Promise<Uint8Array> {
  const store = await storeOf(path);
  if (store.read) return await store.read(path, pipes);
  const source = await store.open(path);
  try {
    return await source.read(0, source.size);
  } finally {
    source.close();
  }
}

/** Opens a file by path. Throws {@linkcode FileError} if it is missing, unreadable or no regular file. */
export async function fileSource(path: string): Promise<ByteSource> {
  return await (await storeOf(path)).open(path);
}

/** What a reader was given, opened: a path, the bytes themselves, or a source. Throws {@linkcode FileError} as {@linkcode fileSource} does. */
export async function sourceOf(from: string | Uint8Array | ByteSource): Promise<ByteSource> {
  if (typeof from === "string") return await fileSource(from);
  return from instanceof Uint8Array ? bytesSource(from) : from;
}
