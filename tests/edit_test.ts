/** Laws of Prompt-to-Prompt and of attention maps, on a small model with random weights. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  attentionMaps,
  attentionSheet,
  recordControl,
} from "../diffusion/editing/attention_maps.ts";
import {
  type EditChoices,
  editControl,
  editPrompt,
  planEdit,
  promptToPrompt,
} from "../diffusion/editing/prompt_edit.ts";
import { fitSampling } from "../diffusion/memory.ts";
import { generate, samplerOf } from "../diffusion/sample.ts";
import { loadPipeline } from "../diffusion/pipeline.ts";
import { interpret } from "../compile/interpret.ts";
import { tensor } from "../ops/leaf.ts";
import { assertNear } from "./models_golden.ts";
import { randomFolder } from "./models_folder.ts";
import { testDevice, uniform } from "./support/check.ts";

const device = await testDevice();
const folder = await randomFolder();
const model = await loadPipeline(device, folder, { addTokens: { "<new1>": "red</w>" } });
await Deno.remove(folder, { recursive: true });
const [FROM, TO] = ["a red ball on a table", "a <new1> red ball on a table"];
const how = { steps: 3, guidance: 3, seed: 5 };
const length = model.tokenize([TO]).shape[1];

/** The largest difference. */
const distance = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((most, v, i) => Math.max(most, Math.abs(v - b[i])), 0);

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
  assert(distance(source.data, edited.data) > 0, "the prompts make different pictures");
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
  /** Latents of source and edited prompt. */
  const latents = async (choices?: EditChoices): Promise<[Float32Array, Float32Array]> => {
    const whole = { crossSteps: 1, selfSteps: 1, ...choices };
    const attention = choices &&
      editControl(planEdit(model.tokenizer, length, FROM, TO, whole));
    const made = await samplerOf(model).latents([FROM, TO], { ...how, seed: [5, 5], attention });
    const values = await device.read(made) as Float32Array;
    device.free(made);
    return [values.slice(0, values.length / 2), values.slice(values.length / 2)];
  };
  const [source, alone] = await latents();
  const [same, edited] = await latents({});
  const [again, weighted] = await latents({ weights: { ball: -2 } });
  const rounding = distance(same, source);
  assert(rounding < 1e-4);
  assert(distance(edited, alone) > 10 * rounding, "attention was taken over");
  assertEquals(again, same);
  assert(distance(weighted, edited) > 10 * rounding, "the weight is felt");
});

Deno.test("edit: the hook is its formula, and leaves sources and answers without a prompt alone", () => {
  const [b, heads, t, s] = [8, 2, 3, 5], random = uniform(3);
  const draw = (n: number) => Float32Array.from({ length: n }, () => Math.abs(random()));
  const p = draw(b * heads * t * s), from = draw(s * s), own = draw(s), weights = draw(s);
  const at = (i: number, rest: number) => p[i * heads * t * s + rest];
  for (const on of [0, 1]) {
    const given = {
      ...{ cross: tensor([on]), self: tensor([on]), from: tensor(from, [s, s]) },
      ...{ own: tensor(own), weights: tensor(weights) },
    };
    // Two sources and two edits, asked for with guidance: 0 to 3 without prompts, then sources 4, 5 and edits 6, 7.
    const hook = promptToPrompt({ given, pictures: 4, latent: [1, 3], record: () => {} });
    const run = (kind: "self" | "cross") =>
      interpret([hook({ path: "", kind, cells: [1, 3] })!(tensor(p, [b, heads, t, s]))])[0];
    const taken = (i: number, rest: number) => {
      const row = rest - rest % s, j = rest % s;
      const source = Array.from({ length: s }, (_, k) => at(i - 2, row + k) * from[k * s + j]);
      return weights[j] *
        (on ? source.reduce((a, b) => a + b) + at(i, rest) * own[j] : at(i, rest));
    };
    const expected = (edit: (i: number, rest: number) => number) =>
      Float64Array.from(p, (v, n) => {
        const i = Math.floor(n / (heads * t * s));
        return i < 6 ? v : edit(i, n % (heads * t * s));
      });
    assertNear(run("cross"), expected(taken), 1e-6, "attention to the prompt");
    assertNear(
      run("self"),
      expected((i, rest) => at(on ? i - 2 : i, rest)),
      1e-6,
      "self-attention",
    );
    assertEquals(hook({ path: "", kind: "self", cells: [33, 32] }), undefined);
  }
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
  assert(distance(made[0].picture.data, alone.data) <= 1, "watching changes nothing but rounding");
  const { width, height } = attentionSheet(made);
  assert(width > 8 * made[0].picture.width && height > 2 * made[0].picture.height);
});

Deno.test("edits and maps stay within the memory that was planned, which is counted in pairs for edits", async () => {
  const sampler = samplerOf(model);
  const [height, width] = sampler.latentShape({});
  const shape = { batch: 2, cells: [height, width] as const, guided: true, image: false };
  const edits = editControl(planEdit(model.tokenizer, length, FROM, TO));
  const maps = recordControl([height, width], length);
  const steps = how.steps;
  const walks = [
    [
      { grain: 2, attention: { control: () => edits, steps } },
      () => editPrompt(model, FROM, TO, how),
    ],
    [{ attention: { control: maps, steps } }, () => attentionMaps(model, [TO, FROM], how)],
  ] as const;
  for (const [more, walk] of walks) {
    sampler.free();
    const before = device.buffers.allocated;
    const planned = fitSampling(device.profile, model, { ...shape, ...more });
    await walk();
    const held = device.buffers.allocated - before;
    assert(held <= planned.total && held > planned.total / 2, `${held} of ${planned.total}`);
    const plain = fitSampling(device.profile, model, shape);
    assert(planned.total > plain.total, "what is seen of attention takes memory of its own");
    const many = { ...shape, ...more, batch: 6 };
    const { total } = fitSampling(device.profile, model, many);
    const { batch } = fitSampling(device.profile, model, many, total - 1);
    assertEquals(batch, "grain" in more ? 4 : 3);
  }
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
