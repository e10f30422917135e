// The complete programs of examples/, at a small size: each learns, and says so.
import { assert, assertEquals } from "@std/assert";

const FOLDER = new URL("../examples/", import.meta.url);

/** What makes each of them small. A program that is not here is refused. */
const SMALL: Readonly<Record<string, readonly string[]>> = {
  "character_lm.ts": ["--steps", "10", "--context", "16"],
  "digits_cnn.ts": ["--steps", "20", "--batch", "32"],
  "heat_pinn.ts": ["--steps", "40", "--points", "32"],
  "spiral_mlp.ts": ["--steps", "20", "--points", "20"],
  "vae.ts": ["--steps", "20", "--batch", "16"],
};

/** What they share is no program: it reads their command lines. */
const names = [...Deno.readDirSync(FOLDER)].map(({ name }) => name)
  .filter((name) => name !== "options.ts");

const run = async (name: string, ...args: string[]) => {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", new URL(name, FOLDER).pathname, ...args],
    env: { MOONGATE_DEVICE: "cpu", NO_COLOR: "1" },
  }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, out, err };
};

Deno.test("every program of examples/ is run below, and has under 100 lines", async () => {
  assertEquals(names.toSorted(), Object.keys(SMALL));
  for (const name of names) {
    const lines = (await Deno.readTextFile(new URL(name, FOLDER))).trimEnd().split("\n");
    assert(lines.length < 100, `${name} has ${lines.length} lines`);
  }
});

Deno.test("--help says what a program takes; what it does not take is refused by name, in one line", async () => {
  for (const [name, [first, , second]] of Object.entries(SMALL)) {
    const { code, out, err } = await run(name, "--help");
    assertEquals([code, err], [0, ""], name);
    for (const option of [name, first, second, "default", "--help"]) {
      assert(out.includes(option), out);
    }
    const header = /\[(--\w+) (\d+)\] \[(--\w+) (\d+)\]/.exec(
      await Deno.readTextFile(new URL(name, FOLDER)),
    )!;
    assertEquals(
      [...out.matchAll(/(--\w+) N .*default (\d+)/g)].flatMap(([, ...option]) => option),
      header.slice(1),
      "the header of the file says the same",
    );
  }
  const { code, err } = await run("character_lm.ts", "--context", "99999");
  assertEquals(code, 1);
  assert(/^character_lm.ts: --context is "99999", more than \d+\. It takes/.test(err), err);
  const wrong: [string[], string][] = [
    [["--stepz", "3"], 'there is no option "--stepz". It takes --steps N, --points N; --help'],
    [["-x"], 'there is no option "-x"'],
    [["12"], '"12" is no option'],
    [["--steps", "many"], '--steps is "many", not a whole number of at least 1'],
    [["--steps=0"], '--steps is "0", not a whole number'],
    [["--steps"], "--steps is left empty"],
    [["--steps", "--points"], '--steps is "--points"'],
  ];
  for (const [args, message] of wrong) {
    const { code, out, err } = await run("spiral_mlp.ts", ...args);
    assertEquals([code, out], [1, ""], `${args}`);
    assert(
      err.startsWith(`spiral_mlp.ts: ${message}`) && err.trimEnd().split("\n").length === 1,
      err,
    );
  }
});

for (const [name, small] of Object.entries(SMALL)) {
  Deno.test(`examples/${name} learns: its loss falls by a tenth and more`, async () => {
    const { code, out, err } = await run(name, ...small);
    assertEquals(code, 0, err);
    const losses = [...out.matchAll(/^step (\d+): loss (\S+)$/gm)].map(([, , loss]) =>
      Number(loss)
    );
    assert(losses.length > 3 && losses.every(Number.isFinite), out);
    assert(losses.at(-1)! < 0.9 * losses[0], `${losses}`);
    // What was learnt comes behind the losses.
    const rest = out.slice(out.lastIndexOf(": loss ")).split("\n").slice(1).join("\n");
    assert(rest.trim().length > 20, out);
  });
}
