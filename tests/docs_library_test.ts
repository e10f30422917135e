// The pages of docs/library are whole: every function of the library has its place in them, written as it is called. Their examples run
// in docs_examples_test.ts.
import { assert, assertEquals } from "@std/assert";
import { blocksOf, functionsOf, libraryPages, textOf } from "./support/pages.ts";
import { type Argument, misstated, signaturesOf } from "./support/signatures.ts";
import * as engine from "../engine.ts";
import * as linalg from "../linalg.ts";
import * as more from "../more.ts";
import * as optim from "../optim/mod.ts";

/** The library is these doors; the rest of `mod.ts` is the method and files, of which the other documents speak. */
const DOORS = { "engine.ts": engine, "more.ts": more, "linalg.ts": linalg, "optim/mod.ts": optim };
const prefixOf = (door: string) => door === "optim/mod.ts" ? "optim." : "";

const pages = new Map(
  await Promise.all(libraryPages().map(async (path) => [path, await textOf(path)] as const)),
);
const index = pages.get("docs/library/README.md")!;

Deno.test("mod.ts has the doors of the library, and beside them the method and files alone", async () => {
  const from = [...(await textOf("mod.ts")).matchAll(/^(?:export|\}) .*from "\.\/([^"]+)";$/gm)]
    .map(([, path]) => path);
  assert(from.length > 30, `${from.length} lines`);
  const beside = /^(?:diffusion|models|concepts|evaluate|files)\//;
  assertEquals(
    from.filter((path) => !beside.test(path)).sort(),
    Object.keys(DOORS).sort(),
  );
});

/** The functions that a row of the index names, `optim`: `sgd` with what stands before the colon. */
function namesOf(row: string): string[] {
  let prefix = "";
  return [...row.matchAll(/`([^`]+)`(:?)/g)].flatMap(([, text, colon]) => {
    if (colon) prefix = `${text}.`;
    return colon ? [] : text.split(" ").map((name) => prefix + name);
  });
}

/** The rows of the index: a page, and the functions that it is said to have. */
const rows = [...index.matchAll(/^\| \[.*\]\(([\w./-]+\.md)\) \| (.*) \|$/gm)].map((
  [, page, names],
) => ({ page: `docs/library/${page}`, names: namesOf(names) }));

Deno.test("the index of docs/library has every function of the library once, and no other", () => {
  const all = Object.entries(DOORS).flatMap(([door, module]) =>
    functionsOf(module, prefixOf(door))
  );
  assert(all.length > 330, `${all.length} functions`);
  assertEquals(rows.flatMap(({ names }) => names).sort(), all.sort());
});

Deno.test("the index of docs/library has every page, and a page what its row says", () => {
  const listed = [...index.matchAll(/\]\(([\w/-]+\.md)\)/g)].map(([, p]) => `docs/library/${p}`);
  assertEquals(
    [...pages.keys()].filter((p) => p !== "docs/library/README.md" && !listed.includes(p)),
    [],
  );
  for (const { page, names } of rows) {
    const text = pages.get(page) ?? "";
    const code = blocksOf(text).join("\n");
    const missing = names.map((name) => name.split(".").at(-1)!).filter((name) =>
      !new RegExp(`\\b${name}\\b`).test(code) || !new RegExp(`\`[^\`]*\\b${name}\\b`).test(text)
    );
    assertEquals(missing, [], page);
  }
});

Deno.test("the pages of docs/library name every class and every error", () => {
  const classes = Object.entries(engine).filter(([name, value]) =>
    typeof value === "function" && !functionsOf(engine).includes(name)
  ).map(([name]) => name);
  assert(classes.includes("Device") && classes.includes("ShapeError"));
  const text = [...pages.values()].join("\n");
  assertEquals(classes.filter((name) => !new RegExp(`\`${name}\\b`).test(text)), []);
});

Deno.test("the headings of docs/library say arguments and options as the sources have them", async () => {
  const signatures = new Map<string, Argument[]>();
  for (const door of Object.keys(DOORS)) {
    for (const [name, args] of await signaturesOf(door, prefixOf(door))) signatures.set(name, args);
  }
  const wrong: string[] = [];
  let seen = 0;
  for (const { page, names } of rows) {
    for (const [, heading] of pages.get(page)!.matchAll(/^### (.*)$/gm)) {
      for (const [, written] of heading.matchAll(/`([^`]+)`/g)) {
        const short = written.slice(0, written.indexOf("("));
        const name = names.find((n) => n.split(".").at(-1) === short);
        assert(name, `${page}: ${written} is not in the row of the index`);
        const args = signatures.get(name);
        assert(args, `the sources say nothing of ${name}`);
        const problem = misstated(written, args);
        if (problem) wrong.push(problem);
        seen++;
      }
    }
  }
  assert(seen > 250, `${seen} entries`);
  assertEquals(wrong, []);
});

Deno.test("a heading that says something else is found", () => {
  const args = [{ name: "x" }, { name: "k" }, { name: "options", options: new Set(["a", "b"]) }];
  assertEquals(misstated("f(x, k, { a = [1, 2], b })", args), undefined);
  assertEquals(misstated("f(x, k, { a, … })", args), undefined);
  assertEquals(misstated("f(x, k, options)", args), undefined);
  assertEquals(misstated("f(x, k)", args), "f(x, k): it takes x,k,options");
  assertEquals(misstated("f(x, n?, { a, b })", args), "f(x, n?, { a, b }): argument 2 is called k");
  assertEquals(misstated("f(x, k, { c })", args), "f(x, k, { c }): there is no option c");
  assertEquals(misstated("f(x, k, { a })", args), "f(x, k, { a }): it has the options b, too");
});

Deno.test("links between the pages of docs/library lead somewhere", async () => {
  for (const [path, text] of pages) {
    for (const [, to] of text.matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g)) {
      const url = new URL(`../${path}`, import.meta.url);
      assert(await Deno.stat(new URL(to, url)).catch(() => undefined), `${path}: ${to}`);
    }
  }
});

Deno.test("the functions that docs/library/coming-from.md sets beside others are there", async () => {
  const library = await import("../mod.ts") as Record<string, unknown>;
  const text = pages.get("docs/library/coming-from.md")!;
  const table = text.slice(text.indexOf("## Names")).split("\n").filter((line) =>
    /^\| [^-]/.test(line)
  );
  const ours = table.slice(1).flatMap((row) => [...row.split("|")[2].matchAll(/`([^`]+)`/g)])
    .flatMap(([, names]) => names.split(" "))
    .filter((name) => /^[a-z]\w+$/.test(name) && name !== "using");
  assert(ours.length > 100, `${ours.length} names`);
  assertEquals(ours.filter((name) => typeof library[name] !== "function"), []);
});
