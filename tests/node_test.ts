// The tensors alone, `dist/engine.js`, in Node: the README's first program as it stands, without its types.
import { assert, assertEquals, assertMatch } from "@std/assert";
import * as esbuild from "npm:esbuild@0.27.0";
import { bundle } from "../tools/bundle.ts";

/** The first program of the README, for a door. */
async function xor(door: string): Promise<string> {
  const readme = await Deno.readTextFile(new URL("../README.md", import.meta.url));
  const [, program] = /```ts\n(.*?)```/s.exec(readme)!;
  assert(program.includes('"./mod.ts"') && program.includes("XOR"));
  const { code } = await esbuild.transform(program.replace("./mod.ts", door), { loader: "ts" });
  await esbuild.stop();
  return code;
}

/** What a command prints; undefined where it can't be run. */
async function output(command: string, args: string[]): Promise<string | undefined> {
  try {
    const signal = AbortSignal.timeout(180_000);
    const { code, stdout, stderr } = await new Deno.Command(command, { args, signal }).output();
    const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    assertEquals(code, 0, err);
    return out;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

for (const version of ["20", "22"]) {
  Deno.test(`the README's XOR runs on the engine alone in Node ${version}`, async () => {
    const node = (...args: string[]) => output("npx", ["--yes", `node@${version}`, ...args]);
    const found = await node("--version").catch(() => undefined);
    if (found === undefined) {
      console.log(`Node ${version} can't be had here: nothing is tested on it`);
      return;
    }
    assertMatch(found, new RegExp(`^v${version}\\.`));
    const folder = await Deno.makeTempDir();
    try {
      await bundle(folder);
      await Deno.writeTextFile(`${folder}/main.mjs`, await xor("./engine.js"));
      const said = (await node(`${folder}/main.mjs`))!;
      const numbers = /XOR: Float32Array\(4\) \[([^\]]*)\]/.exec(said)?.[1].split(",").map(Number);
      assert(numbers, said);
      for (const [i, wanted] of [0, 1, 1, 0].entries()) {
        assert(Math.abs(numbers[i] - wanted) < 0.1, `${numbers}`);
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
