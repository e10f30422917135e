// The README's commands, from photos to a delta to pictures to a LoRA, run as they stand but for fewer steps and pictures;
// and those of docs/samplers.md.
import { assert, assertEquals } from "@std/assert";
import { main } from "../cli/main.ts";
import { openBase } from "../concepts/deltas/formats/base.ts";
import { saveDelta } from "../concepts/deltas/formats/save.ts";
import { isFile } from "../files/paths.ts";
import { readPicture } from "../files/pictures/image.ts";
import { captionOf, randomScene } from "../world/mod.ts";
import { pageCommands, someDelta } from "./docs_commands.ts";
import { randomFolder } from "./models_folder.ts";

const WORLD = new URL("../world", import.meta.url).pathname;
const FEWER: Record<string, string[]> = {
  train: ["--steps", "2", "--prior-images", "2"],
  generate: ["--steps", "2", "--width", "64", "--height", "64"],
};

/** Runs commands one after the other; each must end well and print something. */
async function runAll(commands: readonly string[][]): Promise<void> {
  for (const [verb, ...args] of commands) {
    const out: string[] = [], err: string[] = [];
    const code = await main([verb, ...args, ...FEWER[verb] ?? []], {
      out: (line) => out.push(line),
      err: (line) => err.push(line),
    });
    assertEquals(code, 0, `moongate ${verb} ${args.join(" ")}\n${err.join("\n")}`);
    assert(out.length > 0, `moongate ${verb} ${args.join(" ")} prints something`);
  }
}

Deno.test("the README's commands run as they stand, one after the other", async () => {
  const folder = await Deno.makeTempDir(), model = await randomFolder(), before = Deno.cwd();
  try {
    Deno.chdir(folder);
    await Deno.symlink(WORLD, "world");
    await Deno.symlink(model, "stable-diffusion-v1-5");
    await Deno.mkdir("photos");
    await Deno.symlink(`${WORLD}/concepts/zebra`, "photos/my-dog");
    const captions = Array.from({ length: 100 }, (_, seed) => captionOf(randomScene(seed)));
    await Deno.writeTextFile("captions.txt", captions.join("\n"));
    using base = await openBase("stable-diffusion-v1-5");
    await Deno.mkdir("my-chair");
    const chair = { ...await someDelta("<new2>", 2), base: base.fingerprint };
    await saveDelta("my-chair/delta.safetensors", chair);

    const all = await pageCommands("../README.md", "For people who write no code");
    const large = ["train", "generate", "merge", "inspect", "convert", "compress", "analyse"];
    assertEquals(all.map(([verb]) => verb), [...large, "train", "generate", "convert"]);
    await runAll(all);
    assert((await readPicture("out/pictures/sheet.png")).width >= 4 * 64);
    for (
      const made of ["changes.svg", "my-dog/delta.safetensors", "out/trex/delta.safetensors"]
    ) {
      assert(await isFile(made), made);
    }
  } finally {
    Deno.chdir(before);
    await Deno.remove(folder, { recursive: true });
    await Deno.remove(model, { recursive: true });
  }
});

Deno.test("the commands of docs/samplers.md run as they stand", async () => {
  const folder = await Deno.makeTempDir(), model = await randomFolder(), before = Deno.cwd();
  try {
    Deno.chdir(folder);
    await Deno.symlink(model, "sd");
    await Deno.copyFile(`${WORLD}/concepts/zebra/1.png`, "sketch.png");
    const all = await pageCommands("samplers.md");
    assertEquals(all.length, 3);
    await runAll(all);
  } finally {
    Deno.chdir(before);
    await Deno.remove(folder, { recursive: true });
    await Deno.remove(model, { recursive: true });
  }
});
