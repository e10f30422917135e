// How much each layer changed, and which words are rare: numbers that people choose by.
import { assert, assertAlmostEquals, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { main } from "../cli/main.ts";
import { groupChanges, layerChanges, type ParameterPair } from "../concepts/deltas/analyse.ts";
import { rareTokens } from "../concepts/training/rare_tokens.ts";
import { clipTokenizer } from "../files/models/clip_vocabulary.ts";
import { loadTokenizer } from "../models/clip/tokenizer.ts";
import { expected, GOLDEN, inFolder, MODEL } from "./formats_golden.ts";

const f = (...values: number[]) => Float32Array.from(values);

Deno.test("a layer's change is that of its weight and bias together; groups are means over layers", async () => {
  const pairs: Record<string, ParameterPair> = {
    "mid.attn2.to_k.weight": [f(3, 4), f(3, 9)],
    "mid.attn2.to_q.weight": [f(1), undefined],
    "mid.attn1.to_out.0.weight": [f(3, 0), f(3, 3)],
    "mid.attn1.to_out.0.bias": [f(4), f(8)],
    "conv_in.weight": [f(2), f(2)],
    "norm.bias": [f(0), f(1)],
  };
  const layers = await layerChanges(Object.keys(pairs), (name) => Promise.resolve(pairs[name]));
  const change = Object.fromEntries(layers.map((l) => [l.layer, l.change]));
  assertEquals(change["mid.attn2.to_k"], 1);
  assertEquals(change["mid.attn2.to_q"], 0);
  assertEquals(change["mid.attn1.to_out.0"], 1);
  assert(Number.isNaN(change["norm"]), "from nothing to something has no ratio");
  const groups = groupChanges(layers);
  assertEquals(groups["cross-attention"], { layers: 2, parameters: 3, change: 0.5 });
  assertEquals(groups["self-attention"], { layers: 1, parameters: 3, change: 1 });
  assertEquals(groups.other, { layers: 2, parameters: 2, change: 0 });
  await assertRejects(
    () => layerChanges(["a.weight"], () => Promise.resolve([f(1), f(1, 2)])),
    RangeError,
    "a.weight",
  );
});

Deno.test("moongate analyse: a delta against its model, and a model against itself", async () => {
  await inFolder(async (folder) => {
    const run = async (...args: string[]) => {
      const out: string[] = [], err: string[] = [];
      const code = await main(["analyse", ...args], {
        out: (l) => out.push(l),
        err: (l) => err.push(l),
      });
      assertEquals(code, 0, err.join("\n"));
      return out.join("\n");
    };
    const plot = `${folder}/changes.svg`;
    const text = await run(MODEL, `${GOLDEN}/plain.safetensors`, "--json", "--plot", plot);
    const { groups, layers } = JSON.parse(text);
    const changed = layers.filter((l: { change: number }) => l.change > 0);
    assertEquals(
      changed.map((l: { layer: string }) => `${l.layer}.weight`).sort(),
      expected.names.toSorted(),
    );
    assert(groups["cross-attention"].change > 0);
    assertEquals([groups["self-attention"].change, groups.other.change], [0, 0]);
    assertMatch(await Deno.readTextFile(plot), /^<svg.*crimson/s);
    const said = await run(MODEL, MODEL, "--plot", plot, "--overwrite");
    assert(said.endsWith(`every layer: ${plot}`), said);
    assertMatch(await run(MODEL, MODEL), /cross-attention +\d+ +\d+ +0\.00/);
  });
});

Deno.test("rare tokens: counted, of letters, no part of another, the rarest first", async () => {
  const tokenizer = await loadTokenizer(await clipTokenizer("!"));
  const often = (word: string, n: number) => Array.from({ length: n }, () => `a photo of ${word}`);
  const captions = [
    ...often("marmalade", 7),
    ...often("zebra", 5),
    ...often("gecko", 11),
    ...often("cat", 6),
    ...often("2022", 6),
  ];
  const found = rareTokens(tokenizer, captions);
  const marmalade = found.find((t) => t.entry === "marmalade")!;
  assertEquals([marmalade.count, tokenizer.entries([marmalade.id])], [7, ["marmalade</w>"]]);
  const entries = found.map((t) => t.entry);
  assert(!entries.includes("gecko"), "too often");
  assert(!entries.includes("cat"), "a part of other words");
  assert(!entries.includes("2022"), "no letters");
  assertEquals(found.map((t) => t.count), found.map((t) => t.count).toSorted((a, b) => a - b));
  const wider = rareTokens(tokenizer, captions, { low: 11, high: 11 });
  assertEquals(wider.map((t) => t.entry), ["gecko"]);
  assertAlmostEquals(wider[0].count, 11);
});
