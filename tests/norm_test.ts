import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { groupNorm, layerNorm } from "../ops/norm/norm.ts";
import { silu } from "../ops/elementwise/activation.ts";
import { add, mul } from "../ops/elementwise/arithmetic.ts";
import { input, tensor } from "../ops/leaf.ts";
import { compile, evaluate } from "../compile/compile.ts";
import { blueprint } from "../compile/trace.ts";
import { interpret } from "../compile/interpret.ts";
import { vjp } from "../autograd/grad.ts";
import { tapeOf, type Tensor } from "../tensor/tensor.ts";
import { ShapeError, type Spec } from "../tensor/shape.ts";
import { checkOp, relativeError, uniform } from "./support/check.ts";
import { onDevice, test } from "./support/devices.ts";

const f32 = (...shape: number[]): Spec => ({ shape, dtype: "f32" });
const f16 = (...shape: number[]): Spec => ({ shape, dtype: "f16" });
const group = (groups: number) => (x: Tensor, gamma: Tensor, beta: Tensor) =>
  groupNorm(x, gamma, beta, { groups });
const layer = (x: Tensor, gamma: Tensor, beta: Tensor) => layerNorm(x, gamma, beta);
const filled = (n: number, seed: number) => Float32Array.from({ length: n }, uniform(seed));

test("group norm agrees with float64 for any number of images, pixels, groups and channels", async (device) => {
  const small = fc.integer({ min: 1, max: 5 });
  // Two values become −1 and 1 whatever they were: their gradient is zero but for rounding, and has no relative error.
  await fc.assert(
    fc.asyncProperty(
      small,
      fc.integer({ min: 3, max: 70 }),
      small,
      small,
      async (images, pixels, groups, per) => {
        const c = groups * per;
        await checkOp([f32(images, pixels, c), f32(c), f32(c)], group(groups), { device });
      },
    ),
    { numRuns: 3 },
  );
});

test("groups that straddle vectors, or are several vectors wide, in images of several runs", async (device) => {
  await checkOp([f32(2, 9, 10, 20), f32(20), f32(20)], group(2), { device });
  await checkOp([f32(1, 150, 16), f32(16), f32(16)], group(2), { device });
  await checkOp([f32(2, 3, 5), f32(5), f32(5)], group(1), { device });
});

test("layer norm agrees with float64 for any row length", async (device) => {
  // Not two values, as above.
  const lengths = fc.oneof(fc.integer({ min: 4, max: 70 }), fc.constantFrom(96, 130));
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 19 }), lengths, async (rows, c) => {
      await checkOp([f32(rows, c), f32(c), f32(c)], layer, { device, tolerance: 3e-5 });
    }),
    { numRuns: 3 },
  );
  await checkOp([f32(2, 1029), f32(1029), f32(1029)], layer, { device, wrt: [0] });
});

test("f16 inputs with f32 parameters, and the other way round", async (device) => {
  await checkOp([f16(2, 12, 8), f32(8), f32(8)], group(2), { device });
  await checkOp([f32(2, 12, 8), f16(8), f16(8)], group(4), { device });
  await checkOp([f16(6, 32), f32(32), f32(32)], layer, { device });
  await checkOp([f32(6, 9), f16(9), f16(9)], layer, { device });
});

test("activations and residuals fuse into the norm's last dispatch", async (device) => {
  const f = (x: Tensor, gamma: Tensor, beta: Tensor) => add(silu(group(4)(x, gamma, beta)), x);
  await checkOp([f32(2, 12, 8), f32(8), f32(8)], f, { device });
  const x = tensor(filled(192, 1), [2, 12, 8]);
  const p = tensor(filled(8, 2));
  assertEquals(compile(device, f).plan(x, p, p).dispatches.length, 3);
  const row = compile(device, (x: Tensor, p: Tensor) => mul(layerNorm(x, p, p), 2));
  assertEquals(row.plan(x, p).dispatches.length, 1);
});

test("a mean ten thousand deviations away costs no accuracy beyond that of the input", async (device) => {
  // Values are exact in f32, so that only the norm's own arithmetic can err.
  const steps = filled(4 * 300 * 8, 3).map((v) => Math.round(v * 64) / 64 + 8192);
  const ones = tensor(new Float32Array(8).fill(1));
  const zeros = tensor(new Float32Array(8));
  const g = groupNorm(tensor(steps, [4, 300, 8]), ones, zeros, { groups: 2 });
  const wide = tensor(new Float32Array(96).fill(1));
  const l = layerNorm(tensor(steps, [100, 96]), wide, tensor(new Float32Array(96)));
  for (const y of [g, l]) {
    const actual = await device.read(evaluate(device, y)) as Float32Array;
    const e = relativeError(actual, interpret([y])[0]);
    // Rounding the mean itself (8192 ± 2⁻¹¹) is the largest error.
    assert(e < 1.5e-3, `error ${e}`);
  }
});

test("a constant input gives the shift, and a finite gradient", async (device) => {
  const x = tensor(new Float32Array(64).fill(3), [2, 4, 8]);
  const gamma = tensor(filled(8, 5));
  const beta = tensor(filled(8, 6));
  for (const f of [group(2), layer]) {
    const y = f(x, gamma, beta);
    const actual = await device.read(evaluate(device, y)) as Float32Array;
    assert(relativeError(actual, interpret([y])[0]) < 1e-6);
    const [dx] = vjp([[y, tensor(filled(64, 7), [2, 4, 8])]], [x]);
    const g = await device.read(evaluate(device, dx!)) as Float32Array;
    assert(relativeError(g, interpret([dx!])[0]) < 1e-4);
  }
});

Deno.test("frozen scale and shift cost nothing backward", () => {
  const x = tensor(filled(64, 1), [2, 4, 8]);
  const [gamma, beta] = [tensor(filled(8, 2)), tensor(filled(8, 3))];
  for (const f of [group(2), layer]) {
    const y = f(x, gamma, beta);
    const seed = tensor(filled(64, 4), [2, 4, 8]);
    const names = (wanted: Tensor[]) =>
      tapeOf(vjp([[y, seed]], wanted) as Tensor[]).map((n) => n.op.name);
    assert(!names([x]).includes("sum"));
    assert(names([x]).some((n) => n.endsWith("NormGrad")));
    assert(!names([beta]).some((n) => /Norm/.test(n)), "the shift's gradient needs no statistics");
  }
});

onDevice("cpu", "second derivatives of both norms hold", async (device) => {
  const once = (f: typeof layer) => (x: Tensor, gamma: Tensor, u: Tensor) =>
    vjp([[f(x, gamma, gamma), u]], [x])[0]!;
  // They are written with ops that are the same for every device.
  const options = { device, tolerance: 1e-4 };
  await checkOp([f32(2, 6, 4), f32(4), f32(2, 6, 4)], once(group(2)), options);
  await checkOp([f32(3, 8), f32(8), f32(3, 8)], once(layer), options);
});

Deno.test("shapes that do not fit are refused by name", () => {
  const [x, p] = [tensor(new Float32Array(12), [1, 2, 6]), tensor(new Float32Array(6))];
  assertThrows(
    () => groupNorm(x, p, p, { groups: 4 }),
    ShapeError,
    "6 channels do not fall into 4",
  );
  assertThrows(() => groupNorm(p, p, p, { groups: 2 }), ShapeError, "groupNorm: needs floats");
  assertThrows(() => layerNorm(x, tensor([1]), p), ShapeError, "scale and shift must be [6]");
  assertThrows(() => layerNorm(x, p, p, { eps: NaN }), ShapeError, "eps is NaN");
});

onDevice(
  "webgpu",
  "groups of very many runs are folded again before they are joined, on a GPU",
  async (device) => {
    const f32 = (...shape: number[]) => ({ shape, dtype: "f32" as const });
    const norm = (x: Tensor, g: Tensor, b: Tensor) => groupNorm(x, g, b, { groups: 2 });
    const specs: Spec[] = [f32(2, 13, 41, 64), f32(64), f32(64)];
    const plan = blueprint([norm(input(specs[0], 0), input(specs[1], 1), input(specs[2], 2))], [], {
      profile: device.profile,
    });
    assert(plan.dispatches.some(({ label }) => label.includes("(again)")));
    await checkOp(specs, norm, { device });
  },
);
