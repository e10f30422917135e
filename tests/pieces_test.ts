// Values that are larger than a binding or a buffer lie in pieces, whatever kernel reads or writes them, with the same numbers.
import { assert, assertEquals, assertThrows } from "@std/assert";
import * as m from "../mod.ts";
import type { DType, Tensor } from "../mod.ts";
import { BindingError } from "../compile/errors.ts";
import { bytesOf, inPieces, largestPiece, piecesOf } from "../compile/pieces.ts";
import { blueprint } from "../compile/trace.ts";
import { Device } from "../device/device.ts";
import { input } from "../ops/leaf.ts";
import type { AdapterProfile } from "../tensor/kernel.ts";
import { relativeError, uniform } from "./support/check.ts";
import { adamInit } from "../autograd/optimizer.ts";
import { portable } from "../bench/portable_weights.ts";
import { trainingStep } from "../concepts/training/step.ts";
import { engineShape } from "../models/params.ts";
import { vaeConfig, vaeDecode, vaeSpecs } from "../models/vae/vae.ts";
import { unflatten } from "../tensor/tree.ts";
import { onDevice, test } from "./support/devices.ts";
import { batchOf, small, uploaded } from "./support/small_model.ts";

/** The device as if it had other limits. */
const like = ({ gpu, profile, facts }: m.Device, changes: Partial<AdapterProfile>): Device =>
  new Device(gpu, { ...profile, ...changes }, facts);

/** A case: shapes of its inputs, and what is computed of them. */
type Case = readonly [shapes: readonly (readonly number[])[], f: (...x: Tensor[]) => Tensor];

const ids = (n: number, below: number) =>
  m.tensor(Uint32Array.from({ length: n }, (_, i) => (7 * i) % below), [n]);

/** One of each family of kernels, with gradients where there are any. */
const CASES: Readonly<Record<string, Case>> = {
  "elementwise work, broadcast and moved": [
    [[24, 20], [20], [20, 24]],
    (x, b, y) => m.mul(m.sin(m.add(x, b)), m.permute(y, [1, 0])),
  ],
  "padding, joins and slices": [
    [[18, 12], [18, 12]],
    (x, y) =>
      m.slice(m.concat([m.pad(x, [[2, 1], [0, 3]]), m.pad(y, [[1, 2], [2, 1]])], 0), 0, 3, 39),
  ],
  "sums and extremes": [
    [[30, 24]],
    (x) => m.add(m.sum(m.square(x), [0], { keep: true }), m.max(x, [1], { keep: true })),
  ],
  "a matrix product and what is fused behind it": [
    [[36, 20], [20, 32], [32]],
    (x, w, b) => m.gelu(m.add(m.matmul(x, w), b)),
  ],
  "a product of odd extents": [[[33, 21], [21, 35]], (x, w) => m.matmul(x, w)],
  "a convolution": [[[1, 14, 14, 8], [3, 3, 8, 12]], (x, w) => m.conv2d(x, w, { padding: 1 })],
  "a convolution of stride 2": [
    [[2, 13, 11, 4], [3, 3, 4, 8]],
    (x, w) => m.conv2d(x, w, { padding: 1, stride: 2 }),
  ],
  "many channels": [[[1, 18, 18, 64], [3, 3, 64, 64]], (x, w) => m.conv2d(x, w, { padding: 1 })],
  "group and layer norm": [
    [[1, 9, 12, 16], [16], [16]],
    (x, g, b) => m.layerNorm(m.silu(m.groupNorm(x, g, b, { groups: 4 })), g, b),
  ],
  "softmax": [[[24, 30]], (x) => m.softmax(x)],
  "attention": [
    [[1, 40, 2, 16], [1, 36, 2, 16], [1, 36, 2, 16]],
    (q, k, v) => m.attention(q, k, v),
  ],
  "a look-up": [[[60, 12]], (t) => m.embedding(t, ids(50, 60))],
  "rows that are replaced": [
    [[60, 12], [2, 12]],
    (t, r) => m.embedding(m.replaceRows(t, r, [59, 7]), ids(50, 60)),
  ],
  "rows that are taken and put": [[[40, 16]], (x) => m.take(x, ids(70, 40), 0)],
  "scans": [[[20, 33]], (x) => m.cumsum(x, 1)],
  "a loop": [[[24, 20], [6, 24, 20]], (h, xs) => {
    const [last, all] = m.scan(
      (h: Tensor, x: Tensor) => [m.sin(m.add(h, x)), m.mul(h, x)],
      h,
      xs,
    );
    return m.add(last, m.sum(all, [0]));
  }],
  "sorting": [[[21, 32]], (x) => m.sort(x)],
};

const values = (shape: readonly number[], seed: number, dtype: DType = "f32"): Tensor => {
  const rand = uniform(seed);
  return m.tensor(Array.from({ length: shape.reduce((a, b) => a * b, 1) }, rand), shape, dtype);
};

/** The result of a case and the gradients of its inputs. */
function resultsOf([shapes, f]: Case, dtype: DType = "f32"): Tensor[] {
  const xs = shapes.map((s, i) => values(s, i + 1, dtype));
  const y = f(...xs);
  const weights = values(y.shape, 99);
  const loss = (x: Tensor[]) => m.sum(m.mul(m.cast(f(...x), "f32"), weights));
  return [y, ...m.grad(loss)(xs)];
}

/** Everything on the host, as numbers. */
async function computed(device: Device, results: readonly Tensor[]): Promise<number[][]> {
  const run = m.compile(device, () => [...results]);
  try {
    const given = run();
    return await Promise.all(given.map(async (t) => Array.from(await device.read(t), Number)));
  } finally {
    run.free();
  }
}

/** The largest value of a program, in bytes, and whether anything of it lies in pieces. */
function planned(results: readonly Tensor[], profile: AdapterProfile) {
  const { dispatches } = blueprint(results, [], { profile });
  const uses = dispatches.flatMap((d) => d.buffers);
  return {
    largest: Math.max(...uses.map((u) => bytesOf(u.memory))),
    bound: Math.max(...uses.map((u) => u.window?.bytes ?? bytesOf(u.memory))),
    cut: uses.some((u) => u.window),
  };
}

for (const [name, one] of Object.entries(CASES)) {
  test(`in pieces as whole: ${name}`, async (device) => {
    const results = resultsOf(one);
    const whole = await computed(device, results);
    const { largest } = planned(results, device.profile);
    // A software adapter takes its time to compile.
    for (const parts of device.profile.cpu ? [2, 3, 4] : [2]) {
      const maxBinding = Math.ceil(largest / parts / 256) * 256;
      const narrow = like(device, { maxBinding });
      const plan = planned(results, narrow.profile);
      assert(plan.bound <= maxBinding, `${plan.bound} bytes are bound`);
      // Attention has fewer heads at a time before anything is cut.
      assertEquals(plan.cut, plan.largest > maxBinding);
      const pieces = await computed(narrow, results);
      pieces.forEach((p, i) => {
        const e = relativeError(p, whole[i]);
        assert(e <= 1e-6, `result ${i} in ${parts} pieces differs by ${e}`);
      });
    }
  });
}

test("halves in pieces are as whole, with f16 in shaders and without", async (full) => {
  const [shapes] = CASES["a matrix product and what is fused behind it"];
  const f = (x: Tensor, w: Tensor, b: Tensor) => m.gelu(m.add(m.matmul(x, w), b));
  const results = resultsOf([shapes, f], "f16");
  for (const f16 of [true, false]) {
    if (f16 && !full.profile.f16) continue;
    const device = like(full, { f16 });
    const whole = await computed(device, results);
    const maxBinding = Math.ceil(planned(results, device.profile).largest / 2 / 256) * 256;
    const narrow = like(full, { f16, maxBinding });
    assert(planned(results, narrow.profile).cut);
    assertEquals(await computed(narrow, results), whole);
  }
});

/** Much out of little, and little out of that: nothing but what lies between is large. */
const wide = (x: Tensor, y: Tensor) => {
  const outer = m.sin(m.mul(m.reshape(x, [48, 1]), m.reshape(y, [1, 56])));
  return m.sum(m.matmul(outer, m.permute(outer, [1, 0])), [1]);
};

test("what no buffer holds lies in several, and is explained and debugged there", async (full) => {
  const xs = [values([48], 1), values([56], 2)].map((t) => m.evaluate(full, t));
  const whole = await full.read(m.evaluate(full, wide(xs[0], xs[1])));
  const device = like(full, { maxBuffer: 4096, maxBinding: 4096 });
  const own = [values([48], 1), values([56], 2)].map((t) => m.evaluate(device, t));
  const run = m.compile(device, wide);
  const plan = run.plan(own[0], own[1]);
  assert(plan.memory.slabs.every((bytes) => bytes <= 4096), `${plan.memory.slabs}`);
  assert(Math.max(...[...plan.memory.places.values()].map((pieces) => pieces.length)) >= 3);
  const e = relativeError(
    Array.from(await device.read(run(own[0], own[1])), Number),
    Array.from(whole, Number),
  );
  assert(e <= 1e-6, `${e}`);
  assert(m.explain(plan).includes("(piece 2 of 3)"), m.explain(plan));
  const { problem } = await m.debugRun(run, [own[0], own[1]]);
  assertEquals(problem, undefined);
  run.free();
});

test("a result, and memory that is donated, are bound in pieces of one buffer", async (full) => {
  const device = like(full, { maxBinding: 1024 });
  const step = m.compile(device, (x: Tensor) => m.add(m.mul(x, 2), 1), { donate: [0] });
  const x = Float32Array.from({ length: 700 }, (_, i) => i);
  const y = step(step(device.upload(x)));
  assertEquals(await device.read(y), x.map((v) => (v * 2 + 1) * 2 + 1));
  step.free();
  // What comes from the host at each call lies behind other data of the step.
  const both = m.compile(device, (a: Tensor, b: Tensor) => m.sub(m.mul(b, a), b));
  for (const a of [3, 5]) {
    const given = both(m.tensor([a], []), m.tensor(x));
    assertEquals(await device.read(given), x.map((v) => v * a - v));
  }
  both.free();
});

/** A decoder whose last level is by far the widest thing there is. */
const VAE = vaeConfig({
  block_out_channels: [8, 8],
  down_block_types: Array(2).fill("DownEncoderBlock2D"),
  up_block_types: Array(2).fill("UpDecoderBlock2D"),
  layers_per_block: 1,
  norm_num_groups: 4,
});

test("a decoder whose pictures no buffer holds gives the same picture", async (full) => {
  const weights = [...vaeSpecs(VAE)].filter(([name]) => /decoder|post_quant/.test(name));
  const decode = (device: m.Device) => {
    const params = unflatten(
      weights.map(([name, spec]) =>
        [name, device.upload(portable(name, spec), engineShape(spec))] as const
      ),
    );
    const z = m.evaluate(device, values([1, 16, 16, 4], 5));
    return { run: m.compile(device, (z: Tensor) => vaeDecode(VAE, params, z)), z };
  };
  const whole = decode(full);
  const expected = await full.read(whole.run(whole.z));
  // The picture is a result, in one buffer of 12 KiB; what lies between takes 32 KiB.
  const device = like(full, { maxBuffer: 12_288, maxBinding: 12_288 });
  const { run, z } = decode(device);
  const { memory } = run.plan(z);
  assert(memory.slabs.every((bytes) => bytes <= 12_288), `${memory.slabs}`);
  assert([...memory.places.values()].some((pieces) => pieces.length === 3));
  const e = relativeError(await device.read(run(z)) as Float32Array, expected as Float32Array);
  assert(e <= 2e-6, `${e}`);
  for (const r of [run, whole.run]) r.free();
});

onDevice("cpu", "a training step in pieces of small buffers is the same step", async (full) => {
  const step = async (device: m.Device) => {
    const shape = small();
    const params = uploaded(device, shape, "f32");
    const trainable = shape.trains(params);
    const state = m.evaluate(device, adamInit(trainable.pick(params)));
    const leaf = ({ shape, dtype }: m.Spec) => {
      const size = shape.reduce((a, b) => a * b);
      const rand = uniform(size);
      return m.tensor(
        dtype === "u32"
          ? Uint32Array.from({ length: size }, (_, i) => i % 5 ? i % 19 : 19)
          : Float32Array.from({ length: size }, rand),
        shape,
      );
    };
    const run = trainingStep({ ...shape, device, params }, trainable, 0.01, {});
    const { places, slabs } = run.plan(state, batchOf(shape, leaf), m.tensor([1e-3], [])).memory;
    const { loss, state: next } = run(state, batchOf(shape, leaf), m.tensor([1e-3], []));
    const moments = Object.values(next.m);
    const numbers = await Promise.all([loss, ...moments].map((t) => device.read(t)));
    run.free();
    const pieces = [...places.values()].filter((p) => p.length > 1).length;
    return { numbers, pieces, largest: Math.max(...slabs) };
  };
  const whole = await step(full);
  const narrow = await step(like(full, { maxBuffer: 20_480, maxBinding: 20_480 }));
  assertEquals(whole.pieces, 0);
  assert(narrow.pieces > 5 && narrow.largest <= 20_480, `${narrow.pieces}, ${narrow.largest}`);
  narrow.numbers.forEach((v, i) => {
    const e = relativeError(v as Float32Array, whole.numbers[i] as Float32Array);
    assert(e <= 2e-5, `${i}: ${e}`);
  });
});

const profile: AdapterProfile = {
  cpu: false,
  f16: true,
  workgroupStorage: 16384,
  maxInvocations: 256,
  maxBinding: 4096,
  maxStorageBuffers: 8,
  maxBuffer: 4096,
};

Deno.test("pieces are as few as can be, of one size, and aligned", () => {
  assertEquals(piecesOf(0, 1024), [{ offset: 0, bytes: 0 }]);
  assertEquals(piecesOf(1024, 1024), [{ offset: 0, bytes: 1024 }]);
  assertEquals(piecesOf(1028, 1024), [{ offset: 0, bytes: 768 }, { offset: 768, bytes: 260 }]);
  assertEquals(piecesOf(3000, 1024).map((w) => w.bytes), [1024, 1024, 952]);
  // Rounded up, fewer pieces than were counted may do.
  assertEquals(piecesOf(2308, 768).map((w) => w.bytes), [768, 768, 768, 4]);
  assertEquals(largestPiece({ ...profile, maxBinding: 2 ** 31 - 4 }), 4096);
  assertEquals(
    largestPiece({ ...profile, maxBuffer: 2 ** 32, maxBinding: 2 ** 31 - 4 }),
    2 ** 31 - 256,
  );
});

Deno.test("what cannot be cut is refused by name, size and limit before anything is compiled", () => {
  const x = input({ shape: [40, 64], dtype: "f32" }, 0, "the.weight");
  const plan = (results: Tensor[], changes: Partial<AdapterProfile> = {}) => () =>
    blueprint(results, [], { profile: { ...profile, ...changes } });
  const advice = "Smaller pictures, smaller batches or f16 take less";
  assertThrows(
    plan([m.sum(x)]),
    BindingError,
    `the.weight f32[40,64] takes 10240 bytes, more than the 4096 that this adapter takes for one buffer. ${advice}`,
  );
  assertThrows(
    plan([m.expand(m.sum(x), [2000])], {
      maxBuffer: 10240,
      maxBinding: 4096,
      maxStorageBuffers: 3,
    }),
    BindingError,
    "the.weight f32[40,64] takes 10240 bytes, more than the 4096 that this adapter binds at once; " +
      "in pieces of that size sum would bind 4 buffers, and 3 are the most",
  );
  assertThrows(
    plan([m.sum(input({ shape: [1025], dtype: "f32" }, 0, "0"))]),
    BindingError,
    "argument 0 f32[1025] takes 4100 bytes, more than the 4096 that",
  );
  const small = input({ shape: [8], dtype: "f32" }, 0, "small");
  assertThrows(
    plan([m.mul(m.expand(m.reshape(small, [8, 1]), [8, 200]), 2)]),
    BindingError,
    "f32[8,200] takes 6400 bytes, more than the 4096 that this adapter takes for one buffer",
  );
});

Deno.test("a kernel that writes elements in other ways than by one number is rewritten as well", () => {
  const lowered = (body: string) =>
    inPieces({
      label: "own",
      step: { kind: "map", shape: [2048], outputs: [], exprs: [] },
      buffers: [{ name: "y", memory: { bytes: 8192 }, access: "write", type: "f32" }],
      body,
      grid: [1, 1, 1],
      flops: 0,
    }, profile).body.split("\nfn ")[0];
  const cases: [string, string][] = [
    ["y[i + u32(y[j])] = y[i] == y[2u];", "y_put(i + u32(y_at(j)), y_at(i) == y_at(2u));"],
    [
      "if (y[i] <= 1.0) { y[i] += g(y[(i)]); }",
      "if (y_at(i) <= 1.0) { { var element_ = y_at(i); element_ += g(y_at((i))); y_put(i, f32(element_)); } }",
    ],
    [
      "y[i]++; by[i] = 2;",
      "{ var element_ = y_at(i); element_++; y_put(i, f32(element_)); } by[i] = 2;",
    ],
    ["y[0].x = 1;", "{ var element_ = y_at(0); element_.x = 1; y_put(0, f32(element_)); }"],
    ["// of y[i\ny[1] = 2; /* y[\n */ z = y[3];", "\ny_put(1, 2); \n z = y_at(3);"],
  ];
  for (const [body, expected] of cases) {
    assertEquals(lowered(body).replace(/ +/g, " "), expected);
  }
  assertThrows(() => lowered("y[(i] = 2;"), Error, "not closed");
});
