/**
 * Which place a path is of, by what it begins with: `https://…` a server, `opfs:` a browser's own storage, `download:` its
 * downloads, the name of what was mounted; anything else a disk, or, in a page, an address relative to it.
 *
 * Why paths stay texts: what reads a model, a delta or a picture is written once, and a message names what was asked for.
 */
import { expectKinds, having, TEXT } from "../../tensor/kinds.ts";
import { FileError } from "../errors.ts";
import { blobStore, downloads, pickedStore } from "./blobs.ts";
import { diskStore } from "./disk.ts";
import { type FolderHandle, handleStore, ownStorage } from "./handles.ts";
import type { FileStore } from "./store.ts";
import { system } from "./system.ts";
import { webFolder } from "./web.ts";

const web = webFolder();

/** Places that are always there. */
const OWN: Readonly<Record<string, FileStore>> = {
  http: web,
  https: web,
  opfs: ownStorage,
  download: downloads,
};

const mounted = new Map<string, FileStore>();

/** The name of a place; one letter is a drive of Windows. */
const NAME = /^([a-z][a-z0-9+.-]+):/i;

let disk: Promise<FileStore> | undefined;

/** The place that a path is of. */
export async function storeOf(path: string): Promise<FileStore> {
  const name = NAME.exec(path)?.[1].toLowerCase();
  const store = name === undefined ? undefined : mounted.get(name) ?? OWN[name];
  return store ?? await (disk ??= system().then((found) => found ? diskStore(found) : web));
}

/** What {@linkcode mount} takes. */
export type Mountable = FileStore | FolderHandle | Map<string, Blob> | Iterable<Blob>;

/**
 * Gives files a name under which paths find them, `name:` for all of them, until the page or the program ends. It may be
 * taken wherever a path is: `loadPipeline(device, mount("sd", input.files))`, `loadDelta("sd:/deltas/dog.safetensors")`.
 *
 * - the files of `<input type="file" webkitdirectory>`, of a drop (see {@linkcode droppedFiles}), or any files: to be read;
 * - a handle of a folder, of `showDirectoryPicker`: to be read, and written if the user lets the page;
 * - a `Map` of blobs by path: to be read, and what is written is put there;
 * - a {@linkcode FileStore} of your own, or {@linkcode webFolder}.
 *
 * A second place of the same name takes the first one's.
 *
 * @param name two or more letters, digits, `+`, `.` or `-`
 * @returns the path of the whole
 * @throws RangeError for a name that paths can't have, or that stands for something else
 * @throws TypeError for what is none of these
 */
export function mount(name: string, files: Mountable): string {
  expectKinds("mount", { name: [name, TEXT] });
  const key = name.toLowerCase();
  if (!NAME.test(`${name}:`) || NAME.exec(`${name}:`)![1] !== name || Object.hasOwn(OWN, key)) {
    const own = Object.keys(OWN).join(", ");
    throw new RangeError(
      `mount: "${name}" can't be the name of a place: take two or more letters and digits, and not ${own}`,
    );
  }
  mounted.set(key, placeOf(files));
  return `${name}:`;
}

function placeOf(files: Mountable): FileStore {
  if (files instanceof Map) return blobStore(files);
  if (typeof files === "object" && files !== null) {
    if ("getFileHandle" in files) return handleStore(() => Promise.resolve(files));
    if ("look" in files && "open" in files) return files;
    if (Symbol.iterator in files) {
      const all = [...files];
      if (all.every((file) => file instanceof Blob)) return pickedStore(all);
    }
  }
  throw new TypeError(
    "mount: takes files, a handle of a folder, a Map of blobs, or an object with look and open",
  );
}

/** What is used of an entry of a drop. */
interface Dropped {
  readonly isFile: boolean;
  readonly fullPath: string;
  file?(then: (file: File) => void, otherwise: (why: unknown) => void): void;
  createReader?(): {
    readEntries(then: (entries: Dropped[]) => void, otherwise: (why: unknown) => void): void;
  };
}

/**
 * The files of a drop, those in dropped folders among them, for {@linkcode mount}. To be called while the event is handled,
 * since what was dropped is forgotten after it.
 *
 * @param transfer `event.dataTransfer` of a `drop`
 */
export async function droppedFiles(
  transfer: { readonly items: Iterable<{ webkitGetAsEntry(): unknown }> },
): Promise<Map<string, Blob>> {
  expectKinds("droppedFiles", {
    transfer: [transfer, having("what was dropped: a DataTransfer", "items")],
  });
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry() as Dropped | null);
  const files = new Map<string, Blob>();
  const walk = async (entry: Dropped): Promise<void> => {
    if (entry.isFile) {
      const file = await new Promise<File>((then, otherwise) => entry.file!(then, otherwise));
      files.set(entry.fullPath.replace(/^\/+/, ""), file);
      return;
    }
    const reader = entry.createReader!();
    // A reader gives a hundred at a time, and nothing at its end.
    for (;;) {
      const some = await new Promise<Dropped[]>((then, otherwise) =>
        reader.readEntries(then, otherwise)
      );
      if (!some.length) return;
      for (const one of some) await walk(one);
    }
  };
  const real = entries.filter((entry) => entry !== null);
  for (const entry of real) await walk(entry);
  if (real.length !== 1 || real[0].isFile) return files;
  // What was dropped is one folder: that is what the name stands for.
  const cut = real[0].fullPath.replace(/^\/+/, "").length + 1;
  return new Map([...files].map(([path, file]) => [path.slice(cut), file]));
}

/** Refuses to write where that can't be. @throws FileError */
export async function writableStore(path: string): Promise<Required<Pick<FileStore, "write">>> {
  const store = await storeOf(path);
  if (store.write) return store as Required<Pick<FileStore, "write">>;
  throw new FileError(
    path,
    "lies where nothing can be written",
    "Name a path of opfs:, of download:, or of a folder or a Map that is mounted",
  );
}
