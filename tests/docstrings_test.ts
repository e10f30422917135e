// What the doc comments of the engine speak of exists: files, linked names, and functions that are named with their brackets.
import { assert, assertEquals } from "@std/assert";
import { sources } from "../tools/size.ts";

const ENGINE = ["tensor", "ops", "device", "autograd", "compile", "models", "optim"];
const root = new URL("../", import.meta.url);
const files = new Map(
  [...sources(".")].map((path) => [path, Deno.readTextFileSync(new URL(path, root))]),
);
const withoutComments = (text: string) =>
  text.replace(/\/\*\*[^]*?\*\//g, "").replace(/\/\/.*$/gm, "");
const code = new Map([...files].map(([path, text]) => [path, withoutComments(text)]));
/** Of what only tests have, nothing may be mentioned. */
const all = [...code].filter(([path]) => !path.startsWith("tests/")).map(([, text]) => text).join(
  "\n",
);

/** Doc comments of what a file exports, and of the members inside. */
const docsOf = (text: string): string[] =>
  [...text.matchAll(
    /\/\*\*(?:(?!\*\/)[^])*\*\/(?=\s*(?:export |(?:readonly |get |async |static )*[\w[#]+[?(:<]))/g,
  )]
    .map(([doc]) => doc);

/** What a doc comment mentions that is nowhere. */
function missing(path: string, doc: string): string[] {
  const found: string[] = [];
  for (const [, file] of doc.matchAll(/`([\w-]+\/[\w./-]+\.(?:ts|md))`/g)) {
    if (!files.has(file) && !exists(file)) found.push(file);
  }
  for (const [, name] of doc.matchAll(/\{@link(?:code)? ([\w.]+)/g)) {
    for (const part of name.split(".")) {
      if (!new RegExp(`\\b${part}\\b`).test(code.get(path) ?? "")) found.push(name);
    }
  }
  for (const [, name] of doc.matchAll(/`(?:\w+\.)*(\w+)\([^`]*\)`/g)) {
    if (!new RegExp(`(?:function\\*? |const |get |^\\s+(?:async )?)${name}\\b`, "m").test(all)) {
      found.push(`${name}()`);
    }
  }
  return found;
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(new URL(path, root)).isFile;
  } catch {
    return false;
  }
}

Deno.test("the doc comments of the engine mention only what there is", () => {
  let looked = 0;
  for (const [path, text] of files) {
    if (!ENGINE.includes(path.split("/")[0])) continue;
    for (const doc of docsOf(text)) {
      looked++;
      assertEquals(missing(path, doc), [], `${path}: ${doc}`);
    }
  }
  assert(looked > 500, String(looked));
});

Deno.test("a mention of what does not exist is found", () => {
  const path = "autograd/grad.ts";
  assertEquals(missing(path, "/** See `mask()` and `combine()` in `autograd/mask.ts`. */"), [
    "combine()",
  ]);
  assertEquals(missing(path, "/** See {@linkcode nowhere} and `autograd/gone.ts`. */"), [
    "autograd/gone.ts",
    "nowhere",
  ]);
});
