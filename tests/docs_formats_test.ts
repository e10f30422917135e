// The commands of the section on deltas in docs/formats.md, run as they stand on a model and deltas of their names.
import { assert, assertEquals } from "@std/assert";
import { main } from "../cli/main.ts";
import { saveDelta, saveDeltaAs } from "../concepts/deltas/formats/save.ts";
import { openBase } from "../concepts/deltas/formats/base.ts";
import { pageCommands, someDelta } from "./docs_commands.ts";
import { randomFolder } from "./models_folder.ts";

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
    await saveDeltaAs("ink-lora", delta, "lora", { base: base.read, rank: 2 });
    const all = await pageCommands("formats.md", "Deltas");
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
