// docs/verify.md: its commands run as they stand, and it says of every result what there is to say.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { main } from "../cli/main.ts";
import { FORWARD_CHECKS } from "../concepts/verify/forward.ts";
import { openSafetensors, type StoredTensor } from "../files/safetensors/read.ts";
import { writeSafetensors } from "../files/safetensors/write.ts";

const ROOT = new URL("..", import.meta.url).pathname;
const GOLDEN = `${ROOT}tests/golden/verify`;
const page = await Deno.readTextFile(`${ROOT}docs/verify.md`);

/** Lines of the page's shell blocks that begin with a word, without it. */
const commands = (program: string): string[][] =>
  [...page.matchAll(/^```sh\n([^]*?)^```$/gm)].flatMap(([, code]) => code.split("\n"))
    .filter((line) => line.startsWith(`${program} `)).map((line) => line.split(" ").slice(1));

Deno.test("the commands of docs/verify.md run as they stand", async () => {
  const folder = await Deno.makeTempDir(), before = Deno.cwd();
  try {
    Deno.chdir(folder);
    await Deno.symlink(`${GOLDEN}/sd1`, "sd");
    // All of it is tested in verify_test.ts; these take least.
    using source = await openSafetensors(`${GOLDEN}/sd1.safetensors`);
    const tensors = new Map<string, StoredTensor>();
    for (const name of source.tensors.keys()) {
      const taken = /^(ids|row|text_hidden|x0|noise|unet_t|mask|xt|loss|grad\.row)$/.test(name);
      if (taken) tensors.set(name, await source.read(name));
    }
    await writeSafetensors("gold.safetensors", tensors, { ...source.metadata });
    const all = commands("moongate");
    assertEquals(all.length, 2);
    for (const args of all) {
      const out: string[] = [], err: string[] = [];
      const code = await main(args, { out: (l) => out.push(l), err: (l) => err.push(l) });
      assertEquals(code, 0, err.join("\n"));
      if (args.includes("--json")) assertEquals(JSON.parse(out.join("\n")).passed, true);
      else {
        assertMatch(out.join("\n"), /^grad\.row +\S+ +1e-3 +ok$/m);
        assertMatch(out.join("\n"), /^skipped, .*: unet_out, wide_out, .*, sample_pndm, grad\./m);
      }
    }
    const [[script]] = commands("python");
    assert((await Deno.stat(`${ROOT}${script}`)).isFile);
  } finally {
    Deno.chdir(before);
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("docs/verify.md names every result with its inputs and its limit", () => {
  const row = (name: string) => page.split("\n").find((line) => line.startsWith(`| \`${name}\``));
  for (const { name, inputs, limit } of FORWARD_CHECKS) {
    const line = row(name) ?? "";
    for (const input of inputs) assert(line.includes(`\`${input}`), `${name} from ${input}`);
    assert(line.endsWith(`| ${limit.toExponential(0)} |`), `${name}: ${limit}`);
  }
  for (const name of ["loss", "grad.<name>", "grad.row", "after.<name>"]) assert(row(name), name);
});
