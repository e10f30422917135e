/** The autoencoder against diffusers. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { FileError } from "../files/errors.ts";
import { vjp } from "../autograd/grad.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { ShapeError } from "../tensor/shape.ts";
import { interpret } from "../compile/interpret.ts";
import { tensor } from "../ops/leaf.ts";
import {
  fromLatent,
  toLatent,
  vaeConfig,
  vaeDecode,
  vaeEncode,
  vaeFactor,
  vaeSpecs,
} from "../models/vae.ts";
import {
  assertNear,
  ENGINES,
  goldenParams,
  goldenTensor,
  openGolden,
  symbolic,
  toNHWC,
} from "./models_golden.ts";

const golden = await openGolden("vae");
const config = vaeConfig(golden.config);
const params = goldenParams(golden, vaeSpecs(config));
const expected = (name: string) => {
  const { shape, data } = golden.get(name);
  return toNHWC(data, shape);
};

for (const [engine, run] of Object.entries(ENGINES)) {
  Deno.test(`VAE: posterior, picture and gradient are those of diffusers ${engine}`, async () => {
    const { mean, logvar } = vaeEncode(config, params, goldenTensor(golden, "in.x"));
    const z = goldenTensor(golden, "in.z");
    const y = vaeDecode(config, params, z);
    const [dz] = vjp([[y, goldenTensor(golden, "in.u")]], [z]) as Tensor[];
    const values = await run([mean, logvar, y, dz]);
    assertNear(values[0], expected("out.mean"), 1e-4, "the mean");
    assertNear(values[1], expected("out.logvar"), 1e-4, "the log-variance");
    assertNear(values[2], expected("out.y"), 1e-4, "the picture");
    assertNear(values[3], expected("grad.z"), 1e-3, "the gradient of the latents");
  });
}

Deno.test("VAE: the log-variance is clamped to [-30, 20]", () => {
  const wild = { ...params, quant_conv: { ...params.quant_conv as Record<string, Tensor> } };
  wild.quant_conv.bias = tensor([0, 0, 0, 1e3, -1e3, 0]);
  const [logvar] = interpret([vaeEncode(config, wild, goldenTensor(golden, "in.x")).logvar]);
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
  assertNear(drawn, [4 * s, -1 * s], 1e-6, "a draw");
  assertNear(mode, [s, -2 * s], 1e-6, "the mean");
  assertNear(back, [1, -2], 1e-12, "there and back");
});

Deno.test("VAE: Stable Diffusion's parameters are 83,653,863 in number", () => {
  const four = <T>(x: T) => [x, x, x, x];
  const sd = vaeConfig({
    _class_name: "AutoencoderKL",
    act_fn: "silu",
    block_out_channels: [128, 256, 512, 512],
    down_block_types: four("DownEncoderBlock2D"),
    up_block_types: four("UpDecoderBlock2D"),
    in_channels: 3,
    out_channels: 3,
    latent_channels: 4,
    layers_per_block: 2,
    norm_num_groups: 32,
    sample_size: 512,
  });
  assertEquals(vaeFactor(sd), 8);
  assertEquals(sd.scalingFactor, 0.18215);
  const sizes = [...vaeSpecs(sd).values()].map((s) => s.shape.reduce((a, b) => a * b, 1));
  assertEquals(sizes.reduce((a, b) => a + b), 83_653_863);
});

Deno.test("VAE: names and shapes are those of the checkpoint", () => {
  const specs = vaeSpecs(config);
  const names = golden.names("params.");
  assertEquals([...specs.keys()].toSorted(), names.toSorted());
  for (const name of names) {
    assertEquals(specs.get(name)!.shape, golden.get(`params.${name}`).shape);
  }
});

Deno.test("VAE: wrong inputs and configs are refused with their names", () => {
  assertThrows(
    () => vaeEncode(config, params, symbolic([1, 7, 8, 3])),
    ShapeError,
    "divisible by 2",
  );
  assertThrows(() => vaeDecode(config, params, symbolic([1, 4, 4, 4])), ShapeError, "[B,h,w,3]");
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
