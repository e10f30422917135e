/**
 * Where files lie together: a folder, or one in a tar or zip archive. What looks for pictures and captions looks at this,
 * so that the same rules hold for a folder and for the archive of it.
 */
import { FileError } from "./errors.ts";
import { isFile, isFolder, namesIn } from "./paths.ts";
import { type ByteSource, fileSource, readBytes } from "./source.ts";
import { tarMembers } from "./archives/tar.ts";
import { decodeText } from "./text.ts";
import { visibleLine } from "./visible.ts";
import { openZip, readEntry } from "./archives/zip.ts";

/** Files that lie together. */
export interface Place {
  /** What to call it in messages: the path of a folder, or an archive and the path in it. */
  readonly name: string;
  /** Names of its files, sorted as people sort: 2 before 10. Hidden ones are left out. */
  readonly files: readonly string[];
  /** Names of what else is in it; those of folders end in a slash. Folders of an archive are places of their own. */
  readonly rest: readonly string[];
  /** What to call a file in messages. */
  path(file: string): string;
  /** Whether there is such a file; it may lie deeper. */
  has(file: string): Promise<boolean>;
  /** Its bytes. Throws {@linkcode FileError} if there is no such file. */
  read(file: string): Promise<Uint8Array>;
}

/** Reads a file of a place as text, whatever its encoding. */
export const readTextIn = async (place: Place, file: string): Promise<string> =>
  decodeText(await place.read(file), place.path(file));

const collator = new Intl.Collator("en", { numeric: true });
/** Compares names: 2 before 10. */
export const asPeopleSort = (a: string, b: string): number =>
  collator.compare(a, b) || (a < b ? -1 : 1);

/** What systems leave in folders and archives by themselves. */
const isHidden = (name: string): boolean => /^\.|^(thumbs\.db|desktop\.ini|__MACOSX)$/i.test(name);

/** Without the slashes at its end. */
export const bare = (path: string): string => path.replace(/(?<=.)[/\\]+$/, "");

/**
 * A folder. Throws {@linkcode FileError} if it is missing or none, or lies on a server.
 *
 * @param listed whether its list is wanted, which servers don't have
 */
export async function openFolder(path: string, listed = true): Promise<Place> {
  const root = bare(path);
  const files: string[] = [], rest: string[] = [];
  for (
    const name of (await namesIn(path, listed ? undefined : [])).filter((name) => !isHidden(name))
      .sort(asPeopleSort)
  ) {
    if (await isFile(`${root}/${name}`)) files.push(name);
    else rest.push(await isFolder(`${root}/${name}`) ? `${name}/` : name);
  }
  const at = (file: string) => /^([/\\]|\w:)/.test(file) ? file : `${root}/${file}`;
  return {
    name: root,
    files,
    rest,
    path: at,
    has: (file) => isFile(at(file)),
    read: (file) => readBytes(at(file)),
  };
}

/** Takes a remark for the user. */
export type Remark = (text: string) => void;

/** Names that a remark shows. */
const SHOWN = 5;

/** Says what of a place is not used, with the count of what is. */
export function remarkOn(
  place: Place,
  count: number,
  what: "picture" | "archive",
  used: ReadonlySet<string>,
  remark: Remark,
): void {
  const left = [
    ...place.files.filter((file) => !used.has(file)),
    ...place.rest,
  ];
  if (!left.length) return;
  const more = left.length > SHOWN ? ` and ${left.length - SHOWN} more` : "";
  remark(visibleLine(
    `${place.name}: ${count} ${what}${count === 1 ? "" : "s"} used; left out: ` +
      `${left.slice(0, SHOWN).join(", ")}${more}`,
  ));
}

/** A file in an archive, which can be read when the archive is opened again. */
interface Member {
  readonly name: string;
  read(source: ByteSource): Promise<Uint8Array>;
}

/** Which archive a path names, by its ending. */
const TAR = /\.(tar|tgz|tar\.\w+)$/i, ZIP = /\.(zip|cbz)$/i;

/** Whether a name is that of an archive that {@linkcode openArchive} opens. */
export const isArchive = (name: string): boolean => TAR.test(name) || ZIP.test(name);

/** An archive, looked through. */
export interface Archive {
  /** Its folders that hold files; the outermost is one of them. */
  readonly places: readonly Place[];
  /** What its files are called in messages, in the order in which they lie in it. */
  readonly order: readonly string[];
}

/**
 * Looks through an archive.
 *
 * @throws FileError where the archive is missing, damaged, cut short or compressed as a whole
 */
export async function openArchive(path: string): Promise<Archive> {
  const source = await fileSource(path);
  const members = new Map<string, Member>();
  try {
    for await (const member of ZIP.test(path) ? zipMembers(source) : tarFiles(source)) {
      members.set(member.name, member);
    }
  } finally {
    source.close();
  }
  const folders = new Map<string, string[]>();
  for (const name of members.keys()) {
    const [folder, file] = splitName(name);
    if (name.split("/").some(isHidden)) continue;
    const held = folders.get(folder);
    if (held) held.push(file);
    else folders.set(folder, [file]);
  }
  return {
    places: [...folders].map(([folder, files]) => placeIn(path, folder, files, members)),
    order: [...members.keys()].map((name) => `${path}: ${name}`),
  };
}

const splitName = (name: string): [folder: string, file: string] => {
  const cut = name.lastIndexOf("/") + 1;
  return [name.slice(0, cut), name.slice(cut)];
};

/** @param folder path in the archive with a slash at its end, or nothing */
function placeIn(
  archive: string,
  folder: string,
  files: string[],
  members: ReadonlyMap<string, Member>,
): Place {
  const at = (file: string) => normal(folder + file);
  const path = (file: string) => `${archive}: ${at(file)}`;
  return {
    name: folder ? `${archive}: ${folder.slice(0, -1)}` : archive,
    files: files.sort(asPeopleSort),
    rest: [],
    path,
    has: (file) => Promise.resolve(members.has(at(file))),
    async read(file) {
      const member = members.get(at(file));
      if (!member) throw new FileError(path(file), "is not in the archive");
      const source = await fileSource(archive);
      try {
        return await member.read(source);
      } finally {
        source.close();
      }
    },
  };
}

/** A path without "." and "..". */
function normal(path: string): string {
  const parts: string[] = [];
  for (const part of path.replaceAll("\\", "/").split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "." && part !== "") parts.push(part);
  }
  return parts.join("/");
}

async function* tarFiles(source: ByteSource): AsyncGenerator<Member> {
  for await (const { name, offset, size } of tarMembers(source)) {
    yield { name: normal(name), read: (opened) => opened.read(offset, size) };
  }
}

async function* zipMembers(source: ByteSource): AsyncGenerator<Member> {
  for (const entry of (await openZip(source)).entries.values()) {
    if (/[/\\]$/.test(entry.name)) continue;
    yield {
      name: normal(entry.name),
      read: (opened) => readEntry(opened, entry, 0, entry.bytes),
    };
  }
}
