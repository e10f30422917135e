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

const names = [...Deno.readDirSync(FOLDER)].map(({ name }) => name);

Deno.test("every program of examples/ is run below, and has under 100 lines", async () => {
  assertEquals(names.toSorted(), Object.keys(SMALL));
  for (const name of names) {
    const lines = (await Deno.readTextFile(new URL(name, FOLDER))).trimEnd().split("\n");
    assert(lines.length < 100, `${name} has ${lines.length} lines`);
  }
});

for (const [name, small] of Object.entries(SMALL)) {
  Deno.test(`examples/${name} learns: its loss falls by a tenth and more`, async () => {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", new URL(name, FOLDER).pathname, ...small],
      env: { MOONGATE_DEVICE: "cpu", NO_COLOR: "1" },
    }).output();
    const out = new TextDecoder().decode(stdout);
    assertEquals(code, 0, new TextDecoder().decode(stderr));
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
