/**
 * What a command is about to write, claimed before it starts: what exists is not lost unless that was asked for, what is
 * read is never written to, and no two runs write to one place.
 */
import { FileError } from "./errors.ts";
import { PARTIAL, removePartial } from "./atomic.ts";
import {
  entryAt,
  folded,
  identityOf,
  isWithin,
  joined,
  nameOf,
  namesIn,
  parentOf,
  realPath,
  unseen,
} from "./paths.ts";
import { folderOf, missing, type Output, takePlace } from "./lock.ts";

export type { Output } from "./lock.ts";

/** What else is known of a command. */
export interface ClaimOptions {
  /** Files and folders that it reads: models, deltas, lists. */
  readonly reads?: readonly (string | undefined)[];
  /** Folders whose pictures it reads. */
  readonly pictures?: readonly (string | undefined)[];
  /** What exists may be replaced. */
  readonly overwrite?: boolean;
  /** Which of what exists may be replaced even so, by its path. */
  readonly mayReplace?: (path: string) => Promise<boolean>;
  /** What the files that exist are, in the form "an unfinished run", and what may be done about them. */
  readonly existing?: { readonly what: string; readonly advice: string };
}

/** Files in a folder that are read when the folder is: all but reports, and pictures where they are not asked for. */
const REPORT = /\.(svg|html)$/i, PICTURE = /\.(png|jpe?g|webp|gif|bmp|tiff?)$/i;
const CONFIG = /config\.json$/;

/** How many names a message lists. */
const SHOWN = 3;

/**
 * Claims places, making the folders that they lie in. Disposing lets go of them, and removes folders that are still empty.
 *
 * @throws FileError where a place can't be written to, is read by the same command, holds what would be lost, or is
 *   being written to by another process; nothing is left behind then
 */
export async function claim(
  outputs: readonly Output[],
  options: ClaimOptions = {},
): Promise<AsyncDisposable> {
  const stack = new AsyncDisposableStack();
  try {
    await refuseTwice(outputs);
    for (const output of outputs) await refuseKind(output);
    await refuseInputs(outputs, options);
    for (const output of outputs) await refuseEnding(output);
    for (const output of outputs) {
      stack.use(await takePlace(output));
      // Not before, when another run may be about to write.
      await refuseExisting(output, options);
      const names = output.holds ?? [nameOf(output.path)];
      await unseen(removePartial(folderOf(output), names), undefined);
    }
    return stack;
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

/** Where one name would be two things. */
async function refuseTwice(outputs: readonly Output[]): Promise<void> {
  const seen = new Map<string, string>(), folders = new Map<string, string>();
  for (const { path, flag, holds } of outputs) {
    const inside = holds?.filter((name) => typeof name === "string");
    for (const name of inside?.map((name) => joined(path, name.replace(/\/$/, ""))) ?? [path]) {
      const parent = parentOf(name);
      const folder = folders.get(parent) ?? await unseen(identityOf(parent), parent) ?? parent;
      folders.set(parent, folder);
      const key = `${folder}/${folded(nameOf(name))}`;
      const other = seen.get(key);
      if (other !== undefined) {
        throw new FileError(
          name,
          other === flag
            ? `would be written twice by ${flag}`
            : `would be written by both ${other} and ${flag}`,
          "Name two places",
        );
      }
      seen.set(key, flag);
    }
  }
}

/** A file where a folder belongs, or the reverse: no `--overwrite` helps. */
async function refuseKind({ path, flag, holds }: Output): Promise<void> {
  const must = async (path: string, wanted: "file" | "folder", advice?: string) => {
    const found = await entryAt(path);
    if (found === undefined || found === wanted) return;
    if (found === "link") throw new FileError(path, "is a link to nothing", advice);
    const is = found === "other" ? "no file and no folder" : `a ${found}`;
    throw new FileError(path, `is ${is} where a ${wanted} is expected`, advice);
  };
  if (!path || !holds && !nameOf(path)) {
    const wanted = holds ? "folder" : "file";
    throw new FileError(path, `is not the name of a ${wanted}`, `Name one by ${flag}`);
  }
  const another = `Name another by ${flag}`;
  await must(path, holds ? "folder" : "file", another);
  const above = (await missing(parentOf(path))).at(-1), first = parentOf(above ?? path);
  if (first) await unseen(must(first, "folder", another), undefined);
  if (!holds || await entryAt(path) === undefined) return;
  const listed = await namesOf(path);
  for (const name of holds) {
    if (typeof name !== "string") {
      for (const found of listed.filter((n) => name.test(`${n}/`) && !name.test(n))) {
        await must(joined(path, found), "folder");
      }
      continue;
    }
    const parts = name.split("/").filter(Boolean);
    for (let n = 1; n <= parts.length; n++) {
      const wanted = n < parts.length || name.endsWith("/") ? "folder" : "file";
      await must(joined(path, parts.slice(0, n).join("/")), wanted);
    }
  }
}

/** Endings of files; a folder that is made is not called so. */
const FILE =
  /\.(png|jpe?g|webp|gif|bmp|tiff?|svg|html?|json|txt|safetensors|bin|ckpt|pth?|np[yz]|zip)$/i;

/** A name that says that something else is there than what is written: no `--overwrite` helps. */
async function refuseEnding({ path, flag, holds, is }: Output): Promise<void> {
  const [ending] = /\.[a-z]\w*$/i.exec(nameOf(path)) ?? [];
  if (holds) {
    if (!FILE.test(path) || await entryAt(path) !== undefined) return;
    throw new FileError(
      path,
      `ends in ${ending} as a file does, and what is written is a folder`,
      `Name one by ${flag}`,
    );
  }
  if (!is || !ending || ending.toLowerCase() === is.ending) return;
  throw new FileError(
    path,
    `ends in ${ending}, and what is written is ${is.what}`,
    `Name a file that ends in ${is.ending} by ${flag}`,
  );
}

/**
 * Refuses to write to what is read, whether that was asked for or not.
 *
 * @throws FileError naming both
 */
export async function refuseInputs(
  outputs: readonly Output[],
  options: Pick<ClaimOptions, "reads" | "pictures">,
): Promise<void> {
  for (const output of outputs) await refuseInput(output, options);
}

async function refuseInput(
  output: Output,
  { reads = [], pictures = [] }: ClaimOptions,
): Promise<void> {
  const { path, flag, holds } = output;
  const refuse = (path: string, input: string) => {
    const as = path === input ? "" : ` (as ${input})`;
    throw new FileError(
      path,
      `is read by the same command${as}, and would be written over`,
      `Name another place by ${flag}`,
    );
  };
  const inputs = [...reads, ...pictures].filter((p) => p !== undefined);
  const known = new Map<string, string>();
  for (const input of inputs) {
    const identity = await identityOf(input);
    if (identity !== undefined) known.set(identity, input);
  }
  const itself = known.get(await identityOf(path) ?? "");
  if (itself !== undefined) refuse(path, itself);
  for (const existing of holds ? await existingIn(output) : [path]) {
    const identity = await identityOf(existing);
    if (identity === undefined) continue;
    if (known.has(identity)) refuse(existing, known.get(identity)!);
    for (const input of inputs) {
      if (await isWithin(input, existing)) refuse(existing, input);
      if (REPORT.test(existing) || PICTURE.test(existing) && !pictures.includes(input)) continue;
      if (await isReadWith(existing, input)) refuse(existing, input);
    }
  }
}

/** Whether who reads a folder reads a file in it: right in it, or in a component's folder of a model. */
async function isReadWith(file: string, folder: string): Promise<boolean> {
  if (!await isWithin(file, folder)) return false;
  const parent = parentOf(await realPath(file) ?? file);
  return await identityOf(parent) === await identityOf(folder) ||
    (await namesOf(parent || ".")).some((name) => CONFIG.test(name));
}

/** What is there already stays, unless it may be replaced. */
async function refuseExisting(
  output: Output,
  { overwrite, mayReplace, existing }: ClaimOptions,
): Promise<void> {
  if (overwrite) return;
  const { path, flag, holds } = output;
  const lost: string[] = [];
  for (const found of await existingIn(output)) {
    if (!await mayReplace?.(found)) lost.push(found);
  }
  if (!lost.length) return;
  if (!holds) {
    throw new FileError(
      path,
      "is there already",
      `Name another by ${flag}, or say --overwrite`,
    );
  }
  const names = lost.map((found) => found.slice(joined(path, "").length));
  const more = names.length > SHOWN ? ` and ${names.length - SHOWN} more` : "";
  const listed = names.slice(0, SHOWN).join(", ") + more;
  const { what, advice } = existing ?? {};
  throw new FileError(
    path,
    what ? `holds ${what} (${listed})` : `holds ${listed} already`,
    `${advice ?? ""}Name another folder by ${flag}, or say --overwrite`,
  );
}

/** Paths of all that is there of an output; empty folders are nothing, and so are files that were not finished. */
async function existingIn({ path, holds }: Output): Promise<string[]> {
  if (!holds) return await entryAt(path) === undefined ? [] : [path];
  const found = new Set<string>(), listed = (await namesOf(path)).sort();
  for (const name of holds) {
    const names = typeof name === "string"
      ? [name]
      : listed.filter((n) => name.test(n) || name.test(`${n}/`));
    for (const one of names) {
      const inside = joined(path, one.replace(/\/$/, "")), kind = await entryAt(inside);
      if (kind === undefined) continue;
      if (kind === "folder" && (await namesOf(inside)).every((n) => PARTIAL.test(n))) continue;
      found.add(inside);
    }
  }
  return [...found];
}

/** Names in a folder; none where there is none, be it that another run has just removed it. */
async function namesOf(folder: string): Promise<string[]> {
  try {
    return await namesIn(folder);
  } catch (error) {
    if ((error as Error).cause instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}
