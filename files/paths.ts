/**
 * Questions about paths that are asked before a file is opened, so that the error can say what is missing.
 */
import { FileError } from "./errors.ts";

/** Whether there is a regular file (or a link to one) at `path`. */
export async function isFile(path: string): Promise<boolean> {
  return (await look(path))?.isFile ?? false;
}

/** Whether there is a folder (or a link to one) at `path`. */
export async function isFolder(path: string): Promise<boolean> {
  return (await look(path))?.isDirectory ?? false;
}

/** Names of everything in a folder, unsorted. Throws {@linkcode FileError} if it is missing or no folder. */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(folder))).map((entry) => entry.name);
  } catch (error) {
    // opening a file as a folder is reported under different names by different systems
    if (await isFile(folder)) throw new FileError(folder, "is a file where a folder is expected");
    throw FileError.from(error, folder, "listing it");
  }
}

async function look(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return undefined;
    }
    throw FileError.from(error, path, "looking at it");
  }
}
