// The examples of docs/ops.md run as they stand and print what NumPy would, and the page names every function of the door.
import { assert, assertEquals } from "@std/assert";

const ROOT = new URL("..", import.meta.url);
const page = await Deno.readTextFile(new URL("docs/ops.md", ROOT));

/** What the examples print, one after the other. */
const PRINTED = [
  "[ 0, 0.25, 0.5, 0.75 ] [ 0, 1, 0, 0, 0, 1 ] [ 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0 ]",
  "[ 7, 5, 11, 9 ] [ 2, 1, 0, 1, 2, 1 ]",
  "[ 1, 2, 5, 6, 1, 2 ] [ 5, 0, 2 ]",
  "[ 3, 0 ] [ 1, 3, 7, -1 ] [ 1, 2, 1, 0 ]",
  "[ 12, 12 ] [ 1, 8, 5 ]",
  "[ 6, 8 ] 0.22009",
  "5 [ 0.8, 1.4 ]",
];

Deno.test("the examples of docs/ops.md print what they should", async () => {
  const blocks = [...page.matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, code]) => code);
  assertEquals(blocks.length, PRINTED.length);
  const code = blocks.map((block) =>
    `{\n${
      block.replace(/^import \{([^}]*)\} from "\.\/mod\.ts";$/m, "const {$1} = m;")
    }\nconsole.log("end");\n}`
  ).join("\n");
  const folder = await Deno.makeTempDir();
  try {
    const file = `${folder}/example.ts`;
    await Deno.writeTextFile(file, `import * as m from "${new URL("mod.ts", ROOT)}";\n${code}`);
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--check", file],
      env: { DENO_WEBGPU_BACKEND: "vulkan", XDG_RUNTIME_DIR: "/tmp", NO_COLOR: "1" },
    }).output();
    assert(success, new TextDecoder().decode(stderr));
    const printed = new TextDecoder().decode(stdout).split("end\n").slice(0, -1).map((text) =>
      text.replace(/\w*Array\(\d+\) /g, "").replace(/\s+/g, " ").trim()
    );
    printed.forEach((text, i) => assert(text.startsWith(PRINTED[i]), `${i}: ${text}`));
    assertEquals(printed.length, PRINTED.length);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("docs/ops.md names every function of the door of ops", async () => {
  const door = await Deno.readTextFile(new URL("ops/mod.ts", ROOT));
  const names = [...door.matchAll(/^export \{([^}]*)\}/gm)].flatMap(([, list]) => list.split(","))
    .map((n) => n.trim()).filter((n) => n && !n.startsWith("type "));
  assert(names.length > 150);
  // Of values and of keys other documents speak, and of what only diffusion models need.
  const elsewhere =
    /^(tensor|scalar|cast|foldIn|keyFromSeed|random\w+|stopGradient|embedding|replaceRows)$/;
  const missing = names.filter((n) =>
    !new RegExp(`[\` ]${n}[\` ,(]`).test(page.replaceAll("\n", " "))
  );
  assertEquals(missing.filter((n) => !elsewhere.test(n)), []);
});
