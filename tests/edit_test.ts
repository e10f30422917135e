/** Laws of Prompt-to-Prompt and of attention maps, on a small model with random weights. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { attentionMaps, attentionSheet } from "../diffusion/attention_maps.ts";
import { editControl, editPrompt, planEdit, promptToPrompt } from "../diffusion/prompt_edit.ts";
import { generate, samplerOf } from "../diffusion/sample.ts";
import { loadPipeline } from "../diffusion/pipeline.ts";
import { tensor } from "../ops/leaf.ts";
import { assertNear } from "./models_golden.ts";
import { randomFolder } from "./models_folder.ts";
import { deviceAs } from "./support/check.ts";

const device = await deviceAs(true);
const folder = await randomFolder();
const model = await loadPipeline(device, folder, { addTokens: { "<new1>": "red</w>" } });
await Deno.remove(folder, { recursive: true });
const [FROM, TO] = ["a red ball on a table", "a <new1> red ball on a table"];
const how = { steps: 3, guidance: 3, seed: 5 };
const length = model.tokenize([TO]).shape[1];

const largest = (a: Uint8Array, b: Uint8Array) =>
  a.reduce((most, v, i) => Math.max(most, Math.abs(v - b[i])), 0);

Deno.test("edit: a prompt edited to itself gives the same picture twice, to the bit", async () => {
  const [{ source, edited }] = await editPrompt(model, FROM, FROM, how);
  assertEquals(source.data, edited.data);
});

Deno.test("edit: taking nothing over is making both pictures, to the bit", async () => {
  const [{ source, edited }] = await editPrompt(model, FROM, TO, {
    ...how,
    ...{ crossSteps: 0, selfSteps: 0, weights: { ball: 1 } },
  });
  const plain = await generate(model, [FROM, TO], { ...how, seed: [5, 5] });
  assertEquals([source.data, edited.data], plain.map((p) => p.data));
  assert(largest(source.data, edited.data) > 0, "the prompts make different pictures");
});

Deno.test("edit: the hook with everything off changes nothing but rounding", async () => {
  const plan = planEdit(model.tokenizer, length, FROM, TO, { weights: { ball: 1 } });
  const off = editControl({ ...plan, crossSteps: 0, selfSteps: 0 });
  assertEquals(off.at(0, 3), undefined);
  const on = editControl(plan);
  assertEquals(on.at(2, 3), undefined);
  const given = { ...on.at(0, 3)!, cross: tensor([0]), self: tensor([0]) };
  const sampler = samplerOf(model);
  const walk = { ...how, seed: [5, 5] };
  const values = [];
  for (const attention of [undefined, { hook: promptToPrompt, at: () => given }]) {
    const latents = await sampler.latents([FROM, TO], { ...walk, attention });
    values.push(await device.read(latents) as Float32Array);
    device.free(latents);
  }
  assertNear(values[1], values[0], 1e-4, "the latents");
});

Deno.test("edit: the source stays what it is, the edited picture takes after it", async () => {
  const [source, alone] = await generate(model, [FROM, TO], { ...how, seed: [5, 5] });
  const edit = (options: object) => editPrompt(model, FROM, TO, { ...how, ...options });
  const [all] = await edit({ crossSteps: 1, selfSteps: 1 });
  assert(largest(all.source.data, source.data) <= 1);
  assert(largest(all.edited.data, alone.data) > 1, "attention was taken over");
  const [weighted] = await edit({ crossSteps: 1, selfSteps: 1, weights: { "<new1>": -2 } });
  assertEquals(weighted.source.data, all.source.data);
  assert(largest(weighted.edited.data, all.edited.data) > 0, "the weight is felt");
});

Deno.test("edit: what makes no sense is refused before any work", async () => {
  const plan = (options: object, to = TO) => () =>
    planEdit(model.tokenizer, length, FROM, to, options);
  assertThrows(plan({ crossSteps: 1.5 }), RangeError, "crossSteps is 1.5");
  assertThrows(plan({ selfSteps: NaN }), RangeError, "selfSteps is NaN");
  assertThrows(plan({ weights: { cube: 2 } }), RangeError, 'no "cube"');
  assertThrows(plan({ weights: { ball: Infinity } }), RangeError, "must be a number");
  assertThrows(plan({ alignment: "replace" }), RangeError, "word by word");
  assertEquals(plan({}, "a blue ball on a table")().map.own.some((v) => v === 1), false);
  await assertRejects(() => editPrompt(model, FROM, TO, { crossSteps: -1 }), RangeError);
});

Deno.test("attention maps: not negative, each place's sum to 1, a word's is the sum of its tokens'", async () => {
  const made = await attentionMaps(model, [TO, FROM], { ...how, seed: 5 });
  for (const { height, width, positions, words, prompt } of made) {
    assertEquals(positions.length, height * width * length);
    assert(positions.every((v) => v >= 0));
    for (let place = 0; place < height * width; place++) {
      const own = positions.subarray(place * length, (place + 1) * length);
      assert(Math.abs(own.reduce((a, b) => a + b) - 1) < 1e-5);
      let at = 1;
      const ids = model.tokenizer.wordsOf(prompt);
      words.forEach(({ map }, w) => {
        const sum = ids[w].reduce((total) => total + own[at++], 0);
        assert(Math.abs(map[place] - sum) < 1e-6);
      });
    }
    assertEquals(words.map((w) => w.word), prompt.split(" "));
  }
  const [alone] = await generate(model, [TO, FROM], { ...how, seed: 5 });
  assert(largest(made[0].picture.data, alone.data) <= 1, "watching changes nothing but rounding");
  const { width, height } = attentionSheet(made);
  assert(width > 8 * made[0].picture.width && height > 2 * made[0].picture.height);
});

Deno.test("a prompt's words are its tokens, cut where words end", () => {
  const { tokenizer } = model;
  for (
    const text of ["a red ball, on the <new1>table's edge", "<new1><new1>", "", "zebrafish 12"]
  ) {
    assertEquals(tokenizer.wordsOf(text).flat(), tokenizer.idsOf(text));
  }
  const words = tokenizer.wordsOf("a <new1>ball, zebrafish");
  const spelled = words.map((ids) => tokenizer.decode(ids, { special: true }));
  assertEquals(spelled, ["a", "<new1>", "ball", ",", "zebrafish"]);
});
