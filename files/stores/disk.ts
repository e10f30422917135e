/**
 * Files on a disk: what a path without the name of another place means wherever there is one.
 *
 * What is written appears whole or not at all: a training run may be killed at any instant, and a checkpoint that looks
 * like one but is half one is worse than none.
 */
import { FileError } from "../errors.ts";
import { type ByteSource, checkRange } from "./source.ts";
import type { FileStore, Kind, Put } from "./store.ts";
import type { System, SystemFile, SystemInfo } from "./system.ts";

/** A system's disk. */
export const diskStore = (system: System): FileStore => ({
  async look(path) {
    try {
      return kindOf(await system.stat(path));
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw FileError.from(error, path, "looking at it");
    }
  },
  async list(folder) {
    const names: string[] = [];
    try {
      for await (const { name } of system.readDir(folder)) names.push(name);
    } catch (error) {
      throw FileError.from(error, folder, "listing it");
    }
    return names;
  },
  open: (path) => open(system, path),
  async read(path, pipes) {
    try {
      checkRegular(path, await system.stat(path), pipes);
      return await system.readFile(path);
    } catch (error) {
      throw FileError.from(error, path, "reading it");
    }
  },
  write: (path, fill) => write(system, path, fill),
  async makeFolder(path) {
    try {
      await system.mkdir(path, { recursive: true });
    } catch (error) {
      throw FileError.from(error, path, "making it");
    }
  },
});

/** Whether an error says that there is nothing at a path. */
export const isMissing = (error: unknown): boolean =>
  error instanceof Error && (error.name === "NotFound" || error.name === "NotADirectory");

const kindOf = (info: SystemInfo): Kind =>
  info.isFile ? "file" : info.isDirectory ? "folder" : "other";

/** Refuses what is no regular file before it is opened: opening a pipe waits for whoever writes into it. */
function checkRegular(path: string, info: SystemInfo, pipes = false): void {
  if (info.isFile || (pipes && info.isFifo)) return;
  if (info.isDirectory) throw new FileError(path, "is a folder", "Name a file in it");
  const what = info.isFifo ? "a pipe" : info.isSocket ? "a socket" : "a device";
  throw new FileError(path, `is ${what}, not a file`, "Write what comes from it into a file first");
}

async function open(system: System, path: string): Promise<ByteSource> {
  let file: SystemFile;
  let size: number;
  try {
    const info = await system.stat(path);
    checkRegular(path, info);
    size = info.size;
    file = await system.open(path, { read: true });
  } catch (error) {
    throw FileError.from(error, path, "opening it");
  }
  // A handle has one position, so reads that are asked for at the same time must take turns.
  let turn: Promise<unknown> = Promise.resolve();
  const readNow = async (offset: number, length: number) => {
    const bytes = new Uint8Array(length);
    try {
      await file.seek(offset, 0);
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

/** A temporary file beside it is filled, flushed to the disk and renamed over it; on any error it is removed. */
async function write(system: System, path: string, fill: (put: Put) => Promise<void>) {
  const { folder, base } = split(path, system.build.os === "windows");
  // By chance, and not by counting: where every container has the same few process numbers, the same name would be left.
  const temporary = `${folder}.${base}.${system.pid}-${
    Math.floor(Math.random() * 2 ** 40)
  }.partial`;
  let file: SystemFile;
  try {
    file = await system.open(temporary, { write: true, createNew: true });
  } catch (error) {
    throw notWritable(error, path, folder);
  }
  let open = true;
  try {
    await fill(async (bytes) => {
      try {
        for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
      } catch (error) {
        throw FileError.from(error, path, "writing it");
      }
    });
    try {
      await file.sync();
      file.close();
      open = false;
      await system.rename(temporary, path);
    } catch (error) {
      throw FileError.from(error, path, "writing it");
    }
  } catch (error) {
    if (open) file.close();
    await system.remove(temporary).catch(() => {});
    throw error;
  }
  await syncFolder(system, folder || ".");
}

/** Without this, a power cut may undo the rename. Not every system lets a folder be opened: then there is nothing to do. */
async function syncFolder(system: System, folder: string): Promise<void> {
  let handle: SystemFile | undefined;
  try {
    handle = await system.open(folder, { read: true });
    await handle.sync();
  } catch {
    // the file itself is safe
  } finally {
    handle?.close();
  }
}

function split(path: string, windows: boolean): { folder: string; base: string } {
  const cut = Math.max(path.lastIndexOf("/"), windows ? path.lastIndexOf("\\") : -1) + 1;
  const base = path.slice(cut);
  if (base === "" || base === "." || base === "..") {
    throw new FileError(path, "is not the name of a file to write", "Add a file name");
  }
  return { folder: path.slice(0, cut), base };
}

function notWritable(error: unknown, path: string, folder: string): FileError {
  if (error instanceof Error && error.name === "NotFound") {
    const fault = `can't be written, since the folder ${folder || "."} does not exist`;
    return new FileError(path, fault, "Create the folder first, or check the path", {
      cause: error,
    });
  }
  return FileError.from(error, path, "creating it");
}
