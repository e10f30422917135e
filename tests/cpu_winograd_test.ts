// 3×3 convolutions on the CPU device by Winograd's filtering, and weights that are laid out once and kept.
import { assert, assertEquals } from "@std/assert";
import type { Device } from "../device/device.ts";
import { gpu } from "../device/adapter.ts";
import { compile, evaluate } from "../compile/compile.ts";
import { profile } from "../compile/inspect/profile.ts";
import { interpret } from "../compile/interpret.ts";
import { conv2d, type ConvOptions } from "../ops/conv.ts";
import { add, mul } from "../ops/elementwise/arithmetic.ts";
import { matmul } from "../ops/matmul.ts";
import { tensor } from "../ops/leaf.ts";
import type { DType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { checkOp, relativeError, uniform } from "./support/check.ts";

let opened: Promise<Device> | undefined;
const cpu = () => opened ??= gpu({ backend: "cpu", threads: 2 });
const spec = (shape: number[], dtype: DType = "f32") => ({ shape, dtype });
const random = (seed: number, size: number) => Float32Array.from({ length: size }, uniform(seed));
const labels = (device: Device, f: (...xs: Tensor[]) => Tensor, ...xs: Tensor[]) =>
  compile(device, f).plan(...xs).dispatches.map((d) => d.label).join();

Deno.test("Winograd's filtering equals the definition: odd sides, every padding, batches, f16, fused additions, gradients", async () => {
  const device = await cpu();
  const cases: [number[], number[], ConvOptions, DType?, DType?][] = [
    [[2, 8, 8, 48], [3, 3, 48, 52], { padding: 1 }],
    [[1, 7, 9, 64], [3, 3, 64, 48], { padding: 1 }],
    [[2, 3, 3, 48], [3, 3, 48, 48], {}],
    [[1, 1, 2, 48], [3, 3, 48, 48], { padding: 1 }],
    [[1, 2, 1, 48], [3, 3, 48, 48], { padding: 2 }],
    [[1, 5, 6, 48], [3, 3, 48, 48], { padding: [0, 1, 2, 0] }],
    [[2, 12, 11, 48], [3, 3, 48, 48], { padding: 1 }],
    [[1, 6, 6, 48], [3, 3, 48, 56], { padding: 1 }, "f16", "f16"],
    [[1, 6, 6, 56], [3, 3, 56, 48], { padding: 1 }, "f32", "f16"],
  ];
  for (const [x, w, options, a, b] of cases) {
    const f = (i: Tensor, k: Tensor) => conv2d(i, k, options);
    // Up to 7e-7 was seen with 256 channels.
    const tolerance = a || b ? 4e-3 : 2e-6;
    await checkOp([spec(x, a), spec(w, b)], f, { device, scale: 0.5, tolerance });
  }
  const k = device.upload(random(1, 9 * 48 * 48), [3, 3, 48, 48], "f32");
  const x = device.upload(random(2, 36 * 48), [1, 6, 6, 48], "f32");
  const used = (f: (i: Tensor) => Tensor, i: Tensor) => labels(device, f, i).includes("(tiles)");
  assert(used((i) => conv2d(i, k, { padding: 1 }), x), "what this test is about");
  assert(!used((i) => conv2d(i, k, { padding: 1, stride: 2 }), x), "windows that jump");
  const few = device.upload(random(2, 9 * 32 * 32), [3, 3, 32, 32], "f32");
  const small = device.upload(random(2, 36 * 32), [1, 6, 6, 32], "f32");
  assert(!used((i) => conv2d(i, few, { padding: 1 }), small), "few channels");
  assert(!used((i) => conv2d(i, mul(k, 2), { padding: 1 }), x), "new weights for a few tiles");
  const wide = device.upload(random(2, 256 * 48), [1, 16, 16, 48], "f32");
  assert(used((i) => conv2d(i, mul(k, 2), { padding: 1 }), wide), "new weights for many tiles");
});

Deno.test("a NaN in a picture breaks the tiles that it lies in and nothing else", async () => {
  const device = await cpu();
  const image = random(3, 144 * 48);
  const [y, x] = [5, 6];
  image[(y * 12 + x) * 48 + 7] = NaN;
  const k = device.upload(random(1, 9 * 48 * 48), [3, 3, 48, 48], "f32");
  const f = compile(device, (i: Tensor) => conv2d(i, k, { padding: 1 }));
  const out = await device.read(f(tensor(image, [1, 12, 12, 48])));
  for (let i = 0; i < 144; i++) {
    const [dy, dx] = [Math.floor(i / 12) - y, i % 12 - x];
    const must = Math.abs(dy) <= 1 && Math.abs(dx) <= 1;
    const may = Math.abs(dy) <= 2 && Math.abs(dx) <= 2;
    const broken = Number.isNaN(out[i * 48]);
    assert(broken ? may : !must, `pixel ${dy}, ${dx} from it is ${out[i * 48]}`);
  }
});

/** Dispatches that are encoded while `f` runs. */
function dispatched(device: Device, f: () => void): number {
  const { gpu } = device;
  const make = gpu.createCommandEncoder;
  let n = 0;
  gpu.createCommandEncoder = function (this: GPUDevice, ...args) {
    const encoder = make.apply(this, args);
    const begin = encoder.beginComputePass;
    encoder.beginComputePass = function (...args) {
      const pass = begin.apply(this, args);
      const dispatch = pass.dispatchWorkgroups;
      pass.dispatchWorkgroups = function (...args) {
        n++;
        return dispatch.apply(this, args);
      };
      return pass;
    };
    return encoder;
  };
  try {
    f();
  } finally {
    gpu.createCommandEncoder = make;
  }
  return n;
}

Deno.test("weights that a function closes over are laid out by its first run alone; weights that it is given, by each", async () => {
  const device = await cpu();
  const k = device.upload(random(1, 9 * 48 * 48), [3, 3, 48, 48], "f32");
  const w = device.upload(random(2, 48 * 40), [48, 40], "f32");
  const f = compile(device, (x: Tensor) => matmul(conv2d(x, k, { padding: 1 }), w));
  const image = (seed: number) => tensor(random(seed, 64 * 48), [1, 8, 8, 48]);
  const kept = f.plan(image(0)).dispatches.filter((d) => d.once).length;
  assertEquals(kept, 2, "one layout of each weight");
  const weights = [await device.read(k), await device.read(w)].map((data) => Array.from(data));
  const runs: number[] = [];
  for (let seed = 3; seed < 6; seed++) {
    let y: Tensor | undefined;
    const before = runs.length;
    runs.push(dispatched(device, () => y = f(image(seed))));
    const actual = await device.read(y!);
    const [K, W] = [tensor(weights[0], [3, 3, 48, 48]), tensor(weights[1], [48, 40])];
    const [expected] = interpret([matmul(conv2d(image(seed), K, { padding: 1 }), W)]);
    const e = relativeError(actual, expected);
    assert(e < 2e-6, `run ${before} differs by ${e}`);
  }
  assertEquals(runs, [runs[0], runs[0] - kept, runs[0] - kept]);

  const twice = compile(device, (x: Tensor) => add(matmul(x, w), matmul(mul(x, 2), w)));
  const row = tensor(random(9, 16 * 48), [16, 48]);
  assertEquals(
    twice.plan(row).dispatches.filter((d) => d.once).length,
    1,
    "one layout for two uses",
  );
  const tripled = Array.from(await device.read(evaluate(device, mul(matmul(row, w), 3))));
  assert(relativeError(await device.read(twice(row)), tripled) < 1e-6);

  // What a call is given is laid out again when it is another value, be it in the same memory.
  const given = compile(device, (x: Tensor, w: Tensor) => matmul(x, w));
  const x = device.upload(random(7, 16 * 48), [16, 48], "f32");
  const second = device.upload(random(8, 48 * 40), [48, 40], "f32");
  const values = async (w: Tensor) => Array.from(await device.read(evaluate(device, matmul(x, w))));
  const [ofFirst, ofSecond] = [await values(w), await values(second)];
  const layouts: number[] = [];
  const call = async (w: Tensor, expected: readonly number[]) => {
    let y: Tensor | undefined;
    layouts.push(dispatched(device, () => y = given(x, w)) - 1);
    assertEquals(Array.from(await device.read(y!)), expected);
  };
  await call(w, ofFirst);
  await call(w, ofFirst);
  await call(second, ofSecond);
  await profile(given, [x, w]);
  await call(second, ofSecond);
  assertEquals(layouts, [1, 0, 1, 1], "a profile of another call lays out, too");
  const half = compile(device, (w: Tensor) => mul(w, 0.5));
  for (const [of, factor] of [[w, 0.5], [second, 0.5]] as const) {
    const expected = (of === w ? ofFirst : ofSecond).map((v) => v * factor);
    await call(half(of), expected);
  }
});
