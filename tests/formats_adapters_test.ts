// Adapter files of every tool (golden/adapters.py): applied as diffusers applies them, or as the definition says, key by key.
import { assert, assertEquals } from "@std/assert";
import { withDeltas } from "../concepts/deltas/apply.ts";
import { changeMatrix } from "../concepts/deltas/changes.ts";
import type { Delta } from "../concepts/deltas/delta.ts";
import { openBase } from "../concepts/deltas/formats/base.ts";
import { loadDelta, openDelta } from "../concepts/deltas/formats/load.ts";
import { loadPipeline } from "../diffusion/pipeline.ts";
import { openSafetensors } from "../files/safetensors/read.ts";
import { toFile } from "../models/layout.ts";
import { fileShape } from "../models/params.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatten } from "../tensor/tree.ts";
import { assertRefusesDamage } from "./formats_golden.ts";
import { relativeError, testDevice, uniform } from "./support/check.ts";

const GOLDEN = new URL("./golden/adapters", import.meta.url).pathname;
const SD1 = new URL("./golden/verify/sd1", import.meta.url).pathname;
const SDXL = new URL("./golden/sdxl", import.meta.url).pathname;

/** What each file makes of the weights: W − W0 by path. */
const expected = new Map<string, Map<string, Float32Array>>();
{
  using source = await openSafetensors(`${GOLDEN}/expected.safetensors`);
  for (const name of source.tensors.keys()) {
    const [file, path] = name.split("|"), changes = expected.get(file) ?? new Map();
    expected.set(file, changes.set(path, await source.readFloat32(name)));
  }
}

const modelOf = (file: string): string => file.includes("sdxl") ? SDXL : SD1;

/** Keys of a file that are noted as not needed. */
const NOT_NEEDED: Record<string, string[]> = {
  "trainer.safetensors": ["alpha", "lora_down.weight", "lora_up.weight"].map((part) =>
    `lora_te1.text_projection.${part}`
  ),
  "twice.safetensors": ["alpha", "lora_down.weight", "lora_up.weight"].map((part) =>
    `lora_unet_middle_block_1_transformer_blocks_0_attn2_to_k.${part}`
  ),
};

Deno.test("there are golden files of as many kinds as the script writes", () => {
  const files = [...Deno.readDirSync(GOLDEN)].map(({ name }) => name);
  assertEquals([...expected.keys(), "expected.safetensors"].sort(), files.sort());
  assert(expected.size >= 28);
});

for (const [file, changes] of expected) {
  Deno.test(`${file} is read: the change of each weight within 1e-5, and no key unaccounted for`, async () => {
    using base = await openBase(modelOf(file));
    const { delta: read, format } = await openDelta(`${GOLDEN}/${file}`, base);
    assert(["lora", "kohya"].includes(format.name));
    const delta = base.fit(file, read);
    assertEquals([...delta.weights.keys()].sort(), [...changes.keys()].sort());
    for (const [path, wanted] of changes) {
      const found = changeMatrix(delta.weights.get(path)!, await base.read(path)).data;
      const error = relativeError(found, wanted);
      assert(error < 1e-5, `${path}: ${error}`);
    }
    const { notNeeded = [] } = delta.notes as { notNeeded?: string[] };
    assertEquals(notNeeded.toSorted(), NOT_NEEDED[file] ?? []);
  });
}

Deno.test("an adapter that brings a word along teaches it", async () => {
  const { tokens, embeddings } = await loadDelta(`${GOLDEN}/trainer.safetensors`);
  assertEquals(tokens.map(({ token }) => token), ["<a.cat>"]);
  assertEquals(embeddings, [Float32Array.of(0, 1, 2, 3, 4, 5, 6, 7)]);
});

Deno.test("damaged adapters are refused in words, and nothing else happens", async () => {
  const files = ["kohya", "kohya_dora", "loha", "lokr", "locon_core", "diffusers_patterns", "full"];
  await assertRefusesDamage(files.map((file) => `../adapters/${file}.safetensors`), uniform(5));
});

Deno.test("in a model on a device each has the same weights: convolutions, DoRA, text encoders", async () => {
  const device = await testDevice();
  for (const folder of [SD1, SDXL]) {
    const pipeline = await loadPipeline(device, folder, { addTokens: { "<a.cat>": "a" } });
    using base = await openBase(folder);
    for (const [file, changes] of expected) {
      if (modelOf(file) !== folder) continue;
      const delta: Delta = await loadDelta(`${GOLDEN}/${file}`, base);
      const half = withDeltas(pipeline, [{ delta, strength: 0.5, name: file }]);
      const params = new Map(flatten<Tensor>({ ...half.params }));
      for (const [path, wanted] of changes) {
        const t = params.get(path)!, W0 = await base.read(path);
        const held = await device.read(t) as Float32Array;
        const W = t.shape.length === 4 ? toFile(held, fileShape(t.shape, "conv")) : held;
        const exact = W0.map((x, i) => x + 0.5 * wanted[i]);
        assert(relativeError(W, exact) < 1e-6, `${file} ${path}: ${relativeError(W, exact)}`);
      }
      half.free();
    }
  }
});
