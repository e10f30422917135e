/** Convolution and both its gradients against their definitions, for any geometry. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { tapeOf, Tensor } from "../tensor/tensor.ts";
import type { DType } from "../tensor/dtype.ts";
import { ShapeError } from "../tensor/shape.ts";
import { input } from "../ops/leaf.ts";
import { add } from "../ops/elementwise/arithmetic.ts";
import { conv2d, type ConvOptions } from "../ops/conv.ts";
import { upsampleNearest } from "../ops/concat.ts";
import { sin } from "../ops/elementwise/trigonometry.ts";
import { interpret } from "../compile/interpret.ts";
import { blueprint } from "../compile/trace.ts";
import { vjp } from "../autograd/grad.ts";
import { vmap } from "../autograd/vmap.ts";
import { checkOp, computing, randomValues, relativeError, uniform } from "./support/check.ts";
import { onDevice, test } from "./support/devices.ts";

const f32 = (...shape: number[]) => ({ shape, dtype: "f32" as DType });
const f16 = (...shape: number[]) => ({ shape, dtype: "f16" as DType });

test("conv2d and its gradients equal their definitions for any geometry", async (device) => {
  const small = fc.integer({ min: 1, max: 2 });
  const side = fc.integer({ min: 3, max: 8 });
  const channels = fc.constantFrom(1, 3, 4, 8, 12);
  const pad = fc.tuple(small, small, small, small).map((p) =>
    p.map((v) => v - 1) as [number, number, number, number]
  );
  const window = fc.constantFrom([1, 1], [3, 3], [2, 3], [4, 4]);
  await fc.assert(
    fc.asyncProperty(
      small,
      side,
      side,
      channels,
      channels,
      window,
      small,
      pad,
      async (b, h, w, ci, co, [kh, kw], stride, padding) => {
        if (kh > h || kw > w) return;
        await checkOp(
          [f32(b, h, w, ci), f32(kh, kw, ci, co)],
          (x, k) => conv2d(x, k, { stride, padding }),
          { device, linear: !device.profile.cpu },
        );
      },
    ),
    { numRuns: device.profile.cpu ? 20 : 3, seed: 11 },
  );
});

test("the convolutions of a UNet and a VAE equal their definitions", async (device) => {
  const cases: [number[], number[], ConvOptions][] = [
    [[2, 8, 8, 20], [3, 3, 20, 36], { padding: 1 }],
    [[1, 7, 9, 16], [3, 3, 16, 8], { padding: 1, stride: 2 }],
    [[1, 8, 8, 16], [3, 3, 16, 16], { padding: [0, 1, 0, 1], stride: 2 }],
    [[2, 4, 4, 24], [1, 1, 24, 16], {}],
    [[2, 5, 5, 4], [1, 1, 4, 8], { stride: 2 }],
    [[1, 9, 9, 3], [3, 3, 3, 5], { padding: 1 }],
    [[1, 12, 12, 3], [4, 4, 3, 8], { stride: 4 }],
    // So large that tiles for GPUs have two buffers.
    [[2, 8, 8, 32], [3, 3, 32, 40], { padding: 1 }],
  ];
  // Kernels for GPUs take long to compile on a software adapter: some of the cases will do.
  for (
    const [x, w, options] of device.profile.cpu ? cases : [1, 3, 5, 7].map((i) => cases[i])
  ) {
    await checkOp([f32(...x), f32(...w)], (i, k) => conv2d(i, k, options), {
      ...{ device, linear: !device.profile.cpu },
      scale: 0.5,
    });
  }
});

/** A geometry with pixels that are repeated: image, weight, options. */
type Enlarged = readonly [image: number[], weight: number[], options: ConvOptions];
const ENLARGED: readonly Enlarged[] = [
  [[1, 5, 6, 8], [3, 3, 8, 12], { upsample: 2, padding: 1 }],
  // Winograd's filtering on the CPU device, there and back.
  [[2, 5, 4, 48], [3, 3, 48, 52], { upsample: 2, padding: 1 }],
  [[1, 4, 3, 48], [3, 3, 48, 48], { upsample: 2, padding: [0, 1, 2, 0] }],
  [[1, 4, 3, 48], [3, 3, 48, 48], { upsample: 3, padding: 1 }],
  [[2, 3, 4, 3], [2, 3, 3, 5], { upsample: 3, padding: [0, 2, 1, 0], dilation: [2, 1] }],
  [[1, 3, 3, 8], [1, 1, 8, 4], { upsample: 2 }],
  [[1, 4, 4, 8], [3, 3, 4, 8], { upsample: 2, padding: 1, groups: 2 }],
  [[1, 4, 4, 8], [3, 3, 1, 8], { upsample: 2, padding: 1, groups: 8 }],
  [[1, 4, 5, 4], [3, 3, 4, 8], { upsample: 2, padding: 1, stride: 2 }],
];

test("a convolution that repeats its image's pixels is one of the larger image, which nobody makes", async (device) => {
  for (const [i, [x, w, options]] of ENLARGED.entries()) {
    if (!device.profile.cpu && ![0, 4, 6].includes(i)) continue;
    await checkOp([f32(...x), f32(...w)], (i, k) => conv2d(i, k, options), {
      ...{ device, linear: !device.profile.cpu, scale: 0.5 },
    });
  }
  const [x, w, options] = ENLARGED[1];
  const [a, b] = [input(f32(...x), 0), input(f32(...w), 1)];
  const y = conv2d(a, b, options);
  const grads = vjp([[y, input(y.spec, 2)]], [a, b]) as Tensor[];
  const { dispatches } = blueprint([y, ...grads], [], { profile: device.profile, given: [a] });
  const images = dispatches.flatMap((d) => d.buffers).flatMap(({ memory: m }) =>
    m instanceof Tensor && m.shape.at(-1) === a.shape[3] ? [m.size] : []
  );
  assertEquals(Math.max(...images), a.size);
  const tiles = dispatches.filter((d) => d.label.endsWith("(tiles)"));
  assertEquals(
    tiles.length,
    device.profile.cpu ? 2 : 0,
    "forwards and back by Winograd's filtering",
  );
});

Deno.test("the definition of a convolution that repeats pixels is that of the larger image, with all its derivatives", () => {
  for (const [image, weight, options] of ENLARGED) {
    if (image[3] > 8) continue;
    const { upsample, ...others } = options;
    const [a, b] = [input(f32(...image), 0), input(f32(...weight), 1)];
    const results = [
      conv2d(a, b, options),
      conv2d(upsampleNearest(a, upsample), b, others),
    ].map((y) => {
      const first = vjp([[y, sin(y)]], [a, b]) as Tensor[];
      const second = vjp(first.map((g) => [g, sin(g)]), [a, b]) as Tensor[];
      return [y, ...first, ...second];
    });
    const feeds = new Map([a, b].map((t, i) => [t, randomValues(t.spec, uniform(i + 3))]));
    const [one, other] = results.map((r) => interpret(r, feeds));
    one.forEach((v, i) => assert(relativeError(v, other[i]) < 1e-12, `${image} ${i}`));
  }
});

test("conv2d splits long sums and still equals its definition", async (device) => {
  const specs = [f32(1, 3, 3, 260), f32(3, 3, 260, 8)];
  const conv = (x: Tensor, w: Tensor) => add(conv2d(x, w, { padding: 1 }), 1);
  const { dispatches } = blueprint([conv(input(specs[0], 0), input(specs[1], 1))], [], {
    profile: device.profile,
  });
  assertEquals(computing(dispatches).length, 2);
  await checkOp(specs, conv, { device, scale: 0.2 });
});

test("conv2d reads f16 weights beside f32 activations", async (device) => {
  const conv = (x: Tensor, w: Tensor) => conv2d(x, w, { padding: 1 });
  await checkOp([f32(1, 6, 6, 8), f16(3, 3, 8, 12)], conv, { device, wrt: [0], tolerance: 2e-5 });
  await checkOp([f16(1, 6, 6, 3), f16(3, 3, 3, 5)], conv, {
    device,
    wrt: device.profile.cpu ? [0, 1] : [1],
  });
});

test("of few channels, too, each of several convolutions has the gradient of its own weight", async (device) => {
  await checkOp(
    [f32(2, 2, 7, 6, 3), f32(2, 3, 2, 3, 4)],
    vmap((x: Tensor, w: Tensor) => conv2d(x, w, { padding: 1, stride: 2 })),
    { device, linear: !device.profile.cpu },
  );
});

onDevice("webgpu", "a weight gradient of few channels has its taps in one tile", ({ profile }) => {
  const groups = (ci: number) => {
    const [x, w, g] = [f32(1, 8, 8, ci), f32(3, 3, ci, 16), f32(1, 8, 8, 16)].map((spec, i) =>
      input(spec, i)
    );
    const [dw] = vjp([[conv2d(x, w, { padding: 1 }), g]], [w]) as Tensor[];
    return blueprint([dw], [], { profile }).dispatches[0].grid.reduce((a, b) => a * b);
  };
  assertEquals([1, 3, 8].map(groups), [1, 1, 9]);
});

onDevice("cpu", "second derivatives of conv2d exist and are right", async (device) => {
  const options: ConvOptions = { padding: 1, stride: 2 };
  const both = (x: Tensor, w: Tensor, g: Tensor) =>
    vjp([[conv2d(x, w, options), g]], [x, w]) as [Tensor, Tensor];
  const specs = [f32(1, 5, 6, 4), f32(3, 3, 4, 4), f32(1, 3, 3, 4)];
  await checkOp(specs, (x, w, g) => both(x, w, g)[0], { device, wrt: [1, 2] });
  await checkOp(specs, (x, w, g) => both(x, w, g)[1], { device, wrt: [0, 2] });
});

Deno.test("a frozen weight gets no gradient node", () => {
  const [x, w] = [input(f32(1, 6, 6, 4), 0), input(f32(3, 3, 4, 8), 1)];
  const y = conv2d(x, w, { padding: 1 });
  const g = input(f32(1, 6, 6, 8), 2);
  const names = (wanted: Tensor[]) =>
    tapeOf(vjp([[y, g]], wanted) as Tensor[]).map((n) => n.op.name).filter((n) =>
      n.startsWith("conv")
    );
  assertEquals(names([x]), ["conv2dInputGrad"]);
  assertEquals(names([w]), ["conv2dWeightGrad"]);
});

test("the bias is added where the convolution is stored", ({ profile }) => {
  const y = add(
    conv2d(input(f32(1, 6, 6, 4), 0), input(f32(3, 3, 4, 8), 1), { padding: 1 }),
    input(f32(8), 2),
  );
  assertEquals(computing(blueprint([y], [], { profile }).dispatches).length, 1);
});

Deno.test("a convolution that cannot be says why", () => {
  const t = (...shape: number[]) => input(f32(...shape), 0);
  assertThrows(
    () => conv2d(t(1, 6, 6, 4), t(3, 3, 5, 8)),
    ShapeError,
    "4 channels, the weight takes 5",
  );
  assertThrows(() => conv2d(t(1, 2, 2, 4), t(3, 3, 4, 8)), ShapeError, "does not fit");
  assertThrows(() => conv2d(t(6, 6, 4), t(3, 3, 4, 8)), ShapeError, "[B, H, W, Cin]");
  assertThrows(() => conv2d(t(1, 6, 6, 4), t(3, 3, 4, 8), { stride: 0 }), ShapeError, "stride 0");
  for (const upsample of [0, 1.5, NaN]) {
    assertThrows(
      () => conv2d(t(1, 6, 6, 4), t(3, 3, 4, 8), { upsample }),
      Error,
      "options.upsample",
    );
  }
  const huge = { upsample: 2 ** 29 };
  assertThrows(() => conv2d(t(1, 6, 6, 4), t(3, 3, 4, 8), huge), ShapeError, "upsampled images");
});
