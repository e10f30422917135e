/**
 * A place that one run writes to at a time: its folder is made, and a lock is taken there.
 *
 * Why a file lock and not only a file: the system lets go of it when its process is gone, however that ended, in
 * whichever container it ran and whoever has its number now. The process's number in the file is for people.
 */
import { crc32 } from "./archives/crc32.ts";
import { FileError } from "./errors.ts";
import { entryAt, folded, identityOf, joined, nameOf, parentOf, unseen } from "./paths.ts";

/** A place that is written to. */
export interface Output {
  /** As the user named it. */
  readonly path: string;
  /** The option that names it: "--out". */
  readonly flag: string;
  /**
   * What is written into a folder: names, with slashes where they lie deeper and one at the end where they are folders,
   * and patterns of names right in it, which have a slash at their ends where they are folders, too. Undefined: `path` is
   * a file.
   */
  readonly holds?: readonly (string | RegExp)[];
  /** What is written into the file: other endings of its name are refused, no ending is none. */
  readonly is?: { readonly what: string; readonly ending: string };
}

/**
 * Takes a place; disposed, it lets go, and removes the folders that it made and that are still empty.
 *
 * @throws FileError where it can't be written to, or another process has it
 */
export async function takePlace(output: Output): Promise<AsyncDisposable> {
  const stack = new AsyncDisposableStack(), folder = folderOf(output);
  try {
    stack.use(await makeFolder(folder, output.path));
    stack.use(await takeLock(folder, output));
    return stack;
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

/** The folder that an output is in, or is. */
export const folderOf = ({ path, holds }: Output): string => holds ? path : parentOf(path);

/** Makes a folder; disposed, it removes of it and of those above it what it made and is empty. */
async function makeFolder(folder: string, path: string): Promise<AsyncDisposable> {
  const made = await missing(folder);
  await mkdir(folder, path);
  return {
    async [Symbol.asyncDispose]() {
      for (const one of made) {
        if (!await Deno.remove(one).then(() => true, () => false)) return;
      }
    },
  };
}

/** Of a folder and those above it, those that are not there, the innermost first. */
export async function missing(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (let at = folder; at; at = parentOf(at)) {
    if (await unseen(entryAt(at), "folder") !== undefined) break;
    found.push(at);
  }
  return found;
}

async function mkdir(folder: string, path: string): Promise<void> {
  try {
    await Deno.mkdir(folder || ".", { recursive: true });
  } catch (error) {
    throw FileError.from(error, path, "making its folder");
  }
}

/** Takes the lock of a place; disposed, it lets go. */
async function takeLock(
  folder: string,
  { path, flag, holds }: Output,
): Promise<AsyncDisposable> {
  // A name of fixed length: with a long one in it, it might be too long for the system.
  const own = holds ? "" : `-${crc32(bytesOf(folded(nameOf(path)))).toString(16)}`;
  const file = joined(folder, `.moongate${own}.lock`);
  for (;;) {
    let opened: Deno.FsFile;
    try {
      opened = await Deno.open(file, { write: true, create: true });
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) {
        throw FileError.from(error, path, "writing into it");
      }
      // Another run that is just over has removed the folder, since it was empty.
      await mkdir(folder, path);
      continue;
    }
    if (!await locks(opened)) {
      opened.close();
      const number = await holderOf(file);
      throw new FileError(
        path,
        `is being written by another run${number ? `, process ${number}` : ""}`,
        `Wait until it is done, or name another place by ${flag}`,
      );
    }
    // Its last holder may have removed it between the two.
    const mine = await opened.stat(), same = `${mine.dev}:${mine.ino}`;
    if (mine.ino && await unseen(identityOf(file), same) !== same) {
      opened.close();
      continue;
    }
    await opened.truncate();
    await opened.write(bytesOf(`process ${Deno.pid}\n`));
    return {
      async [Symbol.asyncDispose]() {
        await Deno.remove(file).catch(() => {});
        opened.close();
      },
    };
  }
}

/** The number of the process that holds a lock, which writes it a moment after it has taken that; undefined where none comes. */
async function holderOf(file: string): Promise<string | undefined> {
  for (let tries = 0; tries < 25; tries++) {
    const [, number] = /^process (\d+)\n/.exec(await Deno.readTextFile(file).catch(() => "")) ?? [];
    if (number) return number;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Whether the lock of a file is ours now; where the file system knows no locks, it always is. */
async function locks(file: Deno.FsFile): Promise<boolean> {
  try {
    return await file.tryLock(true);
  } catch {
    return true;
  }
}

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
