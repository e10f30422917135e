/**
 * Which files of a folder a command made itself, noted there, so that it may make them again without being told to
 * overwrite, and never takes what somebody else put in their place.
 */
import { writeFileAtomic } from "./atomic.ts";
import { FileError } from "./errors.ts";
import { readJsonObject } from "./json.ts";
import { isFile, joined } from "./paths.ts";
import { sha256 } from "./sha256.ts";

/** The files of a folder that one command makes. */
export interface OwnFiles {
  /** Whether what is at a path is as the command left it; a file that is being made counts as that. */
  isOwn(path: string): Promise<boolean>;
  /** Makes a file by its name in the folder, and notes it. */
  make(name: string, write: (path: string) => Promise<void>): Promise<void>;
}

/** Opens the note of a folder, which need not be there. */
export async function ownFiles(folder: string, command: string): Promise<OwnFiles> {
  const note = `.moongate-${command}.json`, at = joined(folder, note);
  const known = await isFile(at) ? await noted(at) : {};
  const keep = (name: string, content: string) => {
    known[name] = content;
    return writeFileAtomic(at, `${JSON.stringify(known, undefined, 2)}\n`);
  };
  return {
    async isOwn(path) {
      const content = known[path.slice(joined(folder, "").length)];
      return content === BEING_MADE || content !== undefined && content === await digest(path);
    },
    async make(name, write) {
      const path = joined(folder, name);
      await keep(name, BEING_MADE);
      await write(path);
      await keep(name, await digest(path));
    },
  };
}

const BEING_MADE = "being made";

/** What a note says; a damaged one says nothing, so that nothing is replaced. */
async function noted(path: string): Promise<Record<string, unknown>> {
  try {
    return { ...await readJsonObject(path) };
  } catch (error) {
    if (error instanceof FileError) return {};
    throw error;
  }
}

/** The hash of a file. */
async function digest(path: string): Promise<string> {
  const bytes = await Deno.readFile(path).catch((error) => {
    throw FileError.from(error, path, "reading it");
  });
  return await sha256(bytes);
}
