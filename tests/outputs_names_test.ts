// The name of an output says what it will be: a verb that writes pictures into x.safetensors would lose what its owner believes is there.
import { assertEquals } from "@std/assert";
import { inside, treeOf } from "./support/kept.ts";
import { ALL, inputs, put, refused } from "./support/writers.ts";

const ENDINGS = [".safetensors", ".png", ".svg", ".json", ".txt", ".ckpt", ".PT", ".html", ".npz"];
const WRITTEN: Readonly<Record<string, readonly string[]>> = {
  "attention --out": [".png"],
  "compress --plot": [".svg"],
  "analyse --plot": [".svg"],
  "evaluate --json": [".json"],
  "compress --out": [".safetensors", ".ckpt", ".PT"],
  "convert --out": [".safetensors", ".ckpt", ".PT"],
};

Deno.test("a name that ends as another kind of file does is refused by every verb that writes, with --overwrite too", async () => {
  let files = 0;
  for (const { verb, flag, at, isFile } of ALL) {
    for (const ending of ENDINGS) {
      if (WRITTEN[`${verb} ${flag}`]?.includes(ending)) continue;
      await inside(async () => {
        await inputs();
        const name = `new/out${ending}`;
        const message = new RegExp(`new/out\\${ending}.* ends in \\${ending}.*Name .* by ${flag}`);
        const before = await treeOf(".");
        await refused(at(name), message);
        await refused([...at(name), "--overwrite"], message);
        assertEquals(await treeOf("."), before);
        if (!isFile) return;
        files++;
        await put(name, "mine");
        await refused([...at(name), "--overwrite"], / ends in |where a folder is expected/);
        assertEquals(await Deno.readTextFile(name), "mine");
      });
    }
  }
  assertEquals(files > 20, true);
});

Deno.test("a folder that exists is written into whatever it is called", async () => {
  await inside(async () => {
    await inputs();
    await put("pictures.png/other.txt", "mine");
    const { at } = ALL.find(({ verb }) => verb === "generate")!;
    // The model can't be read, which is what is said next.
    await refused(at("pictures.png"), /sd/);
  });
});
