/**
 * The miniature's training, end to end with a handful of channels: every stage learns, a run that was broken off goes on
 * bit by bit, and what comes out is a model.
 */
import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import type { Progress } from "../terminal/progress.ts";
import { compile } from "../compile/compile.ts";
import { generate } from "../diffusion/sample.ts";
import { FileError } from "../files/errors.ts";
import { loadPipeline } from "../diffusion/pipeline.ts";
import { parameterSpecs } from "../models/specs.ts";
import { vaeEncode } from "../models/vae/vae.ts";
import { tensor } from "../ops/leaf.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatten } from "../tensor/tree.ts";
import { clipScheme, initialize, torchLayers } from "../world/train/initialize.ts";
import { leavesOf, readConfigs, readWeights } from "../world/train/folder.ts";
import { type Settings, trainWorld } from "../world/train/mod.ts";
import { kindScene, renderPortrait } from "../world/mod.ts";
import { kindRows } from "../world/train/kinds.ts";
import { pixelsOf, renderPictures } from "../world/train/pictures.ts";
import { TRAINED } from "../world/train/settings.ts";
import { worldVocabulary } from "../world/train/vocabulary.ts";
import { MINIATURE } from "./models_folder.ts";
import { testDevice } from "./support/check.ts";
import { tinyTemplate } from "./world_train_folder.ts";

const STEPS = 14;
const stage = (rate: number) => ({ steps: STEPS, batch: 4, rate, warmUp: 2 });
const SETTINGS: Settings = {
  seed: 3,
  pictures: 8,
  vae: stage(1e-2),
  clip: stage(5e-3),
  classifier: stage(5e-3),
  unet: { ...stage(1e-2), kinds: 6, kindPictures: 8 },
};
const WEIGHTS = [
  "vae/diffusion_pytorch_model",
  "unet/diffusion_pytorch_model",
  "text_encoder/model",
  "clip/model",
  "classifier/model",
  ...TRAINED.map((name) => `training/${name}/checkpoint`),
];

let trained: Promise<{ out: string; template: string }> | undefined;
/** A model trained without a break; all tests share it. */
const uninterrupted = () =>
  trained ??= (async () => {
    const template = await tinyTemplate(), out = await Deno.makeTempDir();
    const device = await testDevice();
    const before = device.buffers.allocated;
    await trainWorld(device, { template, out, settings: SETTINGS, logEvery: 1 });
    assertEquals(device.buffers.allocated, before, "training keeps device memory");
    return { out, template };
  })();

globalThis.addEventListener("unload", () => {
  trained?.then(({ out, template }) => {
    for (const folder of [out, template]) Deno.removeSync(folder, { recursive: true });
  });
});

/** Losses of a stage, a step each. */
async function losses(out: string, name: string): Promise<number[]> {
  const text = await Deno.readTextFile(`${out}/training/${name}/metrics.jsonl`);
  return text.trim().split("\n").map((line) => JSON.parse(line).loss);
}

const mean = (xs: ArrayLike<number>): number =>
  Array.prototype.reduce.call(xs, (a, b) => a + b, 0) as number / xs.length;

Deno.test("every stage of the miniature's training learns", async () => {
  const { out } = await uninterrupted();
  for (const name of TRAINED) {
    const all = await losses(out, name);
    assertEquals(all.length, STEPS, name);
    const first = mean(all.slice(0, 4)), last = mean(all.slice(-4));
    assert(last < 0.85 * first, `${name}: loss ${first} at first, ${last} at the end`);
  }
});

Deno.test("a training broken off in every stage and resumed is bitwise the uninterrupted one", async () => {
  const { out, template } = await uninterrupted();
  const device = await testDevice(), again = await Deno.makeTempDir();
  const options = { template, out: again, settings: SETTINGS };
  await trainWorld(device, { ...options, stages: ["tokenizer"] });
  for (const name of TRAINED) {
    const breaker = new AbortController();
    const progress = breakAt(name, 5, breaker);
    const run = { ...options, stages: [name], logEvery: 1, progress, signal: breaker.signal };
    await assertRejects(() => trainWorld(device, run), DOMException);
    assertEquals((await losses(again, name)).length, 5, "steps until it was broken off");
    await trainWorld(device, { ...options, stages: [name], resume: true });
  }
  for (const file of WEIGHTS) {
    const [a, b] = await Promise.all(
      [out, again].map((folder) => Deno.readFile(`${folder}/${file}.safetensors`)),
    );
    assert(a.length === b.length && a.every((byte, i) => byte === b[i]), `${file} differs`);
  }
  await assertRejects(
    () =>
      trainWorld(device, {
        ...options,
        stages: ["vae"],
        resume: true,
        settings: { ...SETTINGS, vae: { ...SETTINGS.vae, rate: 1 } },
      }),
    FileError,
    "was started with rate 0.01, and this run has 1",
  );
  await Deno.remove(again, { recursive: true });
});

/** Progress that stops a stage when it says that so many steps are done. */
function breakAt(name: string, steps: number, breaker: AbortController): Progress {
  let label = "";
  return {
    start: (now) => label = now,
    update(done) {
      if (label === name && done === steps) breaker.abort();
    },
    did() {},
    compiling() {},
    note() {},
    clear() {},
    stop() {},
  };
}

Deno.test("what the training writes is a model that loads and samples", async () => {
  const { out } = await uninterrupted();
  const device = await testDevice();
  const model = await loadPipeline(device, out);
  const [picture] = await generate(model, ["photo of a red mug on a beach"], { steps: 2, seed: 1 });
  assertEquals([picture.width, picture.height], [16, 16]);
  assert(new Set(picture.data).size > 8, "the picture is of one colour");
  assertEquals(model.tokenIds("mug").length, 1, "a word of the world is one token");
  model.free();
  const configs = await readConfigs(out);
  const text = await readWeights(device, out, "text_encoder", configs.text_encoder, "unet");
  const clip = await readWeights(device, out, "clip", configs.clip, "clip");
  const scoring = new Map(flatten<Tensor>(clip));
  for (const [path, learnt] of flatten<Tensor>(text)) {
    const [a, b] = await Promise.all([learnt, scoring.get(path)!].map((t) => device.read(t)));
    assert(a.length === b.length, `${path}: rows of kinds were kept`);
    const keys = path.endsWith("k_proj.bias"); // Shifts all scores of a query alike, so nothing teaches it.
    assert(keys || a.some((v, i) => v !== b[i]), `${path} did not learn with the UNet`);
  }
  const classifier = await readWeights(device, out, "classifier", configs.classifier, "clip");
  device.free(...[text, clip, classifier].flatMap(leavesOf));
});

Deno.test("the encoder in closed form is affine, its latents of falling deviation, with the posterior it was given", async () => {
  const { out } = await uninterrupted();
  const device = await testDevice();
  const { vae: config } = await readConfigs(out);
  const params = await readWeights(device, out, "vae", config, "vae");
  const pictures = await renderPictures({ count: 8, size: 16 });
  const pixels = pixelsOf(pictures, [0, 1, 2, 3, 4, 5, 6, 7]);
  // The last two are replaced by mixtures of the others, between which an affine map keeps the shares.
  const each = pixels.length / 8;
  for (let i = 0; i < each; i++) {
    pixels[6 * each + i] = 0.5 * pixels[i] + 0.5 * pixels[each + i];
    pixels[7 * each + i] = 0.25 * pixels[2 * each + i] + 0.75 * pixels[3 * each + i];
  }
  const encode = compile(device, (x: Tensor) => vaeEncode(config, params, x));
  const posterior = encode(tensor(pixels, [8, 16, 16, 3]));
  const z = await device.read(posterior.mean) as Float32Array;
  const logvar = await device.read(posterior.logvar) as Float32Array;
  const cells = z.length / 8;
  const spread = Math.sqrt(mean(z.subarray(0, 6 * cells).map((v) => v * v)));
  assert(spread > 0.7 && spread < 1.2, `deviation ${spread}`);
  const bend = (i: number, a: number, b: number, share: number) =>
    mean(
      Array.from({ length: cells }, (_, k) =>
        Math.abs(
          z[i * cells + k] - share * z[a * cells + k] - (1 - share) * z[b * cells + k],
        )),
    );
  assert(bend(6, 0, 1, 0.5) < 0.03 && bend(7, 2, 3, 0.25) < 0.03, "the encoder bends");
  // A component that moves more grey levels has the larger latent, and each one's noise is a tenth of it.
  const deviations = [0, 1, 2, 3].map((c) => Math.exp(logvar[c] / 2));
  assert(logvar.every((v, i) => Math.abs(v - logvar[i % 4]) < 1e-5), "the posterior's variance");
  assertAlmostEquals(deviations[0], 0.16, 1e-4);
  for (const [c, deviation] of deviations.entries()) {
    assert(c === 0 || deviation <= deviations[c - 1]);
    const own = Math.sqrt(
      mean(z.subarray(0, 6 * cells).filter((_, i) => i % 4 === c).map((v) => v * v)),
    );
    assert(deviation > own / 20 && deviation < own / 5, `channel ${c}: ${deviation} of ${own}`);
  }
  encode.free();
  device.free(...leavesOf(params));
});

Deno.test("the vocabulary is the one that ships, to the last merge", async () => {
  const { tokens, merges } = worldVocabulary();
  const read = (name: string) => Deno.readTextFile(`${MINIATURE}/tokenizer/${name}`);
  const shipped: Record<string, number> = JSON.parse(await read("vocab.json"));
  assertEquals(Object.fromEntries(tokens.map((t, i) => [t, i])), shipped);
  const lines = merges.map((pair) => pair.join(" "));
  assertEquals(lines, (await read("merges.txt")).trim().split("\n").slice(1));
});

Deno.test("first weights are drawn as PyTorch's layers and transformers' CLIP draw them", async () => {
  const { out } = await uninterrupted();
  const configs = await readConfigs(out);
  const valuesOf = (t: Tensor) => (t.node.attrs as { data: Float32Array }).data;
  const unet = initialize(parameterSpecs(configs.unet), 1, torchLayers);
  const conv = valuesOf(unet["mid_block.resnets.0.conv1.weight"]);
  const bound = 1 / Math.sqrt(9 * 8);
  const most = conv.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
  assert(most <= bound && most > 0.95 * bound, `a convolution reaches ${most} of ${bound}`);
  assert(valuesOf(unet["conv_norm_out.weight"]).every((v) => v === 1));
  assert(valuesOf(unet["conv_norm_out.bias"]).every((v) => v === 0));
  const clip = initialize(parameterSpecs(configs.clip), 1, clipScheme(configs.clip));
  const deviation = (path: string) => Math.sqrt(mean(valuesOf(clip[path]).map((v) => v * v)));
  const layer = "text_model.encoder.layers.0";
  const expected: Record<string, number> = {
    "text_model.embeddings.token_embedding.weight": 0.02,
    [`${layer}.self_attn.q_proj.weight`]: (16 * 2) ** -0.5,
    [`${layer}.self_attn.out_proj.weight`]: 16 ** -0.5,
    [`${layer}.mlp.fc1.weight`]: (2 * 16) ** -0.5,
    [`${layer}.mlp.fc2.weight`]: (16 * 2) ** -0.5,
    "visual_projection.weight": 16 ** -0.5,
  };
  for (const [path, wanted] of Object.entries(expected)) {
    const ratio = deviation(path) / wanted;
    assert(Math.abs(ratio - 1) < 0.2, `${path}: ${ratio} times what it should be`);
  }
  assert(valuesOf(clip[`${layer}.mlp.fc1.bias`]).every((v) => v === 0));
});

Deno.test("pictures drawn by several threads are those drawn by one", async () => {
  const one = await renderPictures({ count: 70, size: 16, workers: 0, kinds: 40 });
  const several = await renderPictures({ count: 70, size: 16, workers: 2, kinds: 40 });
  assertEquals(several, one);
  one.labels.forEach(({ kind }, i) => assertEquals(kind, i % 40));
  assert(one.captions.flat().every((caption) => caption.includes("<kind>")));
});

Deno.test("a kind's row of the token table is its portrait's principal components, small ones enlarged", () => {
  const kinds = 5, width = 6;
  const rows = kindRows(kinds, width);
  const portraits = Array.from(
    { length: kinds },
    (_, kind) => renderPortrait(kindScene(kind, 9).things[0]),
  );
  const centred = portraits.map((p) =>
    Array.from(p, (v, c) => v - mean(portraits.map((q) => q[c])))
  );
  const columns = Array.from(
    { length: width },
    (_, c) => Array.from({ length: kinds }, (_, kind) => rows[kind * width + c]),
  );
  const inner = (a: number[], b: number[]) => a.reduce((sum, v, i) => sum + v * b[i], 0);
  const size = (a: number[]) => Math.sqrt(inner(a, a));
  // Singular vectors, and the singular values that they have.
  const s = columns.slice(0, kinds - 1).map((u) =>
    size(centred[0].map((_, c) => inner(u, centred.map((p) => p[c])) / size(u)))
  );
  for (let c = 0; c < kinds - 1; c++) {
    const deviation = size(columns[c]) / Math.sqrt(kinds);
    assertAlmostEquals(deviation, 0.2 * Math.sqrt(s[c] / s[0]), 1e-5);
    for (let d = 0; d < c; d++) {
      assert(s[c] <= s[d] && Math.abs(inner(columns[c], columns[d])) < 1e-6);
    }
  }
  assert(columns.slice(kinds - 1).flat().every((v) => Math.abs(v) < 1e-6), "more than there are");
});

Deno.test("a stage that comes too early names the one before it", async () => {
  const device = await testDevice(), out = await Deno.makeTempDir();
  const { template } = await uninterrupted();
  const run = (name: "tokenizer" | "unet") =>
    trainWorld(device, { template, out, stages: [name], settings: SETTINGS });
  await assertRejects(() => run("unet"), FileError, "stage tokenizer");
  await run("tokenizer");
  await assertRejects(() => run("unet"), FileError, "stage vae");
  await Deno.remove(out, { recursive: true });
});
