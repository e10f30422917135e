import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  foldIn,
  hostNormal,
  hostUniform,
  type Key,
  keyFromSeed,
  randomBits,
  randomNormal,
  randomUniform,
  threefry,
} from "../ops/random.ts";
import { add, mul } from "../ops/elementwise/arithmetic.ts";
import { tensor } from "../ops/leaf.ts";
import { compile, evaluate } from "../compile/compile.ts";
import { interpret } from "../compile/interpret.ts";
import { vjp } from "../autograd/grad.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { ShapeError } from "../tensor/shape.ts";
import { testDevice } from "./support/check.ts";
import { test } from "./support/devices.ts";

const keyOf = (key: Key): Tensor => tensor(Uint32Array.from(key));
const KEY: Key = [0x13198a2e, 0x03707344];

async function values(t: Tensor): Promise<Float64Array> {
  const device = await testDevice();
  const result = evaluate(device, t);
  const array = await device.read(result);
  device.free(result);
  return Float64Array.from(array as Float32Array);
}

const mean = (x: Float64Array) => x.reduce((a, b) => a + b, 0) / x.length;
const dot = (x: Float64Array, y: Float64Array) => x.reduce((a, b, i) => a + b * y[i], 0) / x.length;

Deno.test("Threefry-2x32-20 gives the known answers of its authors", () => {
  const ones = 0xffffffff;
  assertEquals(threefry([0, 0], [0, 0]), [0x6b200159, 0x99ba4efe]);
  assertEquals(threefry([ones, ones], [ones, ones]), [0x1cb996fc, 0xbb002be7]);
  assertEquals(threefry(KEY, [0x243f6a88, 0x85a308d3]), [0xc4923a9c, 0x483df7a0]);
});

test("the device draws the same bits as the host, for any size and stream", async () => {
  for (const [shape, stream] of [[[3, 8], 0], [[7], 5], [[2, 3, 3], 0xfffffffe]] as const) {
    const bits = randomBits(keyOf(KEY), shape, { stream });
    assertEquals(await values(bits), interpret([bits])[0]);
    const flat = interpret([bits])[0];
    assertEquals([flat[2], flat[3]], threefry(KEY, [1, stream]));
  }
});

test("uniform and normal numbers equal the host's exactly, in every stream", async () => {
  for (const n of [4096, 1001]) {
    assertEquals(
      await values(randomUniform(keyOf(KEY), [n], { stream: 2 })),
      hostUniform(KEY, n, { stream: 2 }),
    );
    assertEquals(
      await values(randomNormal(keyOf(KEY), [n], { stream: 1 })),
      hostNormal(KEY, n, { stream: 1 }),
    );
  }
});

test("normal numbers have the moments and tails of the normal distribution", async () => {
  const n = 1 << 18;
  const x = await values(randomNormal(keyOf(keyFromSeed(1)), [n / 64, 64]));
  const se = 1 / Math.sqrt(n);
  assert(Math.abs(mean(x)) < 4 * se, `mean ${mean(x)}`);
  assert(Math.abs(dot(x, x) - 1) < 4 * Math.SQRT2 * se, `variance ${dot(x, x)}`);
  assert(Math.abs(mean(x.map((v) => v ** 3))) < 4 * Math.sqrt(15) * se);
  assert(Math.abs(mean(x.map((v) => v ** 4)) - 3) < 4 * Math.sqrt(96) * se);
  const beyond = (z: number) => x.filter((v) => Math.abs(v) > z).length / n;
  for (const [z, p] of [[1, 0.317311], [2, 0.0455003], [3, 0.0026998]]) {
    assert(Math.abs(beyond(z) - p) < 4 * Math.sqrt(p / n), `${beyond(z)} beyond ${z}`);
  }
  const neighbours = dot(x.subarray(0, n - 1), x.subarray(1));
  assert(Math.abs(neighbours) < 4 * se, `neighbours correlate by ${neighbours}`);
});

test("uniform numbers fill [0, 1) evenly", async () => {
  const n = 1 << 16;
  const x = await values(randomUniform(keyOf(keyFromSeed(2)), [n]));
  assert(x.every((v) => v >= 0 && v < 1));
  const bins = new Float64Array(64);
  x.forEach((v) => bins[Math.floor(v * 64)]++);
  const chi = bins.reduce((a, b) => a + (b - n / 64) ** 2 / (n / 64), 0);
  assert(chi > 25 && chi < 120, `chi² of 64 bins is ${chi}`);
});

Deno.test("streams, steps and seeds draw independent numbers", () => {
  const n = 1 << 14;
  const draws = [
    hostNormal(KEY, n),
    hostNormal(KEY, n, { stream: 1 }),
    hostNormal(foldIn(KEY, 0), n),
    hostNormal(foldIn(KEY, 1), n),
    hostNormal(keyFromSeed(1), n),
    hostNormal(keyFromSeed(2), n),
    hostNormal(keyFromSeed(2 ** 40), n),
  ];
  draws.forEach((x, i) =>
    draws.slice(i + 1).forEach((y) => {
      const correlation = dot(x, y);
      assert(Math.abs(correlation) < 4.5 / Math.sqrt(n), `correlation ${correlation}`);
    })
  );
});

test("a compiled program draws by the key it is given", async (device) => {
  const step = compile(device, (key: Tensor) => add(mul(randomNormal(key, [16]), 2), 1));
  const read = async (key: Key) => [...await device.read(step(keyOf(key))) as Float32Array];
  const first = await read([1, 2]);
  assert((await read([1, 3])).every((v, i) => v !== first[i]));
  assertEquals(await read([1, 2]), first);
  assertEquals(step.plan(keyOf([1, 2])).dispatches.length, 1);
});

Deno.test("random numbers carry no gradient, and wrong keys are refused by name", () => {
  const scale = tensor([2], [1]);
  const noise = randomNormal(keyOf(KEY), [1]);
  const [g] = vjp([[mul(noise, scale), tensor([1], [1])]], [scale]);
  assertEquals(interpret([g!])[0][0], hostNormal(KEY, 1)[0]);
  assertThrows(() => randomNormal(tensor([1, 2]), [4]), ShapeError, "the key must be u32[2]");
  assertThrows(() => randomBits(keyOf(KEY), [4], { stream: -1 }), ShapeError, "stream -1");
  assertThrows(() => foldIn(KEY, 1.5), RangeError, "u32");
  assertThrows(() => keyFromSeed(-1), RangeError, "seed");
});
