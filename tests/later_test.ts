// What the bundle loads only with a device is not needed before: ops of all kinds, their derivatives and their batches are traced
// with nothing of it there.
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import * as esbuild from "npm:esbuild@0.27.0";
import { later } from "../tools/later.ts";

const ROOT = new URL("../", import.meta.url).pathname;

/** Traces every function of the golden files and those of ids, keys and whole numbers, in every way. */
const PROGRAM = `
import { FUNCTIONS } from "./tests/support/applications.ts";
import { CALLS } from "./tests/support/argument_calls.ts";
import * as m from "./mod.ts";
import { input } from "./ops/leaf.ts";
import { isFloat } from "./tensor/dtype.ts";

const needs = /this needs what comes with a device/, early = [];
let traced = 0;
const attempt = (name, f) => {
  try {
    f();
    traced++;
  } catch (error) {
    if (needs.test(error.message)) early.push(name + ": " + error.stack);
  }
};
for (const [name, { f, specs }] of Object.entries(FUNCTIONS)) {
  const xs = () => specs.map((spec, i) => input(spec, i, "x"));
  attempt(name, () => f(xs()));
  if (specs.every(({ dtype }) => isFloat(dtype))) {
    const scalar = (x) => m.sum(m.cast(f([x, ...xs().slice(1)]), "f32"));
    attempt("grad of " + name, () => m.grad(scalar)(xs()[0]));
    attempt("hvp of " + name, () => m.hvp(scalar, [xs()[0]], [xs()[0]]));
    attempt("jvp of " + name, () => m.jvp(scalar, [xs()[0]], [xs()[0]]));
  }
  const more = specs.map(({ shape, dtype }, i) => input({ shape: [2, ...shape], dtype }, i, "x"));
  attempt("vmap of " + name, () => m.vmap((...a) => f(a))(...more));
}
for (const [name, args] of Object.entries(CALLS)) attempt(name, () => m[name](...args));
let refused = "nothing";
try {
  m.explain({});
} catch (error) {
  refused = error.message;
}
console.log(JSON.stringify({ early, traced, refused }));
`;

/** Builds a program with its parts as the bundle has them. */
async function built(contents: string): Promise<string> {
  const { outputFiles: [file] } = await esbuild.build({
    stdin: { contents, resolveDir: ROOT, sourcefile: `${ROOT}program.ts` },
    bundle: true,
    write: false,
    format: "esm",
    platform: "neutral",
    external: ["npm:*", "node:*"],
    define: { "import.meta.url": JSON.stringify(`file://${ROOT}tests/support/applications.ts`) },
    plugins: [later(ROOT)],
    logLevel: "silent",
  });
  return file.text;
}

Deno.test("every op is traced, differentiated and batched before what draws up programs is there", async () => {
  const main = await Deno.makeTempFile({ suffix: ".js" });
  try {
    await Deno.writeTextFile(main, await built(PROGRAM));
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-lock", "--no-check", main],
    }).output();
    assertEquals(code, 0, new TextDecoder().decode(stderr));
    const { early, traced, refused } = JSON.parse(new TextDecoder().decode(stdout));
    assertEquals(early, []);
    assert(traced > 500, `${traced} were traced`);
    assertMatch(refused, /^this needs what comes with a device: const device = await gpu\(\)$/);
  } finally {
    await Deno.remove(main);
    await esbuild.stop();
  }
});

Deno.test("what is no function can't come later: the bundler refuses its import", async () => {
  const code =
    `import { LABEL_WIDTH } from "./compile/inspect/explain.ts"; console.log(LABEL_WIDTH);`;
  await assertRejects(
    () => built(code),
    Error,
    `No matching export in "stub:compile/inspect/explain.ts" for import "LABEL_WIDTH"`,
  );
  await esbuild.stop();
});
