/** The UNet against diffusers: forward, every gradient, and the cut at the start token. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { FileError } from "../files/errors.ts";
import { vjp } from "../autograd/grad.ts";
import { checkpoint } from "../autograd/checkpoint.ts";
import { tapeOf, type Tensor } from "../tensor/tensor.ts";
import { ShapeError } from "../tensor/shape.ts";
import { flatten } from "../tensor/tree.ts";
import { interpret } from "../compile/interpret.ts";
import { tensor } from "../ops/leaf.ts";
import { toEngine } from "../models/layout.ts";
import { ParameterError } from "../models/params.ts";
import { sinusoids } from "../models/unet/time_embedding.ts";
import { promptKeys, unet, unetConfig, type UNetOptions, unetSpecs } from "../models/unet/unet.ts";
import * as gold from "./models_golden.ts";
import { onDevice } from "./support/devices.ts";

function traced(golden: gold.Golden, options: UNetOptions = {}, dtype: "f32" | "f16" = "f32") {
  const config = unetConfig(golden.config);
  const specs = unetSpecs(config);
  const params = gold.goldenParams(golden, specs, dtype);
  const sample = gold.goldenTensor(golden, "in.sample");
  const context = gold.goldenTensor(golden, "in.context");
  const added = config.added && {
    pooled: gold.goldenTensor(golden, "in.pooled"),
    sizes: gold.goldenTensor(golden, "in.sizes"),
  };
  const y = unet(config, params, sample, gold.goldenTensor(golden, "in.timesteps"), context, {
    added,
    ...options,
  });
  const leaves = new Map<string, Tensor>(flatten<Tensor>(params));
  leaves.set("in.sample", sample).set("in.context", context);
  if (added) leaves.set("in.pooled", added.pooled);
  return { specs, params, y, leaves, u: gold.goldenTensor(golden, "in.u") };
}

/** A golden gradient in the engine's layout. */
function gradient(golden: gold.Golden, name: string, specs: ReturnType<typeof unetSpecs>) {
  const { shape, data } = golden.get(name);
  if (name.endsWith("in.sample")) return gold.toNHWC(data, shape);
  const spec = specs.get(name.replace(/^\w+\./, ""));
  return spec?.layout === "conv" ? toEngine(data, shape) : data;
}

// Like the UNets of Stable Diffusion 1, 2 and XL.
/** Compares the result and some gradients with those of diffusers. */
async function expectGolden(golden: gold.Golden, run: gold.Engine, some = /./): Promise<void> {
  const { y, u, leaves, specs } = traced(golden);
  assertEquals(golden.names("grad.").toSorted(), [...leaves.keys()].toSorted());
  const wanted = golden.names("grad.").filter((n) => some.test(n));
  const grads = vjp([[y, u]], wanted.map((n) => leaves.get(n)!)) as Tensor[];
  const [value, ...values] = await run([y, ...grads]);
  const { shape, data } = golden.get("out.y");
  gold.assertNear(value, gold.toNHWC(data, shape), 1e-4, "the result");
  wanted.forEach((n, i) =>
    gold.assertNear(values[i], gradient(golden, `grad.${n}`, specs), 1e-3, `the gradient of ${n}`)
  );
}

for (const name of ["unet_conv", "unet_linear", "unet_added"]) {
  const golden = await gold.openGolden(name);

  for (const [engine, run] of Object.entries(gold.ENGINES)) {
    Deno.test(`${name}: forward and gradients are those of diffusers ${engine}`, () =>
      expectGolden(golden, run));
  }

  if (name === "unet_conv") {
    // What the other models add is in their tapes. Kernels for GPUs take a software adapter long to compile: of the
    // gradients those nearest to the result.
    onDevice(
      "webgpu",
      `${name}: forward and gradients are those of diffusers on WebGPU`,
      () => expectGolden(golden, gold.onDevice, /^up_blocks.*attn2\.to_[kv]\.weight$/),
    );
  }

  Deno.test(`${name}: the cut at the start token changes what diffusers' detach changes`, () => {
    const { y, u, leaves, specs } = traced(golden, { cutStartToken: true });
    const wanted = golden.names("cut.");
    const grads = vjp([[y, u]], wanted.map((n) => leaves.get(n)!)) as Tensor[];
    const [value, ...values] = interpret([y, ...grads]);
    const { shape, data } = golden.get("out.y");
    gold.assertNear(value, gold.toNHWC(data, shape), 1e-4, "the result");
    wanted.forEach((n, i) => {
      gold.assertNear(
        values[i],
        gradient(golden, `cut.${n}`, specs),
        1e-3,
        `the gradient of ${n}`,
      );
      const uncut = gradient(golden, `grad.${n}`, specs);
      assert(values[i].some((v, k) => Math.abs(v - uncut[k]) > 1e-2), `${n} is changed by the cut`);
    });
    const context = values[wanted.indexOf("in.context")];
    const width = leaves.get("in.context")!.shape[2];
    assert(context.subarray(0, width).every((v) => v === 0), "nothing reaches the start token");
  });
}

Deno.test("unet: blocks wrapped in checkpoint() give the same gradients, and each is wrapped once", async () => {
  const golden = await gold.openGolden("unet_conv");
  const names: string[] = [];
  const wrapped = traced(golden, {
    wrap: (name, block) => {
      names.push(name);
      return checkpoint(block);
    },
  });
  assertEquals(names.length, new Set(names).size);
  const blocks = [...wrapped.specs.keys()].map((n) =>
    n.match(/^(.*(?:resnets|attentions)\.\d+)\.(?!.*attentions\.\d)/)?.[1]
  );
  assertEquals(names.toSorted(), [...new Set(blocks.filter((b) => b))].toSorted());
  const wanted = golden.names("grad.");
  const grads = vjp(
    [[wrapped.y, wrapped.u]],
    wanted.map((n) => wrapped.leaves.get(n)!),
  ) as Tensor[];
  interpret(grads).forEach((v, i) =>
    gold.assertNear(
      v,
      gradient(golden, `grad.${wanted[i]}`, wrapped.specs),
      1e-3,
      `the gradient of ${wanted[i]}`,
    )
  );
});

Deno.test("unet: weights stored in f16 change the result by their rounding only", async () => {
  const golden = await gold.openGolden("unet_conv");
  const [half] = interpret([traced(golden, {}, "f16").y]);
  const { shape, data } = golden.get("out.y");
  gold.assertNear(half, gold.toNHWC(data, shape), 2e-2, "the result");
});

Deno.test("unet: frozen parameters get no gradient nodes", async () => {
  const golden = await gold.openGolden("unet_conv");
  const { y, u, leaves } = traced(golden);
  const kv = [...leaves].filter(([n]) => /attn2\.to_[kv]\.weight$/.test(n)).map(([, t]) => t);
  const grads = vjp([[y, u]], kv);
  assertEquals(grads.filter((g) => g).length, kv.length);
  const seen = new Set<string>();
  const walk = [...grads as Tensor[]];
  for (const visited = new Set<Tensor>(); walk.length;) {
    const t = walk.pop()!;
    if (visited.has(t)) continue;
    visited.add(t);
    seen.add(t.node.op.name);
    walk.push(...t.node.inputs);
  }
  assert(!seen.has("conv2dWeightGrad"), "no convolution's weight is differentiated");
});

Deno.test("unet: a config that asks for what is not computed is refused by the field's name", () => {
  const refused = {
    class_embed_type: "timestep",
    num_attention_heads: 8,
    mid_block_type: "UNetMidBlock2D",
    down_block_types: ["AttnDownBlock2D", "DownBlock2D", "DownBlock2D", "DownBlock2D"],
    resnet_time_scale_shift: "scale_shift",
    freq_shift: 1,
    flip_sin_to_cos: false,
    only_cross_attention: [false, true, false, false],
    norm_num_groups: 7,
    attention_head_dim: [8, 8],
    a_field_of_the_future: 3,
  };
  for (const [field, value] of Object.entries(refused)) {
    const message = field === "norm_num_groups" ? "7 groups" : field;
    assertThrows(
      () => unetConfig({ ...SD1, [field]: value }, "m/unet/config.json"),
      FileError,
      message,
    );
  }
  assertThrows(
    () => unetConfig({ ...SD1, class_embed_type: "x" }, "m/config.json"),
    Error,
    "m/config.json",
  );
});

Deno.test("unet: conditions that are added must be those of the config", async () => {
  const golden = await gold.openGolden("unet_added");
  const refusal = (options: UNetOptions, words: string) =>
    assertThrows(() => traced(golden, options), ShapeError, words);
  const sizes = gold.goldenTensor(golden, "in.sizes"),
    pooled = gold.goldenTensor(golden, "in.pooled");
  refusal({ added: undefined }, "added.pooled is missing; expected f32[2,7]");
  refusal({ added: { pooled: gold.symbolic([2, 8]), sizes } }, "added.pooled is f32[2,8]");
  refusal({ added: { pooled, sizes: gold.symbolic([1, 6]) } }, "added.sizes is f32[1,6]");
  const plain = await gold.openGolden("unet_conv");
  assertThrows(() => traced(plain, { added: { pooled, sizes } }), ShapeError, "has none");
});

for (const name of ["unet_conv", "unet_added"]) {
  Deno.test(`${name}: a prompt's keys and values, computed before, give the same answer, and are all that is left of it`, async () => {
    const golden = await gold.openGolden(name);
    const config = unetConfig(golden.config);
    const { params, y, leaves } = traced(golden);
    const keys = promptKeys(config, params, leaves.get("in.context")!);
    const cross = [...leaves.keys()].filter((p) => /attn2\.to_[kv]/.test(p));
    assertEquals(2 * Object.keys(keys).length, cross.length);
    const reached = new Set(
      tapeOf(flatten<Tensor>(keys).map(([, t]) => t)).map((n) => n.outputs[0]),
    );
    const read = [...leaves].filter(([, t]) => reached.has(t)).map(([p]) => p);
    assertEquals(read.toSorted(), [...cross, "in.context"].toSorted());
    const sample = leaves.get("in.sample")!, times = gold.goldenTensor(golden, "in.timesteps");
    const added = config.added && {
      pooled: leaves.get("in.pooled")!,
      sizes: gold.goldenTensor(golden, "in.sizes"),
    };
    const seen: string[] = [];
    const again = unet(config, params, sample, times, keys, {
      added,
      wrap: (path, block) => (seen.push(path), checkpoint(block)),
    });
    assert(seen.length > 2);
    const [expected, actual] = interpret([y, again]);
    assertEquals(actual, expected);
    const { [Object.keys(keys)[0]]: _, ...fewer } = keys;
    assertThrows(
      () => unet(config, params, sample, times, fewer, { added }),
      ShapeError,
      `no keys and values for ${Object.keys(keys)[0]}`,
    );
  });
}

Deno.test("unet: wrong inputs and trees are refused with their names", async () => {
  const golden = await gold.openGolden("unet_conv");
  const config = unetConfig(golden.config);
  const params = gold.goldenParams(golden, unetSpecs(config)) as Record<
    string,
    Record<string, Tensor>
  >;
  const t = gold.symbolic([1]);
  const context = gold.symbolic([1, 5, 10]);
  const run = (p: typeof params, shape: number[]) =>
    unet(config, p, gold.symbolic(shape), t, context);
  assertThrows(() => run(params, [1, 3, 4, 3]), ShapeError, "divisible by 2");
  assertThrows(() => run(params, [1, 4, 4, 4]), ShapeError, "[B,h,w,3]");
  const { conv_out: _, ...without } = params;
  assertThrows(() => run(without, [1, 4, 4, 3]), ParameterError, `"conv_out.weight" is missing`);
  const wrong = { ...params, conv_in: { ...params.conv_in, bias: gold.symbolic([9]) } };
  assertThrows(() => run(wrong, [1, 4, 4, 3]), ParameterError, `"conv_in.bias" has shape [9]`);
});

Deno.test("timestep sinusoids are right at every timestep", async () => {
  const steps = Float32Array.from({ length: 1000 }, (_, i) => i);
  const width = 8;
  const expected = [...steps].flatMap((t) => {
    const angles = Array.from({ length: width / 2 }, (_, i) => t * 10000 ** (-2 * i / width));
    return [...angles.map(Math.cos), ...angles.map(Math.sin)];
  });
  for (const [engine, run] of Object.entries(gold.ENGINES)) {
    const [actual] = await run([sinusoids(tensor(steps), width)]);
    // An angle below 1000 is known to 3e-5 in f32; sine and cosine themselves may add little to that.
    gold.assertNear(actual, expected, 5e-5, engine);
  }
});

/** `unet/config.json` of Stable Diffusion 1.5. */
const SD1 = {
  _class_name: "UNet2DConditionModel",
  _diffusers_version: "0.6.0",
  act_fn: "silu",
  attention_head_dim: 8,
  block_out_channels: [320, 640, 1280, 1280],
  center_input_sample: false,
  cross_attention_dim: 768,
  down_block_types: [
    "CrossAttnDownBlock2D",
    "CrossAttnDownBlock2D",
    "CrossAttnDownBlock2D",
    "DownBlock2D",
  ],
  downsample_padding: 1,
  flip_sin_to_cos: true,
  freq_shift: 0,
  in_channels: 4,
  layers_per_block: 2,
  mid_block_scale_factor: 1,
  norm_eps: 1e-5,
  norm_num_groups: 32,
  out_channels: 4,
  sample_size: 64,
  up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
};
