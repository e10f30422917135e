// Places that files come from and go to, where no browser is needed: servers, maps, handles, names of places.
import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { FileError } from "../files/errors.ts";
import { copyFile, makeFolder, writeFileAtomicBy } from "../files/atomic.ts";
import { openModelFolder } from "../files/models/folder.ts";
import { isFile, isFolder, namesIn } from "../files/paths.ts";
import { openSafetensors } from "../files/safetensors/read.ts";
import { fileSource, readBytes } from "../files/source.ts";
import type { FileHandle, FolderHandle } from "../files/stores/handles.ts";
import { droppedFiles, mount } from "../files/stores/stores.ts";
import { webFolder } from "../files/stores/web.ts";

const PAGE = 2 ** 20;
const large = Uint8Array.from({ length: 3 * PAGE + 5 }, (_, i) => (i * 2654435761) >>> 24);

/** How a server answers. */
interface Manners {
  /** Whether it gives parts, says how much there is in all, and answers HEAD. */
  ranges?: boolean;
  total?: boolean;
  head?: boolean;
  /** Answers that fail first, once the file is open. */
  failing?: number;
  etag?: () => string;
}

/** A server of one large file and an empty one; what is asked of it is noted. */
function serve({ ranges = true, total = true, head = true, failing = 0, etag }: Manners = {}) {
  const asked: string[] = [];
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
    const path = new URL(request.url).pathname, range = request.headers.get("range");
    asked.push(`${request.method} ${path}${range ? ` ${range}` : ""}`);
    if (request.method === "HEAD" && !head) return new Response(null, { status: 405 });
    const bytes = path === "/large" ? large : path === "/empty" ? new Uint8Array(0) : undefined;
    if (!bytes) return new Response("none", { status: 404 });
    if (asked.length > 1 && failing-- > 0) return new Response("later", { status: 503 });
    const headers = new Headers({ "content-type": "application/octet-stream" });
    if (etag) headers.set("etag", etag());
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(range ?? "") ?? [];
    if (!ranges || from === undefined) {
      headers.set("content-length", String(bytes.length));
      return new Response(request.method === "HEAD" ? null : bytes, { headers });
    }
    if (Number(from) >= bytes.length) return new Response("", { status: 416 });
    const part = bytes.subarray(Number(from), Number(to) + 1);
    if (total) headers.set("content-range", `bytes ${from}-${to}/${bytes.length}`);
    return new Response(part, { status: 206, headers });
  });
  const { port } = server.addr;
  return { server, asked, at: (name: string) => `http://127.0.0.1:${port}/${name}` };
}

Deno.test("a server's file is read in parts, and pages of it are kept", async () => {
  for (const total of [true, false]) {
    const { server, asked, at } = serve({ total });
    await using _ = server;
    const source = await fileSource(at("large"));
    assertEquals(source.size, large.length);
    const before = asked.length;
    for (const [from, length] of [[0, 8], [5, 0], [100, 1000], [PAGE - 3, 6], [PAGE + 9, 9]]) {
      assertEquals(await source.read(from, length), large.slice(from, from + length));
    }
    assertEquals(asked.length - before, 1, "one page more");
    assertEquals(await source.read(2, 2 * PAGE), large.slice(2, 2 + 2 * PAGE));
    assertEquals(await source.read(large.length - 4, 4), large.slice(-4));
    await assertRejects(() => source.read(large.length - 4, 5), FileError, "can't be read");
    source.close();
  }
});

Deno.test("a server that gives no parts is asked once for all", async () => {
  const { server, asked, at } = serve({ ranges: false });
  await using _ = server;
  const source = await fileSource(at("large"));
  assertEquals(await source.read(PAGE, PAGE), large.slice(PAGE, 2 * PAGE));
  assertEquals(asked.length, 1);
});

Deno.test("empty files, servers without HEAD, what is missing", async () => {
  const { server, at } = serve({ head: false });
  await using _ = server;
  assertEquals((await fileSource(at("empty"))).size, 0);
  assertEquals(await isFile(at("empty")), true);
  assertEquals(await isFile(at("large")), true);
  assertEquals(await isFile(at("none")), false);
  assertEquals(await isFolder(at("").slice(0, -1), ["none", "large"]), true);
  assertEquals(await isFolder(at("").slice(0, -1)), false);
  assertEquals(await namesIn(at(""), ["none", "large"]), ["large"]);
  await assertRejects(() => namesIn(at("")), FileError, "can't be listed");
  await assertRejects(() => readBytes(at("none")), FileError, "the server answers 404");
  await assertRejects(() => fileSource(at("none")), FileError, "the server answers 404");
  await assertRejects(() => openModelFolder(at("none")), FileError, "holds no model_index.json");
});

Deno.test("what fails for a moment is asked for again; what changes meanwhile is refused", async () => {
  const failing = serve({ failing: 1 });
  await using _ = failing.server;
  const source = await fileSource(failing.at("large"));
  assertEquals(await source.read(2 * PAGE, 4), large.slice(2 * PAGE, 2 * PAGE + 4));
  let n = 0;
  const changing = serve({ etag: () => `"${n++}"` });
  await using _other = changing.server;
  const other = await fileSource(changing.at("large"));
  await assertRejects(() => other.read(PAGE, 4), FileError, "was changed on its server");
});

Deno.test("a mounted server is asked with the headers that were given", async () => {
  const heard: (string | null)[] = [];
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
    heard.push(request.headers.get("authorization") + new URL(request.url).pathname);
    return new Response("x");
  });
  const init = { headers: { authorization: "Bearer me" } };
  mount("hub", webFolder(`http://127.0.0.1:${server.addr.port}/sd/`, init));
  await readBytes("hub:/unet/config.json");
  await fileSource("hub:vae #1.bin");
  assertEquals(heard, ["Bearer me/sd/unet/config.json", "Bearer me/sd/vae%20%231.bin"]);
});

/** A folder in memory that behaves as a browser's handle does. */
function handle(): FolderHandle {
  const inside = new Map<string, FolderHandle | FileHandle>();
  const fault = (name: string) => Object.assign(new Error(name), { name });
  const find = <K extends "file" | "directory">(
    kind: K,
    name: string,
    make?: () => FolderHandle | FileHandle,
  ) => {
    const found = inside.get(name);
    if (found && found.kind !== kind) throw fault("TypeMismatchError");
    if (!found && !make) throw fault("NotFoundError");
    if (!found) inside.set(name, make!());
    return Promise.resolve(inside.get(name)!);
  };
  const file = (): FileHandle => {
    let content: Uint8Array<ArrayBuffer>[] = [];
    return {
      kind: "file",
      getFile: () => Promise.resolve(new File(content, "")),
      createWritable() {
        const parts: Uint8Array<ArrayBuffer>[] = [];
        return Promise.resolve({
          write: (bytes: Uint8Array<ArrayBuffer>) =>
            Promise.resolve(void parts.push(bytes.slice())),
          close: () => Promise.resolve(void (content = parts)),
          abort: () => Promise.resolve(),
        });
      },
    };
  };
  return {
    kind: "directory",
    async *keys() {
      yield* inside.keys();
    },
    // async, so that what is missing rejects
    getDirectoryHandle: async (name, o) =>
      await find("directory", name, o?.create ? handle : undefined) as FolderHandle,
    getFileHandle: async (name, o) =>
      await find("file", name, o?.create ? file : undefined) as FileHandle,
    removeEntry: (name) => Promise.resolve(void inside.delete(name)),
  };
}

Deno.test("maps and handles: what is written is read, listed, and whole or not at all", async () => {
  const folder = new URL("../world/miniature", import.meta.url).pathname;
  for (const place of [mount("map", new Map<string, Blob>()), mount("handle", handle())]) {
    const path = `${place}/some/vae.safetensors`;
    await copyFile(`${folder}/vae/diffusion_pytorch_model.safetensors`, path);
    const [here, there] = [path, `${folder}/vae/diffusion_pytorch_model.safetensors`];
    assertEquals(await readBytes(here), await readBytes(there));
    using source = await openSafetensors(path);
    assertEquals(source.tensors.size > 10, true);
    assertEquals(await namesIn(place), ["some"]);
    assertEquals(await namesIn(`${place}/some/../some`), ["vae.safetensors"]);
    assertEquals([await isFile(path), await isFolder(path)], [true, false]);
    assertEquals([await isFile(`${place}/some`), await isFolder(`${place}/some`)], [false, true]);
    assertEquals(await isFolder(place), true);
    assertEquals(await isFile(`${place}/none/at/all`), false);
    await makeFolder(`${place}/new/folder`);
    for (const name of ["some/vae.safetensors", "some/new.bin"]) {
      const stopped = writeFileAtomicBy(`${place}/${name}`, async (put) => {
        await put(Uint8Array.of(1, 2, 3));
        throw new Error("the power went");
      });
      await assertRejects(() => stopped, Error, "the power went");
    }
    assertEquals(await namesIn(`${place}/some`), ["vae.safetensors"]);
    assertEquals((await readBytes(path)).length, (await readBytes(there)).length);
    await assertRejects(
      () => writeFileAtomicBy(`${place}/some/`, () => Promise.resolve()),
      FileError,
      "Add a file name",
    );
    await assertRejects(() => readBytes(`${place}/none`), FileError, "none");
  }
});

Deno.test("picked files lose the folder that all lie in; dropped ones keep their paths", async () => {
  const file = (path: string) =>
    Object.defineProperty(new File([path], path.split("/").at(-1)!), "webkitRelativePath", {
      value: path,
    });
  const place = mount("picked", [file("sd/unet/config.json"), file("sd/model_index.json")]);
  assertEquals((await namesIn(place)).sort(), ["model_index.json", "unet"]);
  await assertRejects(
    () => writeFileAtomicBy(`${place}/a`, () => Promise.resolve()),
    FileError,
    "nothing can be written",
  );
  assertEquals(await namesIn(mount("one", [new File(["x"], "dog.safetensors")])), [
    "dog.safetensors",
  ]);
  assertEquals(await namesIn(mount("none", [])), []);

  const leaf = (path: string) => ({
    isFile: true,
    fullPath: path,
    file: (then: (f: File) => void) => then(new File([path], "")),
  });
  const batches = [[leaf("/sd/a"), leaf("/sd/b")], [leaf("/sd/c")], []];
  const folder = {
    isFile: false,
    fullPath: "/sd",
    createReader: () => ({ readEntries: (then: (e: unknown[]) => void) => then(batches.shift()!) }),
  };
  const drop = (...entries: unknown[]) =>
    droppedFiles({ items: entries.map((e) => ({ webkitGetAsEntry: () => e })) });
  assertEquals([...(await drop(folder)).keys()], ["a", "b", "c"]);
  assertEquals([...(await drop(leaf("/x"), null, leaf("/y"))).keys()], ["x", "y"]);
});

Deno.test("names of places are checked; a path with a colon is a disk's where no place is of that name", async () => {
  for (const name of ["", "a", "https", "OPFS", "two words", "a/b", "x:y", "1st"]) {
    assertThrows(() => mount(name, new Map()), RangeError, "can't be the name of a place");
  }
  for (const what of [undefined, 1, {}, ["a"], "files"]) {
    assertThrows(() => mount("xy", what as never), TypeError, "takes files");
  }
  await assertRejects(() => readBytes("nowhere:/a"), FileError, "does not exist");
  const refused = await assertRejects(() => readBytes("opfs:/a"), FileError);
  assertMatch(refused.message, /^opfs:\/a: lies in a browser's own storage/);
  await assertRejects(
    () => writeFileAtomicBy("download:a", () => Promise.resolve()),
    FileError,
    "no page",
  );
});
