/**
 * Files that appear whole or not at all.
 *
 * Why: a training run may be killed at any instant, and a checkpoint that looks like one but is half one is worse than
 * none. Everything in the project that writes a file a user keeps goes through here.
 */
import { expectKinds, FUNCTION } from "../tensor/kinds.ts";
import { PATH } from "./given.ts";
import { entryAt, joined, namesIn, parentOf } from "./paths.ts";
import { fileSource } from "./source.ts";
import type { Put } from "./stores/store.ts";
import { storeOf, writableStore } from "./stores/stores.ts";

/** The name of a file on disk that is not written to its end yet, around the name that it is to have. */
export const PARTIAL = /^\.(.*)\.\d+-\d+\.partial$/;

/**
 * Writes `path` so that at every instant it is either what it was or the complete new content.
 *
 * @param write fills the file, front to back; it may await
 * @throws FileError naming `path` if the folder is missing, the disk is full, nothing can be written there, …; whatever
 *   `write` itself throws passes
 */
export async function writeFileAtomicBy(
  path: string,
  write: (put: Put) => Promise<void>,
): Promise<void> {
  await (await writableStore(path)).write(path, write);
}

/** Bytes that are copied at a time. */
const AT_ONCE = 2 ** 24;

/**
 * Copies a file from one place to another, whole or not at all: a model from a server into the browser's storage,
 * `copyFile("https://…/unet/config.json", "opfs:/sd/unet/config.json")`. Folders on the way are made.
 *
 * @param onProgress called with how many bytes are copied, and how many there are
 * @throws FileError naming the file that can't be read or written
 */
export async function copyFile(
  from: string,
  to: string,
  onProgress?: (done: number, total: number) => void,
): Promise<void> {
  expectKinds("copyFile", {
    from: [from, PATH],
    to: [to, PATH],
    "onProgress?": [onProgress, FUNCTION],
  });
  const source = await fileSource(from);
  try {
    const folder = parentOf(to);
    if (folder) await makeFolder(folder);
    await writeFileAtomicBy(to, async (put) => {
      for (let done = 0; done < source.size;) {
        const count = Math.min(AT_ONCE, source.size - done);
        await put(await source.read(done, count));
        done += count;
        onProgress?.(done, source.size);
      }
    });
  } finally {
    source.close();
  }
}

/** Makes a folder and those that it lies in, where they are not there. Throws {@linkcode FileError} if that can't be. */
export async function makeFolder(path: string): Promise<void> {
  await (await storeOf(path)).makeFolder?.(path);
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
