import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { logSoftmax, logSumExp, softmax } from "../ops/softmax.ts";
import { add, mul } from "../ops/elementwise/arithmetic.ts";
import { expand } from "../ops/broadcast.ts";
import { permute, slice } from "../ops/movement.ts";
import { tensor } from "../ops/leaf.ts";
import { compile, evaluate } from "../compile/compile.ts";
import { interpret } from "../compile/interpret.ts";
import { vjp } from "../autograd/grad.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { ShapeError, type Spec } from "../tensor/shape.ts";
import { checkOp, deviceAs, relativeError } from "./support/check.ts";

const f32 = (...shape: number[]): Spec => ({ shape, dtype: "f32" });
const f16 = (...shape: number[]): Spec => ({ shape, dtype: "f16" });
const kinds = [true, false];

Deno.test("softmax agrees with float64 for every row length, on kernels for software and for GPUs", async () => {
  const lengths = fc.oneof(fc.integer({ min: 1, max: 90 }), fc.constantFrom(77, 96, 128, 130));
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 19 }), lengths, async (rows, length) => {
      for (const software of kinds) {
        const device = await deviceAs(software);
        await checkOp([f32(rows, length)], (x) => softmax(x), { device, scale: 4 });
      }
    }),
    { numRuns: 4 },
  );
});

Deno.test("rows too long for registers are walked in loops", async () => {
  for (const software of kinds) {
    const device = await deviceAs(software);
    await checkOp([f32(3, 1025)], (x) => softmax(x), { device, scale: 6 });
    await checkOp([f32(2, 8200)], (x) => logSumExp(x), { device, forwardOnly: true });
  }
});

Deno.test("log-sum-exp and log-softmax agree with float64", async () => {
  for (const software of kinds) {
    const device = await deviceAs(software);
    await checkOp([f32(5, 12)], (x) => logSumExp(x), { device, scale: 3 });
    await checkOp([f32(2, 3, 7)], (x) => logSumExp(x, { keep: true }), { device });
    await checkOp([f32(3, 16)], (x) => logSoftmax(x), { device, scale: 5 });
  }
});

Deno.test("another axis by permutation, f16 storage, and work fused before and behind", async () => {
  for (const software of kinds) {
    const device = await deviceAs(software);
    await checkOp([f32(3, 8, 5)], (x) => permute(softmax(permute(x, [0, 2, 1])), [0, 2, 1]), {
      device,
    });
    await checkOp([f16(6, 32)], (x) => softmax(mul(x, 3)), { device });
    await checkOp([f16(6, 9)], (x) => logSumExp(x), { device });
    await checkOp([f32(4, 12), f32(12)], (x, b) => add(mul(softmax(add(x, b)), 2), b), { device });
  }
});

Deno.test("second derivatives of softmax hold", async () => {
  const once = (x: Tensor, u: Tensor) => vjp([[softmax(x), u]], [x])[0]!;
  for (const software of kinds) {
    await checkOp([f32(3, 8), f32(3, 8)], once, { device: await deviceAs(software), scale: 2 });
  }
});

Deno.test("large arguments neither overflow nor lose their differences", async () => {
  const x = tensor([1000, 1001, 999, -1e30, -1000, -1001, -1002, -1e30], [2, 4]);
  for (const software of kinds) {
    const device = await deviceAs(software);
    const y = await device.read(evaluate(device, softmax(x))) as Float32Array;
    const l = await device.read(evaluate(device, logSumExp(x))) as Float32Array;
    const total = Math.exp(-1) + 1 + Math.exp(-2);
    assert(Math.abs(y[1] - 1 / total) < 1e-6 && y[3] === 0);
    assert(Math.abs(y[4] - 1 / total) < 1e-6 && y[7] === 0);
    assert(Math.abs(l[0] - 1001 - Math.log(total)) < 1e-4);
    assert(Math.abs(l[1] + 1000 - Math.log(total)) < 1e-4);
  }
});

Deno.test("log-softmax of large numbers that lie near each other is as exact as of small ones", async () => {
  const near = [0, 1, -3, 0.5, -20, 7];
  for (const offset of [1e3, 1e6, -1e6]) {
    const x = tensor(near.map((v) => v + offset), [1, 6]);
    const small = interpret([logSoftmax(tensor(near, [1, 6]))])[0];
    const first = slice(logSoftmax(x), 1, 0, 1);
    const [g] = vjp([[first, tensor([1], [1, 1])]], [x]);
    const share = small.map((l, i) => Number(i === 0) - Math.exp(l));
    for (const software of kinds) {
      const device = await deviceAs(software);
      const y = await device.read(evaluate(device, logSoftmax(x))) as Float32Array;
      assert(relativeError(y, small) < 1e-6, `${y} for ${offset}`);
      const dx = await device.read(evaluate(device, g!)) as Float32Array;
      assert(relativeError(dx, share) < 1e-6, `gradient ${dx} for ${offset}`);
    }
  }
});

Deno.test("log-softmax is one kernel, and what is masked stays masked", async () => {
  const x = tensor([1, -Infinity, 2, -1e30, 0, -Infinity], [2, 3]);
  for (const software of kinds) {
    const device = await deviceAs(software);
    assertEquals(compile(device, logSoftmax).plan(x).dispatches.length, 1);
    const y = await device.read(evaluate(device, logSoftmax(x))) as Float32Array;
    assertEquals(y[1], -Infinity);
    assertEquals([y[4], y[5]], [0, -Infinity]);
  }
});

Deno.test("softmax refuses integers and scalars by name", () => {
  assertThrows(() => softmax(tensor([1, 2], [2], "i32")), ShapeError, "softmax: needs floats");
  assertThrows(() => logSumExp(tensor([1], [])), ShapeError, "logSumExp: needs floats");
  assertThrows(() => expand(softmax(tensor([1, 2])), [3]), ShapeError, "does not broadcast");
});
