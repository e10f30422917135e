/** Convolution with two strides, dilation and groups, in one to three dimensions and transposed, on both kinds of adapter. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import type { DType } from "../tensor/dtype.ts";
import { ShapeError } from "../tensor/shape.ts";
import { input, tensor } from "../ops/leaf.ts";
import { sum } from "../ops/broadcast.ts";
import { mul } from "../ops/elementwise/arithmetic.ts";
import { permute } from "../ops/movement.ts";
import { conv, type ConvAnyOptions, convTranspose } from "../ops/conv.ts";
import { interpret } from "../compile/interpret.ts";
import { evaluate } from "../compile/compile.ts";
import { simplify } from "../compile/simplify.ts";
import { tapeOf } from "../tensor/tensor.ts";
import {
  checkOp,
  deviceAs,
  randomValues,
  relativeError,
  testDevice,
  uniform,
} from "./support/check.ts";

const f32 = (...shape: number[]) => ({ shape, dtype: "f32" as DType });
const random = (shape: number[], seed: number) =>
  tensor(randomValues(f32(...shape), uniform(seed)), shape);

const CASES: [string, number[], number[], ConvAnyOptions][] = [
  ["two strides", [1, 7, 9, 4], [3, 3, 4, 8], { stride: [1, 2], padding: 1 }],
  ["more strides", [1, 8, 7, 3], [2, 3, 3, 5], { stride: [3, 2], padding: [[0, 1], [1, 0]] }],
  ["dilation", [1, 9, 8, 4], [3, 2, 4, 4], { dilation: [2, 3], padding: 2 }],
  ["dilation that divides the stride", [1, 9, 9, 4], [2, 2, 4, 4], { dilation: 2, stride: 4 }],
  ["dilation beside a stride", [1, 9, 11, 3], [3, 3, 3, 4], {
    dilation: [2, 3],
    stride: [3, 2],
    padding: 2,
  }],
  ["dilation and stride with a common part", [1, 16, 9, 2], [3, 2, 2, 3], {
    dilation: [4, 1],
    stride: [6, 1],
    padding: 3,
  }],
  ["groups", [2, 5, 6, 8], [3, 3, 4, 12], { groups: 2, padding: 1 }],
  ["groups of odd width", [1, 6, 5, 6], [2, 3, 2, 9], { groups: 3, stride: 2 }],
  ["groups of one pixel", [2, 3, 4, 8], [1, 1, 2, 8], { groups: 4 }],
  ["one channel a group", [2, 6, 5, 4], [3, 3, 1, 4], { groups: 4, padding: 1, stride: [2, 1] }],
  ["two channels of one a group", [1, 5, 5, 3], [3, 3, 1, 6], {
    groups: 3,
    dilation: 2,
    padding: 2,
  }],
  ["one dimension", [2, 9, 4], [3, 4, 8], { stride: 2, padding: "same" }],
  ["three dimensions", [1, 4, 5, 4, 2], [2, 3, 2, 2, 4], {
    stride: [2, 1, 2],
    padding: [[1, 0], 1, 0],
  }],
  ["three dimensions in groups", [1, 4, 3, 3, 4], [2, 2, 2, 2, 4], {
    groups: 2,
    dilation: [2, 1, 1],
  }],
];

for (const software of [true, false]) {
  const kernels = software ? "register kernels" : "workgroup kernels";
  Deno.test(`conv and its gradients equal their definitions (${kernels})`, async () => {
    const device = await deviceAs(software);
    for (const [name, x, w, options] of software ? CASES : [0, 4, 6, 13].map((i) => CASES[i])) {
      await checkOp([f32(...x), f32(...w)], (i, k) => conv(i, k, options), {
        ...{ device, linear: true },
        scale: 0.5,
      }).catch((error) => {
        throw new Error(`${name}: ${error.message}`);
      });
    }
  });
}

Deno.test("conv and its gradients equal their definitions (the device that tests run on)", async () => {
  for (const [name, x, w, options] of CASES) {
    await checkOp([f32(...x), f32(...w)], (i, k) => conv(i, k, options), {
      linear: true,
      scale: 0.5,
    })
      .catch((error) => {
        throw new Error(`${name}: ${error.message}`);
      });
  }
});

Deno.test("channels first is the same, in another order", () => {
  const x = random([2, 5, 6, 8], 1), w = random([3, 2, 4, 12], 2);
  const options = { groups: 2, stride: [2, 1], padding: "same" } as const;
  const last = conv(x, w, options);
  const first = conv(permute(x, [0, 3, 1, 2]), permute(w, [3, 2, 0, 1]), {
    ...options,
    channelsFirst: true,
  });
  assertEquals(last.shape, [2, 3, 6, 12]);
  const [a, b] = interpret([permute(last, [0, 3, 1, 2]), first]);
  assertEquals([...a], [...b]);
});

Deno.test("a transposed convolution is the convolution's transpose: ⟨conv(x), y⟩ = ⟨x, convTranspose(y)⟩", async () => {
  const device = await testDevice();
  const cases: [number[], number[], ConvAnyOptions & { padding?: number }, number[]][] = [
    [[2, 9, 4], [3, 4, 6], { stride: 2, padding: 1 }, [0]],
    [[1, 8, 7, 4], [3, 2, 4, 4], { stride: [2, 3], dilation: [1, 2], padding: 1 }, [1, 0]],
    [[1, 6, 6, 4], [2, 3, 2, 8], { groups: 2, stride: 2 }, [0, 1]],
    [[1, 4, 5, 4, 2], [2, 2, 3, 2, 2], { stride: [1, 2, 1] }, [0, 1, 0]],
  ];
  for (const [shape, window, options, outputPadding] of cases) {
    const x = random(shape, 3), w = random(window, 4);
    const y = conv(x, w, options);
    const u = random([...y.shape], 5);
    const back = convTranspose(u, w, { ...options, outputPadding });
    assertEquals(back.shape, x.shape);
    const [[a], [b], exact] = interpret([sum(mul(y, u)), sum(mul(x, back)), back]);
    assert(Math.abs(a - b) < 1e-9 * Math.abs(a), `${a} and ${b} for ${shape}`);
    const actual = await device.read(evaluate(device, back));
    assert(relativeError(actual as Float32Array, exact) < 1e-5);
  }
});

Deno.test("a transposed convolution computes no convolution forwards", () => {
  const x = input(f32(1, 4, 4, 8), 0), w = input(f32(3, 3, 4, 8), 1);
  const y = convTranspose(x, w, { stride: 2, padding: 1, outputPadding: 1 });
  assertEquals(y.shape, [1, 8, 8, 4]);
  const ops = tapeOf(simplify([y])).map((n) => n.op.name);
  assert(ops.includes("conv2dInputGrad") && !ops.includes("conv2d"), ops.join());
});

Deno.test("what does not fit is refused by name", () => {
  const x = random([1, 5, 5, 4], 1), w = random([3, 3, 4, 4], 2);
  const wrong: [() => unknown, string][] = [
    [() => conv(x, w, { groups: 2 }), "the image has 4 channels, the weight takes 8 in 2 groups"],
    [() => conv(x, random([3, 3, 2, 3], 2), { groups: 2 }), "3 channels do not fall into 2 groups"],
    [() => conv(x, w, { stride: [1, 0] }), "stride 0 is no positive integer"],
    [() => conv(x, w, { stride: [1, 2, 3] }), "stride [1,2,3] has 3 numbers for 2 axes"],
    [() => conv(x, w, { dilation: 3 }), "the window does not fit"],
    [() => conv(x, random([3, 4, 4], 2)), "expected one to three dimensions"],
    [() => conv(x, w, { padding: [1] }), "padding has 1 entries for 2 dimensions"],
    [() => convTranspose(x, w, { padding: 9 }), "nothing of [-11,-11] is left"],
    [() => convTranspose(x, w, { outputPadding: 1 }), "output padding 1 is not below"],
  ];
  for (const [call, message] of wrong) assertThrows(call, ShapeError, message);
});
