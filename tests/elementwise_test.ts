import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import * as arithmetic from "../ops/elementwise/arithmetic.ts";
import { pow } from "../ops/elementwise/power.ts";
import * as activation from "../ops/elementwise/activation.ts";
import { geglu } from "../ops/elementwise/geglu.ts";
import { erfOf } from "../ops/elementwise/erf.ts";
import * as trigonometry from "../ops/elementwise/trigonometry.ts";
import * as compare from "../ops/elementwise/compare.ts";
import * as move from "../ops/movement.ts";
import { expand, sum } from "../ops/broadcast.ts";
import { cast } from "../ops/elementwise/cast.ts";
import { concat, upsampleNearest } from "../ops/concat.ts";
import { max, mean } from "../ops/reduce.ts";
import { tensor } from "../ops/leaf.ts";
import { interpret } from "../compile/interpret.ts";
import { compile, evaluate } from "../compile/compile.ts";
import { vjp } from "../autograd/grad.ts";
import { tapeOf, type Tensor } from "../tensor/tensor.ts";
import { type Shape, ShapeError, type Spec } from "../tensor/shape.ts";
import { checkOp, relativeError, uniform } from "./support/check.ts";
import { test } from "./support/devices.ts";

const f32 = (...shape: number[]): Spec => ({ shape, dtype: "f32" });
const f16 = (...shape: number[]): Spec => ({ shape, dtype: "f16" });
const { add, mul, sub } = arithmetic;

/** Values of both signs, none near 0, where |x|, max and the like have their kinks. */
const awayFromZero = (n: number, seed = 7) =>
  Float64Array.from({ length: n }, uniform(seed)).map((v) => Math.fround(v + Math.sign(v) * 0.4));
const positive = (n: number, seed = 8) => awayFromZero(n, seed).map(Math.abs);

/** Runs a property over small shapes; few runs, since every shape compiles kernels of its own. */
const overShapes = (numRuns: number, check: (shape: number[], seed: number) => Promise<void>) =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 3 }),
      fc.integer({ min: 1, max: 1e6 }),
      check,
    ),
    { numRuns },
  );

const unary: Record<string, (x: Tensor) => Tensor> = {
  neg: arithmetic.neg,
  abs: arithmetic.abs,
  exp: arithmetic.exp,
  square: arithmetic.square,
  sin: trigonometry.sin,
  cos: trigonometry.cos,
  clamp: (x) => arithmetic.clamp(x, -0.45, 0.8),
  "pow 3": (x) => pow(x, 3),
  "pow -2": (x) => pow(x, -2),
  "pow 0": (x) => add(x, pow(x, 0)),
  sigmoid: activation.sigmoid,
  tanh: activation.tanh,
  erf: activation.erf,
  silu: activation.silu,
  quickGelu: activation.quickGelu,
  relu: activation.relu,
  gelu: (x) => activation.gelu(x),
  "gelu (tanh)": (x) => activation.gelu(x, "tanh"),
};

test("elementwise functions of one argument agree with float64, and so do their gradients", async () => {
  for (const [name, f] of Object.entries(unary)) {
    try {
      await checkOp([f32(3, 8)], f, { values: [awayFromZero(24)] });
    } catch (e) {
      throw new Error(name, { cause: e });
    }
  }
  for (const f of [arithmetic.log, arithmetic.sqrt, arithmetic.rsqrt]) {
    await checkOp([f32(7)], f, { values: [positive(7)] });
  }
  await checkOp([f32(7)], (x) => pow(x, -1.5), { values: [positive(7)] });
});

test("slopes of activations have derivatives of their own: second derivatives hold", async () => {
  const names = ["sigmoid", "tanh", "erf", "silu", "quickGelu", "gelu", "gelu (tanh)"];
  for (const name of names) {
    const slope = (x: Tensor) => vjp([[unary[name](x), expand(tensor([1]), x.shape)]], [x])[0]!;
    await checkOp([f32(8)], slope, { values: [awayFromZero(8)] });
  }
});

test("slopes that fade away keep their digits: nothing is taken from 1", async (device) => {
  const x = tensor([-80, -20, -9, -1, 0, 0.5, 5, 12, 20, 40, 80]);
  const seed = expand(tensor([1]), x.shape);
  const slope = (f: (x: Tensor) => Tensor) => (x: Tensor) => vjp([[f(x), seed]], [x])[0]!;
  const functions = [activation.sigmoid, (x: Tensor) => activation.tanh(arithmetic.mul(x, 0.5))];
  for (const f of functions.flatMap((f) => [slope(f), slope(slope(f))])) {
    const [y] = interpret([f(x)]);
    const actual = await device.read(evaluate(device, f(x))) as Float32Array;
    y.forEach((v, i) =>
      assert(Math.abs(v - actual[i]) <= 2e-5 * Math.abs(v), `${actual[i]}, not ${v}`)
    );
  }
});

Deno.test("activations keep nothing but their input for the backward pass", () => {
  for (const f of [activation.silu, activation.quickGelu, activation.gelu, activation.tanh]) {
    const x = tensor([0.5], [1]);
    const [g] = vjp([[f(x), tensor([1], [1])]], [x]);
    const names = tapeOf([g!]).map((n) => n.op.name);
    assertEquals(names.length, 4, `x, the seed, the slope and the product, not ${names}`);
  }
});

test("activations are finite and right far from zero", async (device) => {
  const far = [-1e30, -3e4, -100, -88.8, -20, -9, -4.1, -3.9, 0, 3.9, 4.1, 9, 20, 88.8, 100, 3e4];
  const x = tensor(far);
  for (const f of [activation.sigmoid, activation.tanh, activation.erf]) {
    const [y] = interpret([f(x)]);
    const actual = await device.read(evaluate(device, f(x))) as Float32Array;
    y.forEach((v, i) => assert(Math.abs(v - actual[i]) < 3e-7, `${v} but ${actual[i]}`));
  }
  for (const f of [activation.silu, activation.quickGelu, activation.gelu, unary["gelu (tanh)"]]) {
    const [y] = interpret([f(x)]);
    const [dy] = interpret(vjp([[f(x), expand(tensor([1]), x.shape)]], [x]) as Tensor[]);
    const actual = await device.read(evaluate(device, f(x))) as Float32Array;
    const slope = await device.read(
      evaluate(device, vjp([[f(x), expand(tensor([1]), x.shape)]], [x])[0]!),
    ) as Float32Array;
    y.forEach((v, i) => {
      assert(Math.abs(v - actual[i]) <= 1e-6 * Math.max(1, Math.abs(v)), `${v} but ${actual[i]}`);
      assert(Math.abs(dy[i] - slope[i]) <= 2e-6, `slope ${dy[i]} but ${slope[i]} at ${far[i]}`);
    });
  }
});

test("erf is within 3e-7 of its true value over its whole range", async (device) => {
  const xs = Float32Array.from({ length: 4000 }, (_, i) => (i - 2000) / 400);
  const y = await device.read(evaluate(device, activation.erf(tensor(xs)))) as Float32Array;
  let worst = 0;
  xs.forEach((x, i) => worst = Math.max(worst, Math.abs(y[i] - erfOf(x))));
  assert(worst < 3e-7, `error ${worst}`);
  // The float64 definition itself, against tabulated values (Abramowitz and Stegun, table 7.1).
  for (
    const [x, v] of [[0.1, 0.1124629160], [1, 0.8427007929], [2.4, 0.9993114861], [
      2.6,
      0.9997639656,
    ]]
  ) {
    assert(
      Math.abs(erfOf(x) - v) < 6e-11 && erfOf(-x) === -erfOf(x),
    );
  }
});

test("two operands broadcast against each other, forward and backward", async () => {
  const binary = [add, sub, mul, arithmetic.div, arithmetic.maximum, arithmetic.minimum];
  const mask = (n: number, seed: number) => awayFromZero(n, seed).map((v) => v > 0 ? 1 : 0);
  await overShapes(4, async (shape, seed) => {
    const f = binary[seed % binary.length];
    const other = shape.map((d, i) => (seed >> i) & 1 ? 1 : d).slice(seed % 2);
    const n = (s: Shape) => s.reduce((a, b) => a * b, 1);
    await checkOp([f32(...shape), f32(...other)], f, {
      values: [awayFromZero(n(shape), seed), awayFromZero(n(other), seed + 1)],
    });
    await checkOp(
      [{ shape: other, dtype: "u32" }, f32(...shape), f32(...shape)],
      (c, a, b) => compare.where(c, a, b),
      { seed, values: [mask(n(other), seed), undefined, undefined] },
    );
  });
});

test("comparisons, casts and floor give the same integers as the definition", async () => {
  const x = Float64Array.of(-1.5, -1, -0.25, 0, 0.25, 1, 1.5, 2);
  const y = Float64Array.of(-1.5, 1, 0, 0, 0.5, 0.75, 1.5, 3);
  for (const f of [compare.less, compare.greaterEqual, compare.equal]) {
    await checkOp([f32(8), f32(8)], f, { values: [x, y], forwardOnly: true, tolerance: 0 });
  }
  await checkOp([f32(8)], (a) => cast(a, "i32"), {
    values: [x],
    forwardOnly: true,
    tolerance: 0,
  });
  await checkOp([f32(8)], arithmetic.floor, { values: [x], forwardOnly: true, tolerance: 0 });
  await checkOp([{ shape: [8], dtype: "u32" }], (a) => mul(cast(a, "f32"), 0.5), {
    forwardOnly: true,
  });
});

test("f16 storage computes in f32 and rounds once", async () => {
  await checkOp([f16(4, 8)], (x) => activation.silu(mul(x, 3)));
  await checkOp([f16(5), f32(5)], (x, y) => mul(cast(x, "f32"), y));
  await checkOp([f16(5, 4)], (x) => cast(move.slice(x, 0, 0, 3), "f32"));
});

test("movement: any chain of reshape, permute, slice, pad and expand equals its definition", async () => {
  await overShapes(5, async (shape, seed) => {
    await checkOp([f32(...shape)], (x) => {
      const r = x.shape.length;
      let y = move.permute(x, [...Array(r).keys()].map((i) => (i + seed) % r));
      y = move.pad(y, y.shape.map((_, i) => [(seed >> i) % 3, (seed >> (i + 2)) % 3]));
      y = move.slice(y, -1, 0, Math.max(1, y.shape.at(-1)! - 1));
      y = move.reshape(y, [1, -1, y.shape.at(-1)!]);
      return mul(expand(y, [2, ...y.shape.slice(1)]), 0.5);
    }, { seed });
    await checkOp([f32(...shape), f32(...shape)], (x, y) => concat([x, y, mul(x, y)], -1), {
      seed,
    });
  });
  await checkOp([f32(2, 3, 2, 4)], (x) => upsampleNearest(x));
});

test("reductions over any axes, of sizes that need one stage or two", async () => {
  await overShapes(4, async (shape, seed) => {
    const axes = shape.map((_, i) => i).filter((i) => (seed >> i) & 1);
    for (const f of [sum, max, mean]) {
      // Of numbers above 1, and with nothing behind it: where a sum of both signs cancels, or a cosine of a large sum is
      // near its zero, rounding is large beside what is left.
      const g = (x: Tensor) => f(add(x, 2), axes, { keep: seed % 2 === 0 });
      await checkOp([f32(...shape)], g, { seed, linear: true });
    }
  });
  await checkOp([f32(3, 1999)], (x) => sum(mul(x, x), [1]));
  await checkOp([f32(2500, 4)], (x) => mean(x, [0]));
});

test("a sum of a hundred thousand values loses no more than rounding", async (device) => {
  const values = Float32Array.from({ length: 100_003 }, uniform(5));
  const exact = values.reduce((a, b) => a + b, 0);
  const [y] = await device.read(evaluate(device, sum(tensor(values)))) as Float32Array;
  assert(Math.abs(y - exact) < 2e-3, `${y} but ${exact}`);
});

test("geglu gates the first half by the second, in one kernel forward and one backward", async (device) => {
  await checkOp([f32(3, 12)], geglu);
  await checkOp([f32(2, 16)], (x) => add(geglu(mul(x, 2)), 1));
  await checkOp([f32(2, 2, 6)], geglu);
  await checkOp([f16(3, 8)], geglu);
  const slope = (x: Tensor, g: Tensor) => vjp([[geglu(x), g]], [x])[0]!;
  await checkOp([f32(2, 8), f32(2, 4)], slope);
  const [x, g] = [tensor(new Float32Array(32), [2, 16]), tensor(new Float32Array(16), [2, 8])];
  assertEquals(compile(device, geglu).plan(x).dispatches.length, 1);
  assertEquals(compile(device, slope).plan(x, g).dispatches.length, 1);
  assertThrows(() => geglu(tensor([1, 2, 3])), ShapeError, "halves");
});

Deno.test("operands of different dtypes or shapes are refused by name", () => {
  assertThrows(
    () => add(tensor([1, 2]), tensor([1, 2], [2], "f16")),
    ShapeError,
    "add: operands are",
  );
  assertThrows(() => mul(tensor([1, 2]), tensor([1, 2, 3])), ShapeError, "do not broadcast");
  assertThrows(() => move.slice(tensor([1, 2]), 0, 1, 4), ShapeError, "does not lie within");
  // As long as the tensor, and elsewhere.
  assertThrows(() => move.slice(tensor([1, 2]), 0, 1, 3), ShapeError, "does not lie within");
  assertThrows(() => move.slice(tensor([1, 2]), 0, -1, 1), ShapeError, "does not lie within");
  assertThrows(() => sum(tensor([1, 2]), [2]), ShapeError, "axis 2 is out of range");
});

test("fused chains give the same numbers as op by op", async (device) => {
  const x = tensor(Float32Array.from({ length: 4096 }, uniform(3)), [64, 64]);
  const y = activation.silu(
    add(mul(x, move.slice(x, 0, 0, 1)), trigonometry.sin(move.transpose(x))),
  );
  const runs = await Promise.all(
    [true, false].map(async (fuse) =>
      await device.read(evaluate(device, y, { fuse })) as Float32Array
    ),
  );
  assert(relativeError(runs[0], runs[1]) < 1e-6);
});
