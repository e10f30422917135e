// The TypeScript of the README and of the pages of docs/library runs as it stands, and prints what it says. Together it calls every
// function of the library: one that is added has an example, or this fails.
import { assert, assertEquals } from "@std/assert";
import {
  blocksOf,
  functionsOf,
  libraryPages,
  Programs,
  promised,
  textOf,
} from "./support/pages.ts";
import * as engine from "../engine.ts";
import * as linalg from "../linalg.ts";
import * as more from "../more.ts";
import * as optim from "../optim/mod.ts";

// Each block of the README is a program; each page of docs/library is one, from top to bottom.
const programs = new Map<string, string>();
const blocks = blocksOf(await textOf("README.md"));
assert(blocks.length >= 2);
blocks.forEach((code, i) => programs.set(`example ${i + 1} of the README`, code));
const pages = libraryPages();
for (const page of pages) {
  const code = blocksOf(await textOf(page)).join("\n");
  if (code !== "") programs.set(page, code);
}

/** The functions of the library: those of its own doors. `mod.ts` has the method and files as well, which other documents show. */
const LIBRARY = [engine, more, linalg].flatMap((door) => functionsOf(door))
  .concat(functionsOf(optim, "optim."));

Deno.test("the examples of the README and of docs/library", async (t) => {
  using all = new Programs(programs);
  await t.step("their types are right", () => all.check());
  const ran = await all.run();
  for (const [name, { printed, failed }] of ran) {
    await t.step(`${name} is a program that prints what it says`, () => {
      assertEquals(failed, undefined);
      const expected = promised(programs.get(name)!);
      if (!pages.includes(name)) return assert(printed.length > 0, "an example prints something");
      assert(expected.length > 0, "a page shows results");
      assertEquals(printed, expected);
    });
  }
  await t.step("every function of the library is called in one of them", () => {
    const called = new Set([...ran.values()].flatMap((r) => [...r.called]));
    assert(LIBRARY.length > 330, `${LIBRARY.length} functions`);
    assertEquals(LIBRARY.filter((name) => !called.has(name)), []);
  });
});

Deno.test("a program that throws, one that prints something else and a function that is not called are seen", async () => {
  const code = (line: string) => `import { add, optim, scalar, sub } from "../../mod.ts";\n${line}`;
  using all = new Programs(
    new Map([
      ["throws", code(`console.log("before"); throw new Error("so it is");`)],
      ["prints", code(`console.log(String(add(scalar(1), 1).shape), typeof sub); // 1 function`)],
      ["calls", code(`optim.initializers.constant(1); optim.scale(2);`)],
    ]),
  );
  const ran = await all.run();
  const { printed, failed } = ran.get("throws")!;
  assertEquals(printed, ["before"]);
  assert(failed?.includes("so it is"), failed);
  assertEquals(ran.get("prints")!.printed, [" function"]);
  assertEquals([...ran.get("prints")!.called].sort(), ["add", "scalar"]);
  assertEquals([...ran.get("calls")!.called], ["optim.initializers.constant", "optim.scale"]);
});
