// Deltas in PyTorch pickles, as the ecosystem's own tools wrote them (golden/deltas.py); round trips of ours.
import { assert, assertEquals } from "@std/assert";
import { formOf, trainedWeight } from "../concepts/deltas/changes.ts";
import { openBase } from "../concepts/deltas/formats/base.ts";
import type { DeltaFormatName } from "../concepts/deltas/formats/format.ts";
import { loadDelta, openDelta } from "../concepts/deltas/formats/load.ts";
import { saveDeltaAs } from "../concepts/deltas/formats/save.ts";
import {
  assertGolden,
  assertRefusesDamage,
  expected,
  GOLDEN,
  type GoldenFile,
  inFolder,
  MODEL,
  placed,
  TOKENS,
} from "./formats_golden.ts";
import { relativeError, uniform } from "./support/check.ts";

const FILES: GoldenFile[] = [
  ["compvis.ckpt", "compvis", "weight", 2, 0],
  ["compvis_flat.ckpt", "compvis", "weight", 2, 0],
  ["compvis_bare.ckpt", "compvis", "weight", 0, 0],
  ["compvis_compressed.ckpt", "compvis", "factors", 2, 1e-3],
  ["adobe.bin", "adobe", "weight", 2, 0],
  ["adobe_bf16.bin", "adobe", "weight", 0, "bf16"],
  ["adobe_compressed.bin", "adobe", "factors", 2, 1e-3],
  ["custom.bin", "diffusers-custom", "weight", 2, 0],
];

for (const golden of FILES) {
  const [file, format] = golden;
  Deno.test(`${file}, as PyTorch wrote it, is recognised as ${format} and read`, () =>
    assertGolden(golden));
}

Deno.test("a folder as diffusers leaves it: the weights and a file for each token", async () => {
  await inFolder(async (folder) => {
    await placed(folder, "custom.bin", "pytorch_custom_diffusion_weights.bin", "bin");
    const delta = await loadDelta(folder);
    assertEquals(delta.tokens.map((t) => t.token), TOKENS);
    assertEquals(delta.embeddings.map((e) => [...e]), TOKENS.map((t) => [...expected.get(t)]));
  });
});

Deno.test("embeddings of one token: diffusers' (a view of a whole table) and AUTOMATIC1111's", async () => {
  for (
    const [file, token, of] of [["new2.bin", "<new2>", "<new2>"], [
      "webui/webui_embedding.pt",
      "<webui_embedding>",
      "<new1>",
    ]]
  ) {
    const { format, delta } = await openDelta(`${GOLDEN}/${file}`);
    assertEquals([format.name, delta.tokens[0].token, delta.weights.size], ["embedding", token, 0]);
    assertEquals(delta.embeddings[0], expected.get(of));
  }
});

Deno.test("two text encoders: a token has an embedding for each", async () => {
  const delta = await loadDelta(`${GOLDEN}/adobe_two_encoders.bin`);
  assertEquals(delta.embeddings.map((e) => e.length), [12]);
  assertEquals(delta.embeddings2!.map((e) => [...e]), [Array(20).fill(2)]);
  await inFolder(async (folder) => {
    await saveDeltaAs(`${folder}/x.bin`, delta, "adobe");
    const again = await loadDelta(`${folder}/x.bin`);
    assertEquals([again.embeddings, again.embeddings2], [delta.embeddings, delta.embeddings2]);
  });
});

Deno.test("every format in a pickle gives back what was written in it", async () => {
  using base = await openBase(MODEL);
  const round: [to: DeltaFormatName, out: string][] = [
    ["compvis", "x.ckpt"],
    ["adobe", "delta.bin"],
    ["diffusers-custom", "custom.bin"],
    ["diffusers", "plain.bin"],
  ];
  for (const source of ["compvis.ckpt", "adobe_compressed.bin", "a1111.safetensors"]) {
    const delta = await loadDelta(`${GOLDEN}/${source}`);
    for (const [to, out] of round) {
      await inFolder(async (folder) => {
        await saveDeltaAs(`${folder}/${out}`, delta, to, { base: base.read });
        const again = await openDelta(`${folder}/${out}`);
        assertEquals([again.format.name, again.container], [to, "torch"]);
        assertEquals(again.delta.tokens.map((t) => t.token), TOKENS);
        assertEquals(again.delta.embeddings, delta.embeddings);
        assertEquals([...again.delta.weights.keys()].sort(), [...delta.weights.keys()].sort());
        for (const [path, w] of again.delta.weights) {
          const W0 = await base.read(path), before = delta.weights.get(path)!;
          if (formOf(w) === formOf(before)) assertEquals(w, before, `${source} ${to} ${path}`);
          const [a, b] = [w, before].map((x) => trainedWeight(x, W0).data);
          assert(relativeError(a, b) < 1e-6, `${source} ${to} ${path}: ${relativeError(a, b)}`);
        }
      });
    }
  }
});

Deno.test("damaged pickles are refused in words, and nothing else happens", async () => {
  await assertRefusesDamage(FILES.map(([file]) => file), uniform(9));
});
