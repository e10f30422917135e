/** The autoencoder against diffusers. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { FileError } from "../files/errors.ts";
import { vjp } from "../autograd/grad.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { ShapeError } from "../tensor/shape.ts";
import { flatten } from "../tensor/tree.ts";
import { interpret } from "../compile/interpret.ts";
import { toEngine } from "../models/layout.ts";
import { tensor } from "../ops/leaf.ts";
import {
  fromLatent,
  toLatent,
  vaeConfig,
  vaeDecode,
  vaeEncode,
  vaeSpecs,
} from "../models/vae/vae.ts";
import * as gold from "./models_golden.ts";

const golden = await gold.openGolden("vae");
const config = vaeConfig(golden.config);
const specs = vaeSpecs(config);
const params = gold.goldenParams(golden, specs);
/** A golden gradient in the engine's layout. */
const gradient = (name: string) => {
  const { shape, data } = golden.get(`grad.${name}`);
  if (name.startsWith("in.")) return gold.toNHWC(data, shape);
  return specs.get(name)!.layout === "conv" ? toEngine(data, shape) : data;
};
const expected = (name: string) => {
  const { shape, data } = golden.get(name);
  return gold.toNHWC(data, shape);
};

for (const [engine, run] of Object.entries(gold.ENGINES)) {
  Deno.test(`VAE: posterior, picture and gradients are those of diffusers ${engine}`, async () => {
    const x = gold.goldenTensor(golden, "in.x"), z = gold.goldenTensor(golden, "in.z");
    const { mean, logvar } = vaeEncode(config, params, x);
    const y = vaeDecode(config, params, z);
    const leaves = new Map<string, Tensor>(flatten<Tensor>(params));
    leaves.set("in.x", x).set("in.z", z);
    assertEquals(golden.names("grad.").toSorted(), [...leaves.keys()].toSorted());
    const wanted = [...leaves.keys()];
    const upstream = Object.entries({ u: y, u_mean: mean, u_logvar: logvar })
      .map(([name, result]) => [result, gold.goldenTensor(golden, `in.${name}`)] as const);
    const grads = vjp(upstream, wanted.map((n) => leaves.get(n)!)) as Tensor[];
    const values = await run([mean, logvar, y, ...grads]);
    gold.assertNear(values[0], expected("out.mean"), 1e-4, "the mean");
    gold.assertNear(values[1], expected("out.logvar"), 1e-4, "the log-variance");
    gold.assertNear(values[2], expected("out.y"), 1e-4, "the picture");
    wanted.forEach((name, i) => {
      // The gradient of a key's bias is 0 but for rounding: a softmax sees differences only.
      if (name.endsWith("to_k.bias")) {
        assert(Array.from(values[3 + i]).every((v) => Math.abs(v) < 1e-4));
      } else gold.assertNear(values[3 + i], gradient(name), 1e-3, `the gradient of ${name}`);
    });
  });
}

Deno.test("VAE: the log-variance is clamped to [-30, 20]", () => {
  const wild = { ...params, quant_conv: { ...params.quant_conv as Record<string, Tensor> } };
  wild.quant_conv.bias = tensor([0, 0, 0, 1e3, -1e3, 0]);
  const [logvar] = interpret([vaeEncode(config, wild, gold.goldenTensor(golden, "in.x")).logvar]);
  for (let i = 0; i < logvar.length; i += 3) assertEquals([logvar[i], logvar[i + 1]], [20, -30]);
});

Deno.test("VAE: latents are scaled draws from the posterior, and fromLatent undoes the scaling", () => {
  const mean = tensor([1, -2], [1, 1, 1, 2]);
  const logvar = tensor([0, Math.log(4)], [1, 1, 1, 2]);
  const noise = tensor([3, 0.5], [1, 1, 1, 2]);
  const [drawn, mode, back] = interpret([
    toLatent(config, { mean, logvar }, noise),
    toLatent(config, { mean, logvar }),
    fromLatent(config, toLatent(config, { mean, logvar })),
  ]);
  const s = config.scalingFactor;
  gold.assertNear(drawn, [4 * s, -1 * s], 1e-6, "a draw");
  gold.assertNear(mode, [s, -2 * s], 1e-6, "the mean");
  gold.assertNear(back, [1, -2], 1e-12, "there and back");
});

Deno.test("VAE: names and shapes are those of the checkpoint", () => {
  const names = golden.names("params.");
  assertEquals([...specs.keys()].toSorted(), names.toSorted());
  for (const name of names) {
    assertEquals(specs.get(name)!.shape, golden.get(`params.${name}`).shape);
  }
});

Deno.test("VAE: wrong inputs and configs are refused with their names", () => {
  assertThrows(
    () => vaeEncode(config, params, gold.symbolic([1, 7, 8, 3])),
    ShapeError,
    "divisible by 2",
  );
  assertThrows(
    () => vaeDecode(config, params, gold.symbolic([1, 4, 4, 4])),
    ShapeError,
    "[B,h,w,3]",
  );
  for (
    const [field, value] of Object.entries({
      shift_factor: 0.1,
      latents_mean: [0],
      act_fn: "relu",
      time_shift: 1,
    })
  ) {
    assertThrows(() => vaeConfig({ ...golden.config, [field]: value }), FileError, field);
  }
  assert(config.quantConv);
});
