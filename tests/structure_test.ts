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

Deno.test("no folder imports itself by way of others", () => {
  const folders = new Map<string, Set<string>>();
  for (const [path, imported] of files) {
    const folder = path.split("/")[0];
    const into = folders.get(folder) ?? new Set();
    folders.set(folder, into);
    for (const to of imported) if (to.split("/")[0] !== folder) into.add(to.split("/")[0]);
  }
  assert(folders.get("autograd")!.has("ops"));
  assertEquals(circle(folders), undefined);
});

Deno.test("a circle is found where there is one", () => {
  const graph = new Map([["a", new Set(["b"])], ["b", new Set(["c"])], ["c", new Set(["b"])]]);
  assertEquals(circle(graph), ["b", "c", "b"]);
});
