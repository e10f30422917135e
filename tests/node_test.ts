// The bundle in Node: the README's first program, without its types, on the tensors alone; and files of a disk.
import { assert, assertEquals, assertMatch } from "@std/assert";
import * as esbuild from "npm:esbuild@0.27.0";
import { loadDelta } from "../concepts/deltas/formats/load.ts";
import { fingerprint } from "../files/models/fingerprint.ts";
import { openModelFolder } from "../files/models/folder.ts";
import { dist, inFolder } from "./support/dist.ts";
import { nodeOf, NODES } from "./support/node.ts";

/** The first program of the README, for a door. */
async function xor(door: string): Promise<string> {
  const readme = await Deno.readTextFile(new URL("../README.md", import.meta.url));
  const [, program] = /```ts\n(.*?)```/s.exec(readme)!;
  assert(program.includes('"./mod.ts"') && program.includes("XOR"));
  const { code } = await esbuild.transform(program.replace("./mod.ts", door), { loader: "ts" });
  await esbuild.stop();
  return code;
}

for (const version of NODES) {
  Deno.test(`the README's XOR runs on the engine alone in Node ${version}`, async () => {
    const node = await nodeOf(version);
    if (!node) return;
    const { folder: library } = await dist();
    await inFolder(async (folder) => {
      await Deno.writeTextFile(`${folder}/main.mjs`, await xor(`file://${library}/engine.js`));
      const said = await node(`${folder}/main.mjs`);
      const numbers = /XOR: Float32Array\(4\) \[([^\]]*)\]/.exec(said)?.[1].split(",").map(Number);
      assert(numbers, said);
      for (const [i, wanted] of [0, 1, 1, 0].entries()) {
        assert(Math.abs(numbers[i] - wanted) < 0.1, `${numbers}`);
      }
    });
  });
}

Deno.test("in Node paths are those of the disk: models and deltas are read, files written whole or not at all", async () => {
  const node = await nodeOf("20");
  if (!node) return;
  const root = new URL("../", import.meta.url).pathname, { folder: library } = await dist();
  await inFolder(async (folder) => {
    const main = `${folder}/main.mjs`, delta = `${root}tests/golden/deltas/custom.safetensors`;
    await Deno.writeTextFile(
      main,
      `import * as m from "file://${library}/mod.js";
const refusal = (promise) => promise.then(() => "nothing was refused", (e) => e.message);
const mark = await m.fingerprint(await m.openModelFolder("${root}world/miniature"));
await m.saveDelta("${folder}/delta.safetensors", await m.loadDelta("${delta}"));
const back = await m.loadDelta("${folder}");
const refusals = [
  await refusal(m.loadDelta("${folder}/none.safetensors")),
  await refusal(m.loadDelta("${folder}/main.mjs/none.safetensors")),
  await refusal(m.saveDelta("${folder}/none/delta.safetensors", back)),
  await refusal(m.writeSafetensors("${folder}/half.safetensors", {
    a: { shape: [1], dtype: "F32", data: () => Promise.reject(new Error("the power went")) },
  })),
  await refusal(m.readPicture("${root}world/concepts/zebra/0.png")),
];
console.log(JSON.stringify({ mark, weights: [...back.weights.keys()], refusals }));`,
    );
    const { mark, weights, refusals } = JSON.parse(await node(main));
    assertEquals(mark, await fingerprint(await openModelFolder(`${root}world/miniature`)));
    assertEquals(weights, [...(await loadDelta(delta)).weights.keys()]);
    const words = [
      /none\.safetensors: does not exist/,
      /does not exist|lies under something that is not a folder/,
      /can't be written, since the folder .* does not exist/,
      /^the power went$/,
      /this runtime has no decoder of pictures/,
    ];
    words.forEach((pattern, i) => assertMatch(refusals[i], pattern));
    const left = new Set([...Deno.readDirSync(folder)].map(({ name }) => name));
    assertEquals(left, new Set(["delta.safetensors", "main.mjs"]));
  });
});
