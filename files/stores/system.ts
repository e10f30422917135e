/**
 * The calls of a system's files: Deno's, or the same made of `node:fs` where Node runs.
 *
 * Why not `node:fs` in both: Deno's errors say which permission is missing, and its calls are what the commands use.
 */

/** What is used of an open file. */
export interface SystemFile {
  /** Reads from where it stands; null at its end. */
  read(into: Uint8Array): Promise<number | null>;
  /** Writes where it stands. */
  write(from: Uint8Array): Promise<number>;
  /** Moves to an offset from the beginning. */
  seek(offset: number, whence: 0): Promise<number>;
  /** Waits till all is on the disk. */
  sync(): Promise<void>;
  /** Gives the handle back. */
  close(): void;
}

/** What is used of what is known of a file. */
export type SystemInfo = Pick<
  Deno.FileInfo,
  "isFile" | "isDirectory" | "isFifo" | "isSocket" | "size"
>;

/** What is used of a system. */
export interface System {
  /** The number of this process. */
  readonly pid: number;
  /** Which system it is. */
  readonly build: { readonly os: string };
  /** What is at a path. */
  stat(path: string): Promise<SystemInfo>;
  /** Opens a file to read it, or a new one to write it. */
  open(
    path: string,
    options: { read: true } | { write: true; createNew: true },
  ): Promise<SystemFile>;
  /** The bytes of a file. */
  readFile(path: string): Promise<Uint8Array>;
  /** What is in a folder. */
  readDir(path: string): AsyncIterable<{ readonly name: string }>;
  /** Makes a folder and those above it. */
  mkdir(path: string, options: { recursive: true }): Promise<void>;
  /** Puts a file in another's place. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file. */
  remove(path: string): Promise<void>;
}

/** The system that this program runs on; undefined in a browser, which has no files of its own. */
export async function system(): Promise<System | undefined> {
  const { Deno, process } = globalThis as {
    Deno?: System;
    process?: { versions?: { node?: string } };
  };
  if (Deno?.open) return Deno;
  return process?.versions?.node ? await node() : undefined;
}

/** Names of Node's errors in Deno, by which messages are found. */
const NAMES: Readonly<Record<string, string>> = {
  ENOENT: "NotFound",
  ENOTDIR: "NotADirectory",
  EISDIR: "IsADirectory",
  EACCES: "PermissionDenied",
  EPERM: "PermissionDenied",
};

async function node(): Promise<System> {
  const fs = await import(/* webpackIgnore: true */ /* @vite-ignore */ "node:fs/promises");
  const named = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      const { code = "" } = error as { code?: string };
      if (error instanceof Error && code in NAMES) error.name = NAMES[code];
      throw error;
    }
  };
  const { pid, platform } = (globalThis as unknown as {
    process: { pid: number; platform: string };
  }).process;
  return {
    pid,
    build: { os: platform === "win32" ? "windows" : platform },
    async stat(path) {
      const s = await named(fs.stat(path));
      return {
        isFile: s.isFile(),
        isDirectory: s.isDirectory(),
        isFifo: s.isFIFO(),
        isSocket: s.isSocket(),
        size: s.size,
      };
    },
    async open(path, options) {
      const file = await named(fs.open(path, "read" in options ? "r" : "wx"));
      let at = 0;
      return {
        async read(into) {
          const { bytesRead } = await named(file.read(into, 0, into.length, at));
          at += bytesRead;
          return bytesRead || (into.length ? null : 0);
        },
        async write(from) {
          const { bytesWritten } = await named(file.write(from, 0, from.length, at));
          at += bytesWritten;
          return bytesWritten;
        },
        seek: (offset) => Promise.resolve(at = offset),
        sync: () => named(file.sync()),
        close: () => void file.close(),
      };
    },
    readFile: async (path) => new Uint8Array(await named(fs.readFile(path))),
    async *readDir(path) {
      for (const name of await named(fs.readdir(path))) yield { name };
    },
    mkdir: async (path, options) => void await named(fs.mkdir(path, options)),
    rename: (from, to) => named(fs.rename(from, to)),
    remove: (path) => named(fs.rm(path)),
  };
}
