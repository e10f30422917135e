/**
 * Files that are in a program's hands already: what a page's user picked or dropped, or what is to be handed out again, as
 * a map of blobs by path. And the browser's own downloads, which only take.
 */
import { FileError } from "../errors.ts";
import { blobSource, type ByteSource } from "./source.ts";
import { type FileStore, type Kind, partsOf, type Put } from "./store.ts";

/** Files by their path in the place: `unet/config.json`. What is written is put there. */
export function blobStore(files: Map<string, Blob>, writes = true): FileStore {
  const at = (path: string) => partsOf(path).join("/");
  const inside = (path: string) => {
    const folder = at(path);
    return folder === "" ? "" : `${folder}/`;
  };
  const look = (path: string): Kind | undefined => {
    if (files.has(at(path))) return "file";
    const folder = inside(path);
    return folder === "" || [...files.keys()].some((name) => name.startsWith(folder))
      ? "folder"
      : undefined;
  };
  return {
    look: (path) => Promise.resolve(look(path)),
    list(path) {
      const folder = inside(path), names = new Set<string>();
      for (const name of files.keys()) {
        if (name.startsWith(folder)) names.add(name.slice(folder.length).split("/")[0]);
      }
      return Promise.resolve([...names]);
    },
    // async, so that what is missing rejects
    // deno-lint-ignore require-await
    async open(path): Promise<ByteSource> {
      const file = files.get(at(path));
      if (file) return blobSource(file, path);
      throw look(path)
        ? new FileError(path, "is a folder", "Name a file in it")
        : new FileError(path, "is not among the files that were given", "Give it as well");
    },
    ...(writes && {
      write: async (path: string, fill: (put: Put) => Promise<void>) => {
        nameIn(path);
        files.set(at(path), await gathered(fill));
      },
    }),
  };
}

/** Files of a page: those of `<input type="file" webkitdirectory>` or of a drop. A folder that all lie in is left out. */
export function pickedStore(files: Iterable<Blob>): FileStore {
  const named = [...files].map((file): [string[], Blob] => {
    const { name, webkitRelativePath } = file as File;
    return [partsOf(`:${webkitRelativePath || name}`), file];
  });
  const [first] = named[0]?.[0] ?? [];
  const within = named.every(([parts]) => parts.length > 1 && parts[0] === first) ? 1 : 0;
  return blobStore(
    new Map(named.map(([parts, file]) => [parts.slice(within).join("/"), file])),
    false,
  );
}

/** A browser's downloads: what is written appears among them, whole, under its name. */
export const downloads: FileStore = {
  look: () => Promise.resolve(undefined),
  list: () => Promise.resolve([]),
  open: (path) =>
    Promise.reject(
      new FileError(path, "is a download, which a page can't read", "Let it be picked"),
    ),
  async write(path, fill) {
    const name = nameIn(path);
    const { document } = globalThis as { document?: PageLike };
    if (!document) {
      throw new FileError(
        path,
        "can't be downloaded from here, where there is no page",
        "Write it to opfs: or to a Map that is mounted, and let the page hand it out",
      );
    }
    const url = URL.createObjectURL(await gathered(fill));
    const link = document.createElement("a");
    Object.assign(link, { href: url, download: name });
    link.click();
    // The browser takes it after this turn.
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  },
};

/** What is used of a page. */
interface PageLike {
  createElement(name: "a"): { click(): void };
}

/** The last part of a path that is to be written. */
function nameIn(path: string): string {
  const name = /[/\\]$/.test(path) ? undefined : partsOf(path).at(-1);
  if (name === undefined) {
    throw new FileError(path, "is not the name of a file to write", "Add a file name");
  }
  return name;
}

async function gathered(fill: (put: Put) => Promise<void>): Promise<Blob> {
  let all = new Blob([]);
  // A blob of blobs: what is in one already need not stay in memory.
  await fill((bytes) => {
    all = new Blob([all, bytes as Uint8Array<ArrayBuffer>]);
    return Promise.resolve();
  });
  return all;
}
