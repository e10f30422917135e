import { assert } from "@std/assert";

const ROOT = new URL("..", import.meta.url);

/** TypeScript blocks of the README that are to run (those marked `ignore` need a large model). */
async function examples(): Promise<string[]> {
  const text = await Deno.readTextFile(new URL("README.md", ROOT));
  return [...text.matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, code]) =>
    code.replaceAll('"./mod.ts"', `"${new URL("mod.ts", ROOT)}"`)
  );
}

Deno.test("the README's examples run as they stand", async () => {
  const blocks = await examples();
  assert(blocks.length >= 2);
  for (const code of blocks) {
    const folder = await Deno.makeTempDir();
    try {
      const file = `${folder}/example.ts`;
      await Deno.writeTextFile(file, code);
      const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--check", file],
        env: { DENO_WEBGPU_BACKEND: "vulkan", XDG_RUNTIME_DIR: "/tmp" },
      }).output();
      assert(success, `${code}\n${new TextDecoder().decode(stderr)}`);
      assert(stdout.length > 0, "an example prints something");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }
});
