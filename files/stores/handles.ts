/**
 * Folders that a browser hands out: those that its user picked (`showDirectoryPicker`) and the one of its own that each
 * site has (OPFS). One kind of handle stands for both.
 */
import { FileError } from "../errors.ts";
import { blobSource } from "./source.ts";
import { type FileStore, partsOf, type Put } from "./store.ts";

/** What is used of a `FileSystemFileHandle`. */
export interface FileHandle {
  /** What it is. */
  readonly kind: "file";
  /** The file as it is now. */
  getFile(): Promise<File>;
  /** Writes beside the file, and in its place when closed; older Safaris have none. */
  createWritable?(): Promise<{
    write(bytes: Uint8Array<ArrayBuffer>): Promise<void>;
    close(): Promise<void>;
    abort(): Promise<void>;
  }>;
}

/** What is used of a `FileSystemDirectoryHandle`. */
export interface FolderHandle {
  /** What it is. */
  readonly kind: "directory";
  /** Names of what is in it. */
  keys(): AsyncIterableIterator<string>;
  /** A folder in it. */
  getDirectoryHandle(name: string, options?: { create?: boolean }): Promise<FolderHandle>;
  /** A file in it. */
  getFileHandle(name: string, options?: { create?: boolean }): Promise<FileHandle>;
  /** Removes a file. */
  removeEntry(name: string): Promise<void>;
}

/** The errors of what is not there, or is not what it is taken for. */
const missing = (error: unknown): boolean =>
  /^(NotFoundError|TypeMismatchError)$/.test((error as Error)?.name);

/** A folder by its handle, which is asked for when it is used first. */
export function handleStore(root: (path: string) => Promise<FolderHandle>): FileStore {
  const folder = async (path: string, parts: readonly string[], create = false) => {
    let at = await root(path);
    for (const part of parts) at = await at.getDirectoryHandle(part, { create });
    return at;
  };
  const split = (path: string): [folders: string[], name: string] => {
    const parts = partsOf(path), name = parts.pop();
    if (name === undefined || path.endsWith("/")) {
      throw new FileError(path, "is not the name of a file", "Add a file name");
    }
    return [parts, name];
  };
  /** Does something, and names the path where that fails. */
  const named = async <T>(path: string, doing: string, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw FileError.from(error, path, doing);
    }
  };
  /** The same, with undefined for what is not there. */
  const found = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      if (missing(error)) return undefined;
      throw error;
    }
  };
  return {
    look: (path) =>
      named(path, "looking at it", async () => {
        const parts = partsOf(path), name = parts.pop();
        if (name === undefined) return await root(path) && "folder";
        const within = await found(() => folder(path, parts));
        if (!within) return undefined;
        if (await found(() => within.getFileHandle(name))) return "file";
        return await found(() => within.getDirectoryHandle(name)) && "folder";
      }),
    list: (path) =>
      named(path, "listing it", async () => {
        const names: string[] = [];
        for await (const name of (await folder(path, partsOf(path))).keys()) names.push(name);
        return names;
      }),
    open: (path) =>
      named(path, "opening it", async () => {
        const [parts, name] = split(path);
        const handle = await (await folder(path, parts)).getFileHandle(name);
        return blobSource(await handle.getFile(), path);
      }),
    write: (path, fill) => write(path, fill),
    makeFolder: (path) =>
      named(path, "making it", async () => {
        await folder(path, partsOf(path), true);
      }),
  };

  async function write(path: string, fill: (put: Put) => Promise<void>): Promise<void> {
    const [parts, name] = split(path);
    const { out, fresh, within } = await named(path, "creating it", async () => {
      const within = await folder(path, parts);
      const before = await found(() => within.getFileHandle(name));
      const file = before ?? await within.getFileHandle(name, { create: true });
      if (file.createWritable) return { out: await file.createWritable(), fresh: !before, within };
      if (!before) await within.removeEntry(name);
      throw new FileError(
        path,
        "can't be written whole or not at all by this browser",
        "Write to download: in place of it, or use Safari 26 or newer",
      );
    });
    try {
      await fill((bytes) =>
        named(path, "writing it", () => out.write(bytes as Uint8Array<ArrayBuffer>))
      );
      await named(path, "writing it", () => out.close());
    } catch (error) {
      await out.abort().catch(() => {});
      // A file of nothing was made to have something to write to.
      if (fresh) await within.removeEntry(name).catch(() => {});
      throw error;
    }
  }
}

/** The folder of its own that a browser keeps for each site. */
export const ownStorage: FileStore = handleStore(async (path) => {
  const { navigator } = globalThis as {
    navigator?: { storage?: { getDirectory?(): Promise<FolderHandle> } };
  };
  if (navigator?.storage?.getDirectory) return await navigator.storage.getDirectory();
  throw new FileError(
    path,
    "lies in a browser's own storage, which there is none of here",
    "Pages and workers have it that come by https or from localhost",
  );
});
