/** Attention against its definition: every way of computing it, forward and backward, at drawn sizes. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import type { DType } from "../tensor/dtype.ts";
import { ShapeError, type Spec } from "../tensor/shape.ts";
import { tapeOf, type Tensor } from "../tensor/tensor.ts";
import type { AdapterProfile } from "../tensor/kernel.ts";
import { Device } from "../device/device.ts";
import { vjp } from "../autograd/grad.ts";
import { blueprint } from "../compile/trace.ts";
import { input, tensor } from "../ops/leaf.ts";
import { sum } from "../ops/broadcast.ts";
import { mean } from "../ops/reduce.ts";
import { square } from "../ops/elementwise/arithmetic.ts";
import { attention } from "../ops/attention.ts";
import { chooseTiling } from "../ops/attention/tiles.ts";
import { evaluate } from "../compile/compile.ts";
import { interpret } from "../compile/interpret.ts";
import { checkOp, deviceAs, randomValues, relativeError, uniform } from "./support/check.ts";

function specs(
  B: number,
  T: number,
  S: number,
  H: number,
  D: number,
  types: DType[] = ["f32", "f32", "f32"],
): Spec[] {
  return [T, S, S].map((n, i) => ({ shape: [B, n, H, D], dtype: types[i] }));
}

/** The shared device with kernels chosen as if its adapter were another. */
async function deviceLike(software: boolean, changes: Partial<AdapterProfile>): Promise<Device> {
  const device = await deviceAs(software);
  return new Device(device.gpu, { ...device.profile, ...changes }, device.facts);
}

/** Result and all gradients of attention in one program, against float64. */
async function check(
  device: Device,
  s: readonly Spec[],
  causal: boolean,
  seed = 5,
  tolerance = 2e-5,
): Promise<void> {
  const rand = uniform(seed);
  const draw = (spec: Spec) => tensor(Array.from(randomValues(spec, rand)), spec.shape, spec.dtype);
  const inputs = s.map(draw);
  const y = attention(inputs[0], inputs[1], inputs[2], { causal });
  const wanted = [y, ...vjp([[y, draw(s[0])]], inputs).map((g) => g!)];
  const exact = interpret(wanted);
  const results = evaluate(device, wanted);
  for (const [i, name] of ["result", "dq", "dk", "dv"].entries()) {
    const e = relativeError(Array.from(await device.read(results[i]), Number), exact[i]);
    assert(e <= tolerance, `${name} differs by ${e} at ${s.map((x) => `[${x.shape}]${x.dtype}`)}`);
  }
  device.free(...results);
}

const sizes = fc.record({
  B: fc.integer({ min: 1, max: 2 }),
  T: fc.integer({ min: 1, max: 40 }),
  S: fc.integer({ min: 1, max: 40 }),
  H: fc.integer({ min: 1, max: 3 }),
  D: fc.constantFrom(4, 8, 12, 16, 3, 7),
  causal: fc.boolean(),
  seed: fc.integer({ min: 1, max: 1e6 }),
});

for (const software of [true, false]) {
  const kind = software ? "a software adapter" : "a GPU";
  Deno.test(`attention and its gradients equal their definition at any sizes, with the kernels for ${kind}`, async () => {
    const device = await deviceAs(software);
    await fc.assert(
      fc.asyncProperty(sizes, async ({ B, T, S, H, D, causal, seed }) => {
        await check(device, specs(B, T, S, H, D), causal, seed);
      }),
      { numRuns: software ? 6 : 4, seed: 11 },
    );
  });

  Deno.test(`gradients of attention in the middle of a graph, one by one, with the kernels for ${kind}`, async () => {
    const device = await deviceAs(software);
    await checkOp(specs(2, 9, 6, 2, 8), (q, k, v) => attention(q, k, v), { device });
  });

  Deno.test(`attention takes any mixture of f16 and f32 storage, with the kernels for ${kind}`, async () => {
    const device = await deviceAs(software);
    if (!device.profile.f16) return;
    for (const types of [["f32", "f16", "f16"], ["f16", "f32", "f32"]] as DType[][]) {
      await check(device, specs(1, 9, 6, 2, 8, types), false, 5, 4e-3);
    }
    // Odd widths are streamed, by the same kernels on every adapter.
    if (software) await check(device, specs(1, 5, 6, 2, 3, ["f16", "f16", "f16"]), true, 5, 4e-3);
  });

  Deno.test(`attention of one tensor with itself reads it once, with the kernels for ${kind}`, async () => {
    const device = await deviceAs(software);
    await checkOp([specs(1, 12, 1, 2, 8)[0]], (x) => attention(x, x, x, { causal: true }), {
      device,
    });
  });

  Deno.test(`attention does not overflow at large scores, with the kernels for ${kind}`, async () => {
    const device = await deviceAs(software);
    // Scores reach ±400 (exp overflows at 88); their own rounding, about 400·2⁻²⁴, bounds what can be asked.
    await checkOp(specs(1, 33, 37, 1, 16), (q, k, v) => attention(q, k, v, { scale: 80 }), {
      device,
      tolerance: 2e-4,
      forwardOnly: true,
    });
  });
}

Deno.test("the GPU kernels are right at the widths of Stable Diffusion, with several tiles and several chunks", async () => {
  const { profile, facts } = await deviceAs(false);
  const cases: [kib: number, D: number, T: number, S: number, causal: boolean][] = [
    [48, 40, 70, 45, false],
    [32, 40, 50, 50, true],
    [48, 160, 20, 32, false],
    [48, 512, 18, 33, false],
    [16, 36, 16, 16, false],
  ];
  for (const [kib, D, T, S, causal] of cases) {
    // Mesa's software adapter runs kernels with more workgroup memory than it admits to.
    if (profile.workgroupStorage < kib << 10 && !facts.description.includes("llvmpipe")) continue;
    const device = await deviceLike(false, { workgroupStorage: kib << 10 });
    await check(device, specs(1, T, S, 1, D), causal, D);
  }
});

Deno.test("the streaming kernels are right at wide rows, for which one invocation takes only a part", async () => {
  // The scores, 6400 bytes, may not be written out; the operands, 4480 bytes, may.
  const device = await deviceLike(true, { maxBinding: 5000 });
  await check(device, specs(1, 40, 38, 1, 28), false);
  await check(device, specs(1, 10, 9, 1, 11), true);
});

Deno.test("a tiling never asks for more workgroup memory than the adapter has", () => {
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 160 }),
    fc.integer({ min: 16 << 10, max: 64 << 10 }),
    fc.constantFrom("forward" as const, "queryGrad" as const, "keyValueGrad" as const),
    fc.integer({ min: 1, max: 4096 }),
    (vectors, workgroupStorage, kind, rows) => {
      const profile = { workgroupStorage, maxInvocations: 256 } as AdapterProfile;
      const tiling = chooseTiling(kind, vectors, rows, profile);
      assert(tiling && tiling.bytes <= workgroupStorage);
      assert(tiling.NJ * tiling.TX >= vectors && tiling.chunks * tiling.chunk >= vectors);
    },
  ));
});

const leaves = (...s: Spec[]): Tensor[] => s.map((spec, i) => input(spec, i));

Deno.test("only wanted gradients of attention are computed", () => {
  const [q, k, v] = leaves(...specs(1, 8, 8, 2, 8));
  const loss = sum(square(attention(q, k, v)));
  const seed = input({ shape: [], dtype: "f32" }, 3);
  const gradsOf = (wanted: Tensor[]) =>
    tapeOf(vjp([[loss, seed]], wanted).map((g) => g!))
      .filter((n) => n.op.name === "attentionGrad")
      .flatMap((n) => (n.attrs as { wanted: string[] }).wanted);
  assertEquals(gradsOf([q]), ["q"]);
  assertEquals(gradsOf([k, v]), ["k", "v"]);
  assertEquals(gradsOf([v]), ["v"]);
});

Deno.test("of long sequences no scores are stored on a GPU, and at most one head's at a time on a software adapter", async () => {
  const T = 4096;
  for (const software of [true, false]) {
    const { profile } = await deviceAs(software);
    const [q, k, v] = leaves(...specs(1, T, T, 8, 40));
    const grads = vjp([[mean(square(attention(q, k, v))), input({ shape: [], dtype: "f32" }, 3)]], [
      q,
      k,
      v,
    ]);
    const { memory } = blueprint(grads.map((g) => g!), [], { profile });
    const total = memory.slabs.reduce((a, b) => a + b, 0);
    // Ten activations, and in the backward pass weights and scores: 64 MB for each head that is there at a time.
    const scores = software ? 2 * 4 * T * T : 0;
    assert(total < 10 * 4 * T * 8 * 40 + scores, `${total} bytes are planned`);
  }
});

Deno.test("attention says what is wrong with shapes", () => {
  const [q, k, v] = leaves(...specs(1, 8, 6, 2, 8));
  const [other, odd] = leaves({ shape: [1, 6, 2, 4], dtype: "f32" }, {
    shape: [1, 8, 3, 8],
    dtype: "f32",
  });
  assertThrows(() => attention(q, k, q), ShapeError, "k and v must have one shape");
  assertThrows(() => attention(other, k, v), ShapeError, "agree in batch and width");
  assertThrows(() => attention(odd, k, v), ShapeError, "q's heads be a multiple of k's");
  assertThrows(() => attention(sum(q), k, v), ShapeError, "expected q [B,T,H,D]");
});

Deno.test("heads whose scores do not fit together are attended to a few at a time, with the same result", async () => {
  const s = specs(2, 40, 45, 3, 4);
  // One head's scores take 7680 bytes, all six 46080.
  for (const [maxBinding, parts] of [[1 << 20, 1], [16_000, 3], [8_000, 6]]) {
    const device = await deviceLike(true, { maxBinding });
    if (parts > 1) await check(device, s, parts === 3);
    const [q, k, v] = s.map((spec, i) => input(spec, i));
    const { dispatches } = blueprint([attention(q, k, v)], [], { profile: device.profile });
    assertEquals(dispatches.filter((d) => d.label === "attention softmax").length, parts);
  }
});
