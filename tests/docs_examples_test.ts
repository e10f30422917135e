// The TypeScript of the README, of docs/ops.md and of each page of docs/library runs as it stands, and prints what it says.
import { assert, assertEquals } from "@std/assert";

const ROOT = new URL("..", import.meta.url);
const MOD = `"${new URL("mod.ts", ROOT)}"`;
const read = (page: string) => Deno.readTextFile(new URL(page, ROOT));
const blocksOf = (text: string): string[] =>
  [...text.matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, code]) => code);

/** A program of a page, and what it must print, told by its output. */
interface Example {
  readonly name: string;
  readonly code: string;
  readonly check: (printed: string) => void;
}

/** Each block of the README is a program. */
async function readme(): Promise<Example[]> {
  const blocks = blocksOf(await read("README.md"));
  assert(blocks.length >= 2);
  return blocks.map((block, i) => ({
    name: `example ${i + 1} of the README runs as it stands`,
    code: block.replaceAll('"./mod.ts"', MOD),
    check: (printed) => assert(printed.length > 0, "an example prints something"),
  }));
}

/** Each page of docs/library is one program, from top to bottom; what its lines print stands behind them. */
async function library(page: string): Promise<Example> {
  const code = blocksOf(await read(page)).join("\n").replaceAll('"../../mod.ts"', MOD);
  const printed = /^(?:await show|console\.log)\(.*\); \/\/ (.*)$/gm;
  const expected = [...code.matchAll(printed)].map(([, line]) => line);
  assert(expected.length > 0, "a page shows results");
  return {
    name: `${page} is a program that prints what it says`,
    code,
    check: (printed) => assertEquals(printed.trimEnd().split("\n"), expected),
  };
}

/** What the examples of docs/ops.md print, one after the other. */
const PRINTED = [
  "[ 0, 0.25, 0.5, 0.75 ] [ 0, 1, 0, 0, 0, 1 ] [ 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0 ]",
  "[ 7, 5, 11, 9 ] [ 2, 1, 0, 1, 2, 1 ]",
  "[ 1, 2, 5, 6, 1, 2 ] [ 5, 0, 2 ]",
  "[ 3, 0 ] [ 1, 3, 7, -1 ] [ 1, 2, 1, 0 ]",
  "[ 12, 12 ] [ 1, 8, 5 ]",
  "[ 6, 8 ] 0.22009",
  "[ 2.5, 2 ] [ 1, 2, 0 ] 2",
  "[ 7, 0, -2, 1.7",
  "[ 2, 2, 3, 3, 3.5, 3.5, 3.75, 3.75 ] [ 5, 1, 3 ]",
  "[ 0.3125, 448 ] [ 3, -10, 100, 15 ] [ 1.5, -5, 100, 15 ]",
  "5 [ 0.8, 1.4 ]",
];

/** Those of docs/ops.md in one program, since each is short. */
async function ops(): Promise<Example> {
  const blocks = blocksOf(await read("docs/ops.md"));
  assertEquals(blocks.length, PRINTED.length);
  const code = blocks.map((block) =>
    `{\n${
      block.replace(
        /^import \{([^}]*)\} from "\.\/mod\.ts";$/m,
        (_, names: string) => `const {${names.replace(/\btype \w+,?/g, "")}} = m;`,
      )
    }\nconsole.log("end");\n}`
  );
  return {
    name: "the examples of docs/ops.md print what NumPy would",
    code: [`import * as m from ${MOD}; import type { Tensor } from ${MOD};`, ...code].join("\n"),
    check(text) {
      const printed = text.split("end\n").slice(0, -1).map((part) =>
        part.replace(/\w*Array\(\d+\) /g, "").replace(/\s+/g, " ").trim()
      );
      printed.forEach((line, i) => assert(line.startsWith(PRINTED[i]), `${i}: ${line}`));
      assertEquals(printed.length, PRINTED.length);
    },
  };
}

/** Runs Deno; what it printed. */
async function deno(...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    env: { DENO_WEBGPU_BACKEND: "vulkan", XDG_RUNTIME_DIR: "/tmp", NO_COLOR: "1" },
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

const pages = [...Deno.readDirSync(new URL("docs/library", ROOT))].map(({ name }) =>
  `docs/library/${name}`
);
const examples = [...await readme(), await ops(), ...await Promise.all(pages.map(library))];

// Types first, of all at once: most of what that takes is the library, which they share.
Deno.test("the examples of the README and of docs/ type-check and run", async (t) => {
  const folder = await Deno.makeTempDir();
  try {
    const files = examples.map((_, i) => `${folder}/example_${i}.ts`);
    for (const [i, { code }] of examples.entries()) await Deno.writeTextFile(files[i], code);
    await t.step("their types are right", async () => void await deno("check", ...files));
    for (const [i, { name, check }] of examples.entries()) {
      await t.step(name, async () => check(await deno("run", "-A", "--no-check", files[i])));
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
