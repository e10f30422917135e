/** Loading parameters and whole model folders: every name, old names, both element types, and clear refusals. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { FileError } from "../files/errors.ts";
import { openSafetensors, type TensorSource, tensorSource } from "../files/safetensors/read.ts";
import { writeSafetensors } from "../files/safetensors/write.ts";
import { interpret } from "../compile/interpret.ts";
import { engineRows, toEngine, toFile } from "../models/layout.ts";
import { loadComponent, storeComponent } from "../models/load.ts";
import { withRows } from "../models/clip/new_tokens.ts";
import { engineShape } from "../models/params.ts";
import { loadPipeline } from "../diffusion/pipeline.ts";
import { type ModelConfig, parameterSpecs } from "../models/specs.ts";
import { clipConfig, clipVisionConfig } from "../models/clip/vision.ts";
import { clipTextConfig } from "../models/clip/text.ts";
import { TokenError } from "../models/clip/tokenizer.ts";
import { unetConfig } from "../models/unet/unet.ts";
import { vaeConfig } from "../models/vae/vae.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatten } from "../tensor/tree.ts";
import { testDevice } from "./support/check.ts";
import { randomFolder } from "./models_folder.ts";
import { type Golden, openGolden } from "./models_golden.ts";

/** The checkpoint in a golden, with names changed (or dropped, by undefined) on the way. */
function checkpoint(
  golden: Golden,
  rename = (name: string): string | undefined => name,
): TensorSource {
  const entries = golden.names("params.").flatMap((name) => {
    const to = rename(name);
    const { shape, data } = golden.get(`params.${name}`);
    return to === undefined ? [] : [[to, { shape, data, dtype: "F32" as const }] as const];
  });
  return tensorSource(
    "small.safetensors",
    new Map(entries),
    {},
    (entry, first, count) => Promise.resolve(entry.data.slice(first, first + count)),
    () => {},
  );
}

const KINDS: [name: string, config: (c: Record<string, unknown>) => ModelConfig][] = [
  ["vae", vaeConfig],
  ["unet_conv", unetConfig],
  ["unet_linear", unetConfig],
  ["clip", clipConfig],
];

Deno.test("loading and storing gives back every checkpoint of the goldens bit by bit", async () => {
  const device = await testDevice();
  const path = await Deno.makeTempFile({ suffix: ".safetensors" });
  for (const [name, read] of KINDS) {
    const golden = await openGolden(name);
    const config = read(golden.config);
    const counts: number[] = [];
    const params = await loadComponent(device, checkpoint(golden), config, {
      onProgress: (done, total) => counts.push(done / total),
    });
    assertEquals([counts.length, counts.at(-1)], [parameterSpecs(config).size, 1]);
    await writeSafetensors(path, storeComponent(device, params, config));
    using stored = await openSafetensors(path);
    const expected = golden.names("params.").filter((n) => n !== "logit_scale");
    assertEquals([...stored.tensors.keys()].toSorted(), expected.toSorted());
    for (const key of expected) {
      const { shape, data } = await stored.read(key);
      assertEquals({ shape, data }, golden.get(`params.${key}`), key);
    }
    device.free(...flatten<Tensor>(params).map(([, t]) => t));
  }
  await Deno.remove(path);
});

Deno.test("convolutions are held HWIO, and f16 is for matrices only", async () => {
  const device = await testDevice();
  const golden = await openGolden("vae");
  const params = await loadComponent(device, checkpoint(golden), vaeConfig(golden.config), {
    dtype: "f16",
  });
  for (const [name, t] of flatten<Tensor>(params)) {
    const { shape } = golden.get(`params.${name}`);
    assertEquals(t.dtype, shape.length > 1 ? "f16" : "f32", name);
    const [o, i, h, w] = shape;
    assertEquals(t.shape, shape.length === 4 ? [h, w, i, o] : shape, name);
  }
  device.free(...flatten<Tensor>(params).map(([, t]) => t));
});

Deno.test("layouts are turned by their definition, there and back, for any extents", () => {
  for (
    const [o, i, h, w] of [[1, 1, 1, 1], [3, 2, 3, 3], [17, 5, 1, 1], [40, 3, 3, 2], [16, 16, 3, 3]]
  ) {
    const data = Float32Array.from({ length: o * i * h * w }, (_, k) => k);
    const turned = toEngine(data, [o, i, h, w]);
    for (let k = 0; k < data.length; k++) {
      const x = k % w, y = Math.floor(k / w) % h, c = Math.floor(k / w / h) % i;
      const q = Math.floor(k / w / h / i);
      assertEquals(turned[((y * w + x) * i + c) * o + q], k);
    }
    assertEquals(toFile(turned, [o, i, h, w]), data);
    const row = i * h * w, pieces = new Float32Array(data.length);
    for (let first = 0; first < o; first += 7) {
      engineRows(data.subarray(first * row, (first + 7) * row), [o, i, h, w], first, pieces);
    }
    assertEquals(pieces, turned);
  }
});

Deno.test("names of older and newer writers are found", async () => {
  const device = await testDevice();
  const vae = await openGolden("vae");
  const old: Record<string, string> = {
    to_q: "query",
    to_k: "key",
    to_v: "value",
    "to_out.0": "proj_attn",
  };
  const older = checkpoint(vae, (n) => {
    const part = n.match(/mid_block\.attentions\.0\.(to_q|to_k|to_v|to_out\.0)\./)?.[1];
    return part ? n.replace(part, old[part]) : n;
  });
  assert(older.tensors.has("decoder.mid_block.attentions.0.proj_attn.weight"));
  const clip = await openGolden("clip");
  const only = (prefix: string) => (n: string) =>
    n.startsWith(prefix) ? n.slice(prefix.length) : undefined;
  const text = clipTextConfig(clip.config.text_config);
  const vision = clipVisionConfig(clip.config.vision_config);
  const cases: [TensorSource, ModelConfig, Golden][] = [
    [older, vaeConfig(vae.config), vae],
    [checkpoint(clip, only("text_model.")), text, clip],
    [checkpoint(clip), text, clip], // the half of a whole CLIP
    [checkpoint(clip, only("vision_model.")), vision, clip],
    [checkpoint(clip), vision, clip],
  ];
  for (const [source, config, golden] of cases) {
    const params = await loadComponent(device, source, config);
    for (const [name, t] of flatten<Tensor>(params)) {
      const spec = parameterSpecs(config).get(name)!;
      const { data } = golden.get(`params.${name}`);
      const expected = spec.layout === "conv" ? toEngine(data, spec.shape) : data;
      assertEquals(await device.read(t), expected, name);
      assertEquals(t.shape, engineShape(spec));
    }
    device.free(...flatten<Tensor>(params).map(([, t]) => t));
  }
});

Deno.test("a checkpoint that does not fit its config is refused with all differences", async () => {
  const device = await testDevice();
  const golden = await openGolden("unet_conv");
  const config = unetConfig(golden.config);
  const before = device.buffers.allocated;
  const refused = async (source: TensorSource, ...parts: string[]) => {
    const error = await assertRejects(() => loadComponent(device, source, config), FileError);
    for (const part of ["small.safetensors", ...parts]) {
      assert(error.message.includes(part), error.message);
    }
  };
  await refused(
    checkpoint(golden, (n) => n === "conv_in.bias" ? undefined : n),
    "lacks conv_in.bias",
  );
  await refused(
    checkpoint(golden, (n) => n.startsWith("mid_block") ? `extra.${n}` : n),
    "and 41 more",
    "holds what its config does not speak of: extra.mid_block.",
  );
  await refused(
    checkpoint(
      golden,
      (n) => n === "conv_in.bias" ? "conv_out.bias" : n === "conv_out.bias" ? "conv_in.bias" : n,
    ),
    "has the wrong shape in conv_in.bias is [3], not [8]",
  );
  assertEquals(
    device.buffers.allocated,
    before,
    "nothing is uploaded before all has been compared",
  );
});

Deno.test("a folder is loaded whole, with rows for new tokens copied from their initializers", async () => {
  const device = await testDevice();
  const folder = await randomFolder();
  const before = device.buffers.allocated;
  const entries = JSON.parse(await Deno.readTextFile(`${folder}/tokenizer/vocab.json`));
  const words = Object.keys(entries).length;
  const [one, two] = Object.keys(entries).filter((e) => /^[a-z]+$/.test(e));
  const seen = new Set<string>();
  const model = await loadPipeline(device, `${folder}/`, {
    addTokens: { "<new1>": one, "<new2>": two },
    onProgress: (component) => seen.add(component),
  });
  assertEquals([...seen].toSorted(), ["text_encoder", "unet", "vae"]);
  assertEquals([model.tokenIds("<new1>"), model.tokenIds("<new2>")], [[words], [words + 1]]);
  assertEquals(model.config.text_encoder.vocabulary, words + 2);
  assertEquals(model.schedule.alphaBars.length, 1000);

  const table = new Map(flatten<Tensor>(model.params)).get(
    "text_encoder.text_model.embeddings.token_embedding.weight",
  )!;
  const { hidden_size: width } = JSON.parse(
    await Deno.readTextFile(`${folder}/text_encoder/config.json`),
  );
  assertEquals(table.shape, [words + 2, width]);
  const values = await device.read(table) as Float32Array;
  const row = (i: number) => values.slice(i * width, (i + 1) * width);
  assertEquals(row(words), row(entries[one]));
  assertEquals(row(words + 1), row(entries[two]));
  using stored = await openSafetensors(`${folder}/text_encoder/model.safetensors`);
  const base = await stored.readFloat32("text_model.embeddings.token_embedding.weight");
  assertEquals(values.slice(0, words * width), base);

  const ids = model.tokenize(["photo of a <new1> gate", ""]);
  assertEquals([ids.shape, ids.dtype], [[2, 32], "u32"]);
  const [numbers] = interpret([ids]);
  assertEquals(numbers[32], words - 2);
  assertEquals(numbers[33], words - 1);
  assert(numbers.includes(words));
  model.free();
  assertEquals(device.buffers.allocated, before);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("rows of new tokens are there whichever part of the table is read", async () => {
  const name = "text_model.embeddings.token_embedding.weight";
  const table = Float32Array.from({ length: 40 }, (_, i) => i);
  const stored = tensorSource(
    "table",
    new Map([[name, { dtype: "F32" as const, shape: [10, 4] }]]),
    {},
    (_, first, count) => Promise.resolve(table.slice(first, first + count)),
    () => {},
  );
  // One takes the place of a row that was kept free, two come after.
  const source = withRows(stored, [{ row: 9, from: 2 }, { row: 10, from: 0 }, {
    row: 11,
    from: 5,
  }]);
  const expected = [
    ...table.slice(0, 36),
    ...[2, 0, 5].flatMap((r) => [...table.slice(4 * r, 4 * r + 4)]),
  ];
  assertEquals(source.tensors.get(name)!.shape, [12, 4]);
  assertEquals([...await source.readFloat32(name)], expected);
  for (let first = 0; first <= 48; first += 3) {
    for (let count = 0; first + count <= 48; count += 5) {
      const part = await source.readPart(name, first, count) as Float32Array;
      assertEquals([...part], expected.slice(first, first + count));
    }
  }
});

Deno.test("tokens that exist, initializers that don't, and parts that don't fit are refused", async () => {
  const device = await testDevice();
  const folder = await randomFolder();
  const load = (addTokens: Record<string, string>) => loadPipeline(device, folder, { addTokens });
  await assertRejects(() => load({ "<new1>": "qqqqqq" }), TokenError, `"qqqqqq"`);
  await assertRejects(() => load({ photo: "ktn" }), Error, "photo");
  const path = `${folder}/unet/config.json`;
  const config = JSON.parse(await Deno.readTextFile(path));
  const refused = async (change: object, part: string) => {
    await Deno.writeTextFile(path, JSON.stringify({ ...config, ...change }));
    await assertRejects(() => load({}), FileError, part);
  };
  await refused({ cross_attention_dim: 64 }, "features of width 64");
  await refused({ in_channels: 9 }, "takes 9 channels");
  await refused({ class_embed_type: "timestep" }, "unet/config.json");
  await Deno.remove(folder, { recursive: true });
});
