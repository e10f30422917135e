/**
 * Questions about paths that are asked before a file is opened, so that the error can say what is missing.
 */
import { FileError } from "./errors.ts";
import { isMissing } from "./stores/disk.ts";
import { storeOf } from "./stores/stores.ts";

/** Whether there is a regular file (or a link to one) at `path`. */
export async function isFile(path: string): Promise<boolean> {
  return await (await storeOf(path)).look(path) === "file";
}

/**
 * Whether there is a folder (or a link to one) at `path`.
 *
 * @param signs names of files of which such a folder has one: by them it is known on a server, which tells of files only
 */
export async function isFolder(path: string, signs: readonly string[] = []): Promise<boolean> {
  const store = await storeOf(path);
  if (store.list) return await store.look(path) === "folder";
  return (await Promise.all(signs.map((name) => isFile(joined(path, name))))).some(Boolean);
}

/** Whether what is in a folder can be listed, which servers don't do. */
export const canList = async (folder: string): Promise<boolean> =>
  (await storeOf(folder)).list !== undefined;

/**
 * Names of everything in a folder, unsorted. Throws {@linkcode FileError} if it is missing or no folder.
 *
 * @param likely of a server, which can't list, those of these files that are there; without them it is refused
 */
export async function namesIn(folder: string, likely?: readonly string[]): Promise<string[]> {
  const store = await storeOf(folder);
  if (!store.list) {
    if (!likely) {
      const advice = "Name a file in it, an archive of it, or mount a folder";
      throw new FileError(folder, "can't be listed: a server tells of single files only", advice);
    }
    const there = await Promise.all(likely.map((name) => isFile(joined(folder, name))));
    return likely.filter((_, i) => there[i]);
  }
  try {
    return await store.list(folder);
  } catch (error) {
    // opening a file as a folder is reported under different names by different systems
    if (await isFile(folder)) throw new FileError(folder, "is a file where a folder is expected");
    throw error;
  }
}

/** What a disk has at a path: the commands alone ask further than for files and folders. */
async function look(path: string, stat = Deno.stat): Promise<Deno.FileInfo | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw FileError.from(error, path, "looking at it");
  }
}

/** What is at a path, a link's target being what counts; "link" is one that leads nowhere. */
export async function entryAt(
  path: string,
): Promise<"file" | "folder" | "other" | "link" | undefined> {
  const itself = await look(path, Deno.lstat);
  const found = itself?.isSymlink ? await look(path) : itself;
  if (!found) return itself && "link";
  return found.isFile ? "file" : found.isDirectory ? "folder" : "other";
}

/** What two paths to one thing have in common, whatever links they go through; undefined where there is nothing. */
export async function identityOf(path: string): Promise<string | undefined> {
  const found = await look(path || ".");
  if (!found) return undefined;
  return found.ino ? `${found.dev}:${found.ino}` : await realPath(path);
}

/** Whether a thing lies in a folder, at whatever depth and by whatever path; false where one of them does not exist. */
export async function isWithin(path: string, folder: string): Promise<boolean> {
  const [inner, outer] = [await realPath(path), await realPath(folder)];
  return inner !== undefined && outer !== undefined &&
    /^[/\\]/.test(inner.slice(outer.length)) && inner.startsWith(outer);
}

/** The folder of a path; "" where none is named. */
export function parentOf(path: string): string {
  const bare = path.replace(/(?<=[^/\\])[/\\]+$/, "");
  return bare.replace(/[^/\\]*$/, "").replace(/(?<=[^/\\])[/\\]+$/, "");
}

/** A path's last part; "" where it ends in a slash, and is of a folder. */
export const nameOf = (path: string): string => path.split(/[/\\]/).at(-1)!;

/** A name as file systems that don't tell cases and compositions apart have it. */
export const folded = (name: string): string => name.normalize("NFC").toLowerCase();

/** A path in a folder; "" is the current one. */
export const joined = (folder: string, name: string): string =>
  folder === "" ? name : `${folder.replace(/[/\\]+$/, "")}/${name}`;

/** A path without links; undefined where there is nothing. */
export async function realPath(path: string): Promise<string | undefined> {
  try {
    return await Deno.realPath(path || ".");
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw FileError.from(error, path, "looking at it");
  }
}

/** What was found, or something else where this process may not look: who writes there will see. */
export async function unseen<T>(found: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await found;
  } catch (error) {
    if ((error as Error).cause instanceof Deno.errors.NotCapable) return otherwise;
    throw error;
  }
}
