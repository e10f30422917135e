// The commands of the section on deltas in docs/formats.md, run as they stand on a model and deltas of their names.
import { assert, assertEquals } from "@std/assert";
import { main } from "../cli/main.ts";
import type { Delta } from "../concepts/delta.ts";
import { saveDelta, saveDeltaAs } from "../concepts/formats/save.ts";
import { openBase } from "../concepts/formats/base.ts";
import { unetConfig, unetSpecs } from "../models/unet.ts";
import { sizeOf } from "../tensor/shape.ts";
import { MINIATURE, randomFolder } from "./models_folder.ts";
import { uniform } from "./support/check.ts";

const ROOT = new URL("..", import.meta.url).pathname;

/** Lines that begin with `moongate` in the shell blocks of a page's section, as arguments. */
async function commands(page: string, section: string): Promise<string[][]> {
  const text = await Deno.readTextFile(`${ROOT}docs/${page}`);
  const [, part] = text.split(`\n## ${section}\n`);
  const blocks = [...part.split(/^## /m)[0].matchAll(/^```sh\n([^]*?)^```$/gm)].map(([, code]) =>
    code
  );
  return blocks.join("").split("\n").filter((line) => line.startsWith("moongate ")).map((line) =>
    [...line.matchAll(/"([^"]*)"|\S+/g)].map(([word, quoted]) => quoted ?? word).slice(1)
  );
}

/** A delta of the miniature's architecture. */
async function someDelta(token: string, seed: number): Promise<Delta> {
  const config = JSON.parse(await Deno.readTextFile(`${MINIATURE}/unet/config.json`));
  const text = JSON.parse(await Deno.readTextFile(`${MINIATURE}/text_encoder/config.json`));
  const draw = uniform(seed);
  const random = (length: number) => Float32Array.from({ length }, () => 0.1 * draw());
  const weights = new Map(
    [...unetSpecs(unetConfig(config))].filter(([name]) => /attn2\.to_[kv]\./.test(name)).map(
      ([name, { shape }]) => [`unet.${name}`, { shape, data: random(sizeOf(shape)) }] as const,
    ),
  );
  return {
    base: "",
    tokens: [{ token, className: "dog", initializer: "" }],
    embeddings: [random(text.hidden_size)],
    weights,
    notes: {},
  };
}

Deno.test("the commands of docs/formats.md about deltas run as they stand", async () => {
  const folder = await Deno.makeTempDir(), model = await randomFolder(), before = Deno.cwd();
  try {
    Deno.chdir(folder);
    await Deno.symlink(model, "sd");
    const delta = await someDelta("<new1>", 1);
    using base = await openBase("sd");
    await Deno.mkdir("my-dog");
    await saveDelta("my-dog/delta.safetensors", { ...delta, base: base.fingerprint });
    await saveDelta("ink.safetensors", await someDelta("<ink>", 2));
    await saveDeltaAs("delta.bin", delta, "adobe");
    await saveDeltaAs("delta_epoch=000004.ckpt", delta, "compvis");
    await saveDeltaAs("my-dog-lora", delta, "lora", { base: base.read, rank: 2 });
    const all = await commands("formats.md", "Deltas");
    assert(all.length >= 11);
    for (const args of all) {
      const out: string[] = [], err: string[] = [];
      const code = await main(args, { out: (l) => out.push(l), err: (l) => err.push(l) });
      assertEquals(code, 0, `moongate ${args.join(" ")}\n${err.join("\n")}`);
      assert(out.length > 0, `moongate ${args.join(" ")} prints something`);
    }
  } finally {
    Deno.chdir(before);
    await Deno.remove(folder, { recursive: true });
    await Deno.remove(model, { recursive: true });
  }
});
