/**
 * Bytes that can be read at an offset, wherever they lie: a file on disk, a `Blob` of a browser, an array in memory.
 *
 * Why: weight files are gigabytes and are read a tensor at a time; and the code that reads them is to run in a
 * browser too, where there are no paths.
 */
import { FileError } from "./errors.ts";

/** Random access to a fixed number of bytes. */
export interface ByteSource {
  /** What to call it in error messages: a path, or a name that the caller gave. */
  readonly name: string;
  /** How many bytes there are. */
  readonly size: number;
  /** Exactly `length` bytes from `offset`, in an array of their own. Throws {@linkcode FileError} if there are fewer. */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Gives the file handle back, if there is one. */
  close(): void;
}

/** Reads from an array in memory, which must not change meanwhile. */
export function bytesSource(bytes: Uint8Array, name = "(bytes)"): ByteSource {
  return {
    name,
    size: bytes.length,
    // async, so that a bad range rejects like that of any other source
    // deno-lint-ignore require-await
    async read(offset, length) {
      checkRange(name, bytes.length, offset, length);
      return bytes.slice(offset, offset + length) as Uint8Array<ArrayBuffer>;
    },
    close() {},
  };
}

/** Reads from a `Blob` or a browser's `File`, without loading the rest of it. */
export function blobSource(blob: Blob, name = "(blob)"): ByteSource {
  return {
    name,
    size: blob.size,
    async read(offset, length) {
      checkRange(name, blob.size, offset, length);
      return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
    },
    close() {},
  };
}

/** Reads a whole file. Throws {@linkcode FileError} if it is missing, unreadable or no regular file (or pipe). */
export async function readBytes(path: string, { pipes = false } = {}): Promise<Uint8Array> {
  try {
    checkRegular(path, await Deno.stat(path), pipes);
    return await Deno.readFile(path);
  } catch (error) {
    throw FileError.from(error, path, "reading it");
  }
}

/** Refuses what is no regular file before it is opened: opening a pipe waits for whoever writes into it. */
function checkRegular(path: string, info: Deno.FileInfo, pipes = false): void {
  if (info.isFile || (pipes && info.isFifo)) return;
  if (info.isDirectory) throw new FileError(path, "is a folder", "Name a file in it");
  const what = info.isFifo ? "a pipe" : info.isSocket ? "a socket" : "a device";
  throw new FileError(path, `is ${what}, not a file`, "Write what comes from it into a file first");
}

/** Opens a file by path. Throws {@linkcode FileError} if it is missing, unreadable or no regular file. */
export async function fileSource(path: string): Promise<ByteSource> {
  let file: Deno.FsFile;
  let size: number;
  try {
    const info = await Deno.stat(path);
    checkRegular(path, info);
    size = info.size;
    file = await Deno.open(path, { read: true });
  } catch (error) {
    throw FileError.from(error, path, "opening it");
  }
  // A handle has one position, so reads that are asked for at the same time must take turns.
  let turn: Promise<unknown> = Promise.resolve();
  const readNow = async (offset: number, length: number) => {
    const bytes = new Uint8Array(length);
    try {
      await file.seek(offset, Deno.SeekMode.Start);
      for (let filled = 0; filled < length;) {
        const count = await file.read(bytes.subarray(filled));
        if (count === null) {
          throw new FileError(path, "became shorter while it was being read");
        }
        filled += count;
      }
    } catch (error) {
      throw FileError.from(error, path, "reading it");
    }
    return bytes;
  };
  return {
    name: path,
    size,
    async read(offset, length) {
      checkRange(path, size, offset, length);
      const mine = turn.then(() => readNow(offset, length));
      turn = mine.catch(() => {});
      return await mine;
    },
    close() {
      file.close();
    },
  };
}

function checkRange(name: string, size: number, offset: number, length: number): void {
  const sane = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 &&
    length >= 0 && offset + length <= size;
  if (!sane) {
    throw new FileError(
      name,
      `has ${size} bytes, so bytes ${offset} to ${offset + length} can't be read`,
      "It is probably cut short: fetch or write it again",
    );
  }
}
