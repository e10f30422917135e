/** Whole models from folders that diffusers wrote (`golden/pipelines.py`): features, latents, pictures, new words. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { evaluate } from "../compile/compile.ts";
import { withDelta } from "../concepts/deltas/apply.ts";
import { mergeDeltas } from "../concepts/merge/deltas.ts";
import { planTrainingMemory } from "../concepts/training/memory.ts";
import { trainConcepts } from "../concepts/training/train.ts";
import { conceptMask, customDiffusionMask } from "../concepts/training/trainable.ts";
import { MemoryError } from "../device/memory.ts";
import { promptFeatures } from "../diffusion/conditions.ts";
import { planSamplingMemory, weightBytes } from "../diffusion/memory.ts";
import { loadPipeline, type Pipeline, sketchParams } from "../diffusion/pipeline.ts";
import { generate, type LatentOptions, Sampler } from "../diffusion/sample.ts";
import { FileError } from "../files/errors.ts";
import { openSafetensors } from "../files/safetensors/read.ts";
import { fromLatent, vaeDecode } from "../models/vae/vae.ts";
import { tensor } from "../ops/leaf.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatten } from "../tensor/tree.ts";
import { assertNear, toNHWC } from "./models_golden.ts";
import { ownDevice, testDevice } from "./support/check.ts";

type Name = "sd2" | "sdxl";
const GOLDEN = new URL("./golden", import.meta.url).pathname;
const FOLDER = `${GOLDEN}/sdxl`;
const PROMPTS = ["photo of a dog", "a cat, a dog"];
const OPTIONS = { steps: 4, guidance: 4 };
const device = await testDevice();
const grey = { width: 16, height: 16, data: new Uint8Array(16 * 16 * 3).fill(99) };

async function stored(model: Name, name: string) {
  const golden = await openSafetensors(await Deno.readFile(`${GOLDEN}/${model}.safetensors`));
  const { shape, data } = await golden.read(name);
  const floats = data as Float32Array;
  if (shape.length !== 4) return { shape, data: floats };
  const [b, c, h, w] = shape;
  return { shape: [b, h, w, c], data: toNHWC(floats, shape) };
}

async function using(
  name: Name,
  work: (model: Pipeline) => Promise<void>,
  addTokens: Record<string, string> = {},
  on = device,
) {
  const model = await loadPipeline(on, `${GOLDEN}/${name}`, { addTokens });
  try {
    await work(model);
  } finally {
    model.free();
  }
}

async function assertFeatures(name: Name, model: Pipeline, prompts: string[], prefix: string) {
  const { context, pooled } = promptFeatures(model.config, model.params, model.tokenize(prompts));
  const made = evaluate(device, { embeds: context, ...(pooled && { pooled }) });
  assertEquals(Object.keys(made).length, name === "sdxl" ? 2 : 1);
  for (const [part, t] of Object.entries(made)) {
    const actual = await device.read(t) as Float32Array;
    assertNear(actual, (await stored(name, prefix + part)).data, 1e-4, part);
    device.free(t);
  }
}

/** Latents of both prompts from the golden's noise. */
async function latents(name: Name, model: Pipeline, sampler: Sampler, options: LatentOptions) {
  const { data, shape } = await stored(name, "noise");
  const given = { ...OPTIONS, noise: tensor(data, shape), ...options };
  const made = await sampler.latents(PROMPTS, given);
  const values = await model.device.read(made) as Float32Array;
  device.free(made);
  return values;
}

Deno.test("SD 2: features, those of a new word, and latents by v-prediction are those of diffusers", async () => {
  await using("sd2", async (model) => {
    assertEquals([model.tokenizer.pad, model.schedule.prediction], [0, "v_prediction"]);
    await assertFeatures("sd2", model, PROMPTS, "");
    const sampler = new Sampler(model);
    for (
      const [expected, options] of [["zeros", {}], ["negative", { negative: "a photo" }]] as const
    ) {
      const made = await latents("sd2", model, sampler, { sampler: "ddim", ...options });
      assertNear(made, (await stored("sd2", expected)).data, 1e-3, expected);
    }
    sampler.free();
  });
  await using("sd2", async (model) => {
    await assertFeatures("sd2", model, ["photo of a <new1> dog"], "new.");
  }, { "<new1>": "dog</w>" });
});

Deno.test("XL: both encoders' features of prompts, and those of a new word, are those of diffusers", async () => {
  await using("sdxl", async (model) => {
    const [pads, pads2] = [model.tokenizer, model.tokenizer2!].map((t) => t.pad);
    assertEquals([pads, pads2], [model.tokenizer.eos, 0]);
    assertEquals(model.tokenize(PROMPTS).shape, [2, 2, 14]);
    await assertFeatures("sdxl", model, PROMPTS, "");
  });
  await using("sdxl", async (model) => {
    await assertFeatures("sdxl", model, ["photo of a <new1> dog"], "new.");
  }, { "<new1>": "dog</w>" });
});

Deno.test("XL: latents from given noise are those of diffusers, with and without a negative prompt, cut and uncut", async () => {
  await using("sdxl", async (model) => {
    const sampler = new Sampler(model);
    const walk = (options: LatentOptions) => latents("sdxl", model, sampler, options);
    const zeros = await walk({});
    assertNear(zeros, (await stored("sdxl", "zeros")).data, 1e-3, "without");
    const cut = { original: [40, 24], topLeft: [3, 5], target: [16, 16] } as const;
    const negative = await walk({ negative: "a photo", cut });
    assertNear(negative, (await stored("sdxl", "negative")).data, 1e-3, "with");
    const size = Math.max(...zeros.map(Math.abs));
    const apart = (x: Float32Array, y: Float32Array) =>
      Math.max(...x.map((v, i) => Math.abs(v - y[i]))) / size;
    assert(apart(zeros, negative) > 0.01, "the negative prompt matters");
    assert(apart(negative, await walk({ negative: "a photo" })) > 1e-3, "the cut matters");
    sampler.free();
  });
});

Deno.test("XL: pictures are what diffusers decodes, at the model's own size, and repeat with their seed", async () => {
  await using("sdxl", async (model) => {
    const pictures = await generate(model, PROMPTS, { ...OPTIONS, seed: 3 });
    assertEquals(pictures.map((p) => [p.width, p.height]), [[16, 16], [16, 16]]);
    assertEquals(await generate(model, PROMPTS, { ...OPTIONS, seed: 3 }), pictures);
    const { shape, data } = await stored("sdxl", "zeros");
    const first = tensor(data.slice(0, data.length / 2), [1, ...shape.slice(1)]);
    const { vae } = model.config;
    const y = evaluate(device, vaeDecode(vae, model.params.vae, fromLatent(vae, first)));
    const decoded = (await device.read(y) as Float32Array)
      .map((v) => Math.min(1, Math.max(0, v / 2 + 0.5)));
    device.free(y);
    const expected = (await stored("sdxl", "picture")).data;
    assertNear(decoded, expected.subarray(0, decoded.length), 1e-3, "the picture");
  });
});

Deno.test("XL: V* trains in both encoders, its delta goes back into both, and two deltas merge", async () => {
  await using("sdxl", async (model) => {
    const paths = [...customDiffusionMask(model, ["<new1>"]).paths];
    assertEquals(paths.filter((p) => p.endsWith("token_embedding.weight")).length, 2);
    const delta = await trainConcepts(model, {
      concepts: [{ token: "<new1>", className: "dog", pictures: [grey] }],
      regularization: [],
      steps: 2,
      batch: 1,
      rate: 1e-3,
    });
    assertEquals(
      [delta.embeddings, delta.embeddings2!].map((e) => e.map((row) => row.length)),
      [[8], [12]],
    );
    const applied = withDelta(model, delta);
    const tables = flatten<Tensor>({ ...applied.params })
      .filter(([path]) => path.endsWith("token_embedding.weight"));
    const [id] = model.tokenIds("<new1>");
    for (const [path, table] of tables) {
      const width = table.shape[1];
      const data = await device.read(table) as Float32Array;
      const row = path.startsWith("text_encoder_2") ? delta.embeddings2![0] : delta.embeddings[0];
      assertEquals(data.slice(id * width, (id + 1) * width), row, path);
      assert(row.some((v, i) => v !== data[(id + 1) * width + i]), `${path} was trained`);
    }
    applied.free();
    const other = {
      ...delta,
      tokens: [{ ...delta.tokens[0], token: "<new2>" }],
      embeddings: [delta.embeddings[0].map((v, i) => v + Math.sin(i))],
      embeddings2: [delta.embeddings2![0].map((v, i) => v + Math.cos(i))],
    };
    const { delta: merged } = await mergeDeltas(model, [delta, other], {
      regularization: ["a cat", "photo of a cat", "a dog, a cat"],
      ridge: 1e-3,
    });
    assertEquals(merged.embeddings, [...delta.embeddings, ...other.embeddings]);
    assertEquals(merged.embeddings2, [...delta.embeddings2!, ...other.embeddings2]);
    assertEquals(merged.weights.size, delta.weights.size);
  }, { "<new1>": "dog</w>", "<new2>": "dog</w>" });
});

Deno.test("XL: training and sampling take the memory that was planned from the folder's configs", async () => {
  // Of its own: what earlier tests dropped comes back to theirs at any time.
  using device = await ownDevice();
  const before = device.buffers.allocated;
  await using(
    "sdxl",
    async (model) => {
      const { config, schedule, tokenIds } = model;
      const sampled = { batch: 2, cells: [8, 8], guided: true, image: false } as const;
      const planned = planSamplingMemory(device.profile, config, sampled);
      assertEquals(device.buffers.allocated - before, planned.weights);
      const sampler = new Sampler(model);
      await sampler.generate(PROMPTS, { ...OPTIONS, batch: 2 });
      const programs = device.buffers.allocated - before - planned.weights;
      const room = planned.total - planned.weights;
      assert(programs <= room && programs > room / 2, `${programs} of ${room}`);
      sampler.free();
      const concepts = [{ token: "<new1>", className: "dog", pictures: [grey] }];
      const choice = { trains: "unet", freezeTokens: true } as const;
      const plan = planTrainingMemory(device.profile, {
        ...{ config, schedule, batch: 2, targets: 2, size: 16, encoded: 0 },
        trains: (params) => conceptMask({ config, params, tokenIds }, concepts, choice),
      });
      const fixed = { concepts, regularization: [], steps: 1, batch: 2 };
      let held = 0;
      await trainConcepts(model, {
        ...{ ...fixed, ...choice, layout: plan.layout },
        onReport: ({ memory }) => void (held = memory - before),
      });
      assertEquals(held, plan.total);
      const refused = trainConcepts(model, { ...fixed, memory: 1000 });
      const { needed } = await assertRejects(() => refused, MemoryError, "in its smallest plan");
      await trainConcepts(model, { ...fixed, memory: needed });
      await assertRejects(
        () => trainConcepts(model, { ...fixed, memory: needed - 1 }),
        MemoryError,
      );
    },
    { "<new1>": "dog</w>" },
    device,
  );
});

Deno.test("XL: weights in f16 leave the autoencoder's in f32, as force_upcast asks", async () => {
  if (!device.profile.f16) return;
  const model = await loadPipeline(device, FOLDER, { dtype: "f16" });
  const types = (part: string) =>
    new Set(flatten<Tensor>(model.params[part]).map(([, t]) => t.dtype));
  assertEquals([types("vae"), types("unet")], [new Set(["f32"]), new Set(["f16", "f32"])]);
  const planned = sketchParams(model.config, "f16");
  assertEquals(weightBytes({ ...model.params }), weightBytes({ ...planned }));
  model.free();
});

Deno.test("XL: a folder whose parts don't fit is refused with what doesn't", async () => {
  const folder = await Deno.makeTempDir();
  const copy = async (path: string): Promise<void> => {
    for await (const { name, isDirectory } of Deno.readDir(`${FOLDER}${path}`)) {
      if (isDirectory) {
        await Deno.mkdir(`${folder}${path}/${name}`);
        await copy(`${path}/${name}`);
      } else await Deno.copyFile(`${FOLDER}${path}/${name}`, `${folder}${path}/${name}`);
    }
  };
  try {
    await copy("");
    const file = `${folder}/text_encoder_2/config.json`;
    const config = JSON.parse(await Deno.readTextFile(file));
    for (
      const [change, words] of [
        [{ architectures: ["CLIPTextModel"] }, "pooled feature of width 6"],
        [{ hidden_size: 16 }, "width 20, its text encoder gives 24"],
        [{ vocab_size: 40, eos_token_id: 2 }, "its tokenizer_2 has 67 tokens"],
      ] as const
    ) {
      await Deno.writeTextFile(file, JSON.stringify({ ...config, ...change }));
      await assertRejects(() => loadPipeline(device, folder), FileError, words);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
