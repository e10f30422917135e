/** What a place is that files come from and go to: a disk, a server, what a page was given, a browser's own storage. */
import type { ByteSource } from "./source.ts";

/** What is at a path. */
export type Kind = "file" | "folder" | "other";

/** Takes the bytes of a file that is being written, front to back. */
export type Put = (bytes: Uint8Array) => Promise<void>;

/**
 * A place that files come from and go to. Paths are given whole, with the name that the place is mounted by, as messages
 * are to have them; {@linkcode partsOf} takes them apart. What goes wrong is a `FileError` that names the path.
 */
export interface FileStore {
  /** What is at a path; undefined where there is nothing, or where that can't be known. */
  look(path: string): Promise<Kind | undefined>;
  /** Names of what is in a folder, unsorted. Left out by places that can't tell, as servers can't. */
  list?(folder: string): Promise<string[]>;
  /** Opens a file. */
  open(path: string): Promise<ByteSource>;
  /** All bytes of a file; of a pipe as well, where there are pipes and they are wanted. Left out where `open` does as well. */
  read?(path: string, pipes: boolean): Promise<Uint8Array>;
  /** Writes a file, whole or not at all: what `fill` throws leaves what was there. Left out where nothing can be written. */
  write?(path: string, fill: (put: Put) => Promise<void>): Promise<void>;
  /** Makes a folder and those that it lies in, if they are not there. Left out where there is nothing to make. */
  makeFolder?(path: string): Promise<void>;
}

/** The parts of a path behind the name of its place, without "." and "..". */
export function partsOf(path: string): string[] {
  const parts: string[] = [];
  for (const part of path.slice(path.indexOf(":") + 1).split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "." && part !== "") parts.push(part);
  }
  return parts;
}
