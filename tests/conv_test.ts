/** Convolution and both its gradients against their definitions, for any geometry. */
import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { tapeOf, type Tensor } from "../tensor/tensor.ts";
import type { DType } from "../tensor/dtype.ts";
import { ShapeError } from "../tensor/shape.ts";
import { input } from "../ops/leaf.ts";
import { add } from "../ops/elementwise/arithmetic.ts";
import { conv2d, type ConvOptions } from "../ops/conv.ts";
import { blueprint } from "../compile/trace.ts";
import { vjp } from "../autograd/grad.ts";
import { checkOp, computing } from "./support/check.ts";
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
});
