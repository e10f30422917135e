// The architecture that the folders show: imports point down, so that a part can be read without what stands on it.
import { assert, assertEquals } from "@std/assert";
import { sources } from "../tools/size.ts";

/** What a file imports or re-exports from this repository, types included. */
function importsOf(path: string): string[] {
  const text = Deno.readTextFileSync(path);
  const from = [...text.matchAll(/^(?:import|export)\b[^;]*?\bfrom\s+"(\.[^"]+)";/gms)];
  return from.map(([, to]) => new URL(to, `file:///${path}`).pathname.slice(1));
}

/** The first way found from a name back to itself, or undefined. */
function circle(graph: ReadonlyMap<string, ReadonlySet<string>>): string[] | undefined {
  const done = new Set<string>(), path: string[] = [];
  const visit = (name: string): string[] | undefined => {
    if (path.includes(name)) return [...path.slice(path.indexOf(name)), name];
    if (done.has(name)) return undefined;
    path.push(name);
    for (const next of graph.get(name) ?? []) {
      const found = visit(next);
      if (found) return found;
    }
    path.pop();
    done.add(name);
  };
  for (const name of graph.keys()) {
    const found = visit(name);
    if (found) return found;
  }
}

const files = new Map([...sources(".")].map((path) => [path, new Set(importsOf(path))]));

Deno.test("no file imports itself by way of others", () => {
  assert(files.get("ops/attention/second.ts")!.has("tensor/reverse.ts"));
  assertEquals(circle(files), undefined);
});

/** What each room imports of others; a file's room is the name that `roomOf` gives it, undefined for none. */
function rooms(roomOf: (path: string) => string | undefined): Map<string, Set<string>> {
  const graph = new Map<string, Set<string>>();
  for (const [path, imported] of files) {
    const room = roomOf(path);
    if (room === undefined) continue;
    const into = graph.get(room) ?? new Set();
    graph.set(room, into);
    for (const to of imported) {
      const other = roomOf(to);
      if (other !== undefined && other !== room) into.add(other);
    }
  }
  return graph;
}

Deno.test("no folder imports itself by way of others", () => {
  const folders = rooms((path) => path.split("/")[0]);
  assert(folders.get("autograd")!.has("ops"));
  assertEquals(circle(folders), undefined);
});

Deno.test("no room of a folder imports itself by way of its neighbours", () => {
  // Files that lie beside the rooms are under them or above them; the rooms among themselves have an order.
  const inner = rooms((path) => {
    const parts = path.split("/");
    return parts.length > 2 ? parts.slice(0, 2).join("/") : undefined;
  });
  assert(inner.get("concepts/training")!.has("concepts/data"));
  assertEquals(circle(inner), undefined);
});

Deno.test("no folder lists more than 20 files, none has more than 400 lines, half have under 120", () => {
  const counts = new Map<string, number>();
  for (const path of files.keys()) {
    const folder = path.split("/").slice(0, -1).join("/");
    if (folder.split("/")[0] !== "tests") counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
  assertEquals([...counts].filter(([, n]) => n > 20), []);
  const lines = [...files.keys()].map((path) => Deno.readTextFileSync(path).split("\n").length - 1);
  assertEquals([...files.keys()].filter((_, i) => lines[i] > 400), []);
  const median = lines.sort((a, b) => a - b)[lines.length >> 1];
  assert(median < 120, `half of the files have ${median} lines or more`);
});

Deno.test("a room of concepts says in its mod.ts what it is for and in which order to read it", () => {
  for (const { name, isDirectory } of Deno.readDirSync("concepts")) {
    if (!isDirectory) continue;
    const header = Deno.readTextFileSync(`concepts/${name}/mod.ts`).split("*/")[0];
    const named = [...header.matchAll(/`([a-z_]+\.ts)`/g)].map(([, file]) => file);
    const here = [...Deno.readDirSync(`concepts/${name}`)].map((entry) => entry.name)
      .filter((file) => file.endsWith(".ts") && file !== "mod.ts");
    assertEquals(here.filter((file) => !named.includes(file)), [], `concepts/${name}/mod.ts`);
  }
});

Deno.test("files that documents and comments name are there", () => {
  const rooms = [...new Set([...files.keys()].map((path) => path.split("/")[0]))].join("|");
  const named = new RegExp(`(?<![\\w./])(?:${rooms}|docs)/[a-z0-9_/]+\\.(?:ts|py|md|json)\\b`, "g");
  const documents = ["README.md", "CONTRIBUTING.md"].concat(
    ["docs", "docs/library", "docs/library/ops"].flatMap((folder) =>
      [...Deno.readDirSync(folder)].map(({ name }) => `${folder}/${name}`)
    ).filter((name) => name.endsWith(".md")),
  );
  const missing = [...documents, ...files.keys()].filter((path) => !path.startsWith("tests/"))
    .flatMap((path) => {
      const text = Deno.readTextFileSync(path);
      // Imports are the type checker's business; a path of a model's folder, as in "unet/config.json", is none of ours.
      const prose = path.endsWith(".md")
        ? text
        : text.match(/\/\*[^]*?\*\/|\/\/.*$/gm)?.join("\n") ?? "";
      // A link is from where the document stands.
      const beside = path.replace(/[^/]*$/, "");
      return [...prose.matchAll(named)].map(([name]) => name)
        .filter((name) => !exists(name) && !exists(beside + name))
        .map((name) => `${path}: ${name}`);
    });
  assertEquals(missing, []);
});

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

Deno.test("a circle is found where there is one", () => {
  const graph = new Map([["a", new Set(["b"])], ["b", new Set(["c"])], ["c", new Set(["b"])]]);
  assertEquals(circle(graph), ["b", "c", "b"]);
});
