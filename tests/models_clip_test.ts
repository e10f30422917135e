/** CLIP against transformers: text and image features, projections, every gradient. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { FileError } from "../files/errors.ts";
import { vjp } from "../autograd/grad.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { ShapeError } from "../tensor/shape.ts";
import { flatten } from "../tensor/tree.ts";
import { interpret } from "../compile/interpret.ts";
import { tensor } from "../ops/leaf.ts";
import { toEngine } from "../models/layout.ts";
import { clipText, clipTextConfig, projectText } from "../models/clip/text.ts";
import {
  classify,
  clipConfig,
  clipSpecs,
  clipVision,
  clipVisionConfig,
  clipVisionSpecs,
  embedImages,
  embedPrompts,
} from "../models/clip/vision.ts";
import * as gold from "./models_golden.ts";

const golden = await gold.openGolden("clip");
const config = clipConfig(golden.config);
const specs = clipSpecs(config);
const params = gold.goldenParams(golden, specs);
const stored = golden.get("in.ids");
const ids = tensor(Uint32Array.from(stored.data), stored.shape);
const pixels = gold.goldenTensor(golden, "in.pixels");

for (const [engine, run] of Object.entries(gold.ENGINES)) {
  Deno.test(`CLIP: features and projections are those of transformers ${engine}`, async () => {
    const { hidden, pooled } = clipText(config.text, params, ids);
    const made = {
      hidden,
      pooled,
      text: projectText(config.text, params, pooled),
      image: embedImages(config, params, pixels),
    };
    const values = await run(Object.values(made));
    Object.keys(made).forEach((name, i) =>
      gold.assertNear(values[i], golden.get(`out.${name}`).data, 1e-4, name)
    );
  });

  Deno.test(`CLIP: gradients are those of transformers ${engine}`, async () => {
    const leaves = new Map(flatten<Tensor>(params));
    const wanted = golden.names("grad.");
    const outputs = [
      [clipText(config.text, params, ids).hidden, gold.goldenTensor(golden, "in.u")],
      [embedImages(config, params, pixels), gold.goldenTensor(golden, "in.u_image")],
    ] as const;
    const grads = vjp(outputs, wanted.map((n) => leaves.get(n)!)) as Tensor[];
    const values = await run(grads);
    wanted.forEach((name, i) => {
      const { shape, data } = golden.get(`grad.${name}`);
      const expected = specs.get(name)!.layout === "conv" ? toEngine(data, shape) : data;
      // The gradient of a key's bias is 0 but for rounding: a softmax sees differences only.
      if (name.endsWith("k_proj.bias")) {
        assert(Array.from(values[i]).every((v) => Math.abs(v) < 1e-4));
      } else gold.assertNear(values[i], expected, 1e-3, `the gradient of ${name}`);
    });
  });
}

Deno.test("CLIP: embedPrompts is the projection of the pooled feature", () => {
  const [actual] = interpret([embedPrompts(config, params, ids)]);
  gold.assertNear(actual, golden.get("out.text").data, 1e-4, "the vector");
});

Deno.test("CLIP: a prompt is pooled at its first end token, and its features do not depend on what follows", () => {
  const run = (row: number[]) => {
    const ids = tensor(Uint32Array.from(row), [1, row.length]);
    const { hidden, pooled } = clipText(config.text, params, ids);
    return interpret([hidden, pooled]);
  };
  const [long, pooled] = run([22, 4, 9, 23, 23, 23]);
  const [other, same] = run([22, 4, 9, 23, 1, 2]);
  const width = config.text.width;
  gold.assertNear(pooled, long.subarray(3 * width, 4 * width), 1e-12, "the pooled feature");
  gold.assertNear(same, pooled, 1e-12, "the pooled feature");
  gold.assertNear(
    other.subarray(0, 4 * width),
    long.subarray(0, 4 * width),
    1e-12,
    "earlier features",
  );
  assert(Math.abs(other[4 * width] - long[4 * width]) > 1e-3, "later features differ");
});

Deno.test("CLIP: parameters have the names and shapes of the checkpoint", () => {
  // All of the golden's parameters but the temperature of its training.
  const names = golden.names("params.").filter((n) => n !== "logit_scale");
  assertEquals([...specs.keys()].toSorted(), names.toSorted());
  for (const name of names) {
    assertEquals(specs.get(name)!.shape, golden.get(`params.${name}`).shape);
  }
});

Deno.test("CLIP: an end token of 2, as old configs have it, means the vocabulary's last entry", () => {
  assertEquals(clipTextConfig({ eos_token_id: 2 }).endToken, 49407);
  assertEquals(clipTextConfig({ vocab_size: 100, eos_token_id: 98 }).endToken, 98);
});

Deno.test("CLIP: heads of a classifier read the pooled feature", () => {
  const heads = { colour: { labels: ["red", "green"] }, place: { labels: ["a", "b", "c"] } };
  const vision = clipVisionConfig({ ...golden.config.vision_config as object, heads });
  const specs = clipVisionSpecs(vision);
  assertEquals(specs.get("heads.place.weight")?.shape, [3, vision.width]);
  const weight = tensor(Float32Array.from({ length: 2 * vision.width }, (_, i) => i % 5 - 2), [
    2,
    vision.width,
  ]);
  const bias = tensor([1, -1]);
  const zero = tensor(new Float32Array(3 * vision.width), [3, vision.width]);
  const tree = {
    ...params,
    heads: { colour: { weight, bias }, place: { weight: zero, bias: tensor([1, 2, 3]) } },
  };
  const [pooled, colour, place] = interpret([
    clipVision(vision, params, pixels).pooled,
    ...Object.values(classify(vision, tree, pixels)),
  ]);
  const expected = [0, 1, 2, 3].map((i) => {
    const row = pooled.subarray((i >> 1) * vision.width, ((i >> 1) + 1) * vision.width);
    return row.reduce((s, v, k) => s + v * ((k + (i & 1) * vision.width) % 5 - 2), 0) +
      (i & 1 ? -1 : 1);
  });
  gold.assertNear(colour, expected, 1e-9, "the logits");
  assertEquals([...place], [1, 2, 3, 1, 2, 3]);
});

Deno.test("CLIP: wrong inputs and configs are refused with their names", () => {
  assertThrows(
    () => clipText(config.text, params, gold.symbolic([1, 10], "u32")),
    ShapeError,
    "T ≤ 9",
  );
  assertThrows(() => clipText(config.text, params, gold.symbolic([1, 9])), ShapeError, "u32");
  assertThrows(
    () => clipVision(config.vision, params, gold.symbolic([1, 8, 8, 3])),
    ShapeError,
    "[B,12,12,3]",
  );
  assertThrows(() => clipTextConfig({ hidden_act: "relu" }), FileError, "hidden_act");
  assertThrows(
    () => clipTextConfig({ hidden_size: 10, num_attention_heads: 3 }),
    FileError,
    "num_attention_heads",
  );
  assertThrows(() => clipVisionConfig({ image_size: 10, patch_size: 4 }), FileError, "patch_size");
  assertThrows(() => clipVisionConfig({ model_type: "siglip" }), FileError, "model_type");
});
