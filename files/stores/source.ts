/**
 * Bytes that can be read at an offset, wherever they lie: a file on disk, a `Blob` of a browser, an array in memory.
 *
 * Why: weight files are gigabytes and are read a tensor at a time, from a disk, from a server, or from what a page was given.
 */
import { FileError } from "../errors.ts";

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
      try {
        return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
      } catch (error) {
        throw FileError.from(error, name, "reading it");
      }
    },
    close() {},
  };
}

/** Refuses to read what is not there. @throws FileError */
export function checkRange(name: string, size: number, offset: number, length: number): void {
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
