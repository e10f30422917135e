// Each page of docs/library is one program, from top to bottom, and prints what it says that it prints.
import { assert, assertEquals } from "@std/assert";

const ROOT = new URL("..", import.meta.url);

/** A page's program, and what stands behind its lines that print. */
function programOf(text: string): { code: string; expected: string[] } {
  const blocks = [...text.matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, code]) => code);
  const code = blocks.join("\n").replaceAll('"../../mod.ts"', `"${new URL("mod.ts", ROOT)}"`);
  const printed = /^(?:await show|console\.log)\(.*\); \/\/ (.*)$/gm;
  return { code, expected: [...code.matchAll(printed)].map(([, line]) => line) };
}

for (const { name } of [...Deno.readDirSync(new URL("docs/library", ROOT))]) {
  Deno.test(`docs/library/${name} is a program that prints what it says`, async () => {
    const { code, expected } = programOf(
      await Deno.readTextFile(new URL(`docs/library/${name}`, ROOT)),
    );
    assert(expected.length > 0, "a page shows results");
    const folder = await Deno.makeTempDir();
    try {
      const file = `${folder}/page.ts`;
      await Deno.writeTextFile(file, code);
      const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--check", file],
        env: { DENO_WEBGPU_BACKEND: "vulkan", XDG_RUNTIME_DIR: "/tmp", NO_COLOR: "1" },
      }).output();
      assert(success, new TextDecoder().decode(stderr));
      assertEquals(new TextDecoder().decode(stdout).trimEnd().split("\n"), expected);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

Deno.test("the functions that docs/library/coming-from.md sets beside others are there", async () => {
  const library = await import("../mod.ts") as Record<string, unknown>;
  const text = await Deno.readTextFile(new URL("docs/library/coming-from.md", ROOT));
  const rows = text.slice(text.indexOf("## Names")).split("\n").filter((line) =>
    /^\| [^-]/.test(line)
  );
  const ours = rows.slice(1).flatMap((row) => [...row.split("|")[2].matchAll(/`([^`]+)`/g)])
    .flatMap(([, names]) => names.split(" "))
    .filter((name) => /^[a-z]\w+$/.test(name) && name !== "using");
  assert(ours.length > 100, `${ours.length} names`);
  assertEquals(ours.filter((name) => typeof library[name] !== "function"), []);
});
