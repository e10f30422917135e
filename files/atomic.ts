/**
 * Files that appear whole or not at all.
 *
 * Why: a training run may be killed at any instant, and a checkpoint that looks like one but is half one is worse than
 * none. Everything in the project that writes a file a user keeps goes through here.
 */
import { FileError } from "./errors.ts";
import { entryAt, joined, namesIn } from "./paths.ts";

/** The name of a file that is not written to its end yet, around the name that it is to have. */
export const PARTIAL = /^\.(.*)\.\d+-\d+\.partial$/;

/**
 * Writes `path` so that at every instant it is either what it was or the complete new content: a temporary file beside
 * it is filled, flushed to the disk and renamed over it. On any error the temporary file is removed.
 *
 * @param write fills the file, front to back; it may await
 * @throws FileError naming `path` if the folder is missing, the disk is full, …; whatever `write` itself throws passes
 */
export async function writeFileAtomicBy(
  path: string,
  write: (put: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
): Promise<void> {
  const { folder, base } = split(path);
  // By chance, and not by counting: where every container has the same few process numbers, the same name would be left.
  const temporary = `${folder}.${base}.${Deno.pid}-${Math.floor(Math.random() * 2 ** 40)}.partial`;
  let file: Deno.FsFile;
  try {
    file = await Deno.open(temporary, { write: true, createNew: true });
  } catch (error) {
    throw notWritable(error, path, folder);
  }
  let open = true;
  try {
    await write(async (bytes) => {
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
      await Deno.rename(temporary, path);
    } catch (error) {
      throw FileError.from(error, path, "writing it");
    }
  } catch (error) {
    if (open) file.close();
    await Deno.remove(temporary).catch(() => {});
    throw error;
  }
  await syncFolder(folder || ".");
}

/** Writes a whole file in one go, whole or not at all: see {@linkcode writeFileAtomicBy}. Text is written as UTF-8. */
export async function writeFileAtomic(path: string, content: Uint8Array | string): Promise<void> {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  await writeFileAtomicBy(path, (put) => put(bytes));
}

/**
 * Removes what writers left in a folder that were killed before they had written a file.
 *
 * @param names of the files, or patterns of theirs, with slashes as in `Output`: what others are writing beside them stays
 */
export async function removePartial(
  folder: string,
  names: readonly (string | RegExp)[],
): Promise<void> {
  const is = (name: string) =>
    names.some((one) => typeof one === "string" ? one === name : one.test(name));
  for (const name of await namesIn(folder || ".")) {
    const path = joined(folder, name);
    if (await entryAt(path) === "folder") {
      const inside = names.flatMap((one) =>
        typeof one === "string" && one.startsWith(`${name}/`) ? [one.slice(name.length + 1)] : []
      );
      if (is(`${name}/`)) await removePartial(path, [/^/]);
      else if (inside.length) await removePartial(path, inside);
      continue;
    }
    const [, base] = PARTIAL.exec(name) ?? [];
    if (base !== undefined && is(base)) await Deno.remove(path);
  }
}

/** Without this, a power cut may undo the rename. Not every system lets a folder be opened: then there is nothing to do. */
async function syncFolder(folder: string): Promise<void> {
  try {
    using handle = await Deno.open(folder, { read: true });
    await handle.sync();
  } catch {
    // the file itself is safe
  }
}

function split(path: string): { folder: string; base: string } {
  const cut =
    Math.max(path.lastIndexOf("/"), Deno.build.os === "windows" ? path.lastIndexOf("\\") : -1) + 1;
  const base = path.slice(cut);
  if (base === "" || base === "." || base === "..") {
    throw new FileError(path, "is not the name of a file to write", "Add a file name");
  }
  return { folder: path.slice(0, cut), base };
}

function notWritable(error: unknown, path: string, folder: string): FileError {
  if (error instanceof Deno.errors.NotFound) {
    const fault = `can't be written, since the folder ${folder || "."} does not exist`;
    return new FileError(path, fault, "Create the folder first, or check the path", {
      cause: error,
    });
  }
  return FileError.from(error, path, "creating it");
}
