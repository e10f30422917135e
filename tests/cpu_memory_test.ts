// Memory of the CPU device: given out, taken back, moved to addresses of 64 bits, and refused. `MOONGATE_LARGE=1` also fills
// more than 4 GiB, which takes 14 GB of the machine's for a while.
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { compile, evaluate } from "../compile/compile.ts";
import { gpu } from "../device/adapter.ts";
import { CpuDevice } from "../device/cpu/device.ts";
import { LinearMemory } from "../device/cpu/memory.ts";
import type { Device } from "../device/device.ts";
import { DeviceError, OutOfMemoryError } from "../device/errors.ts";
import { BufferUsage } from "../device/usage.ts";
import { exp, mul } from "../ops/elementwise/arithmetic.ts";
import { expand, sum } from "../ops/broadcast.ts";
import { tensor } from "../ops/leaf.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { declared, each } from "./support/cpu.ts";

const usage = BufferUsage.STORAGE | BufferUsage.COPY_DST | BufferUsage.COPY_SRC;
const GiB = 2 ** 30;

Deno.test("memory is given out again, whole and as zeros, and moves to addresses of 64 bits", () => {
  const memory = new LinearMemory(false, 512);
  const places = [1, 300, 5000, 256].map((n) => memory.allocate(n)!);
  assertEquals(new Set(places.map((p) => p % 256)), new Set([0]));
  memory.bytes.fill(7, places[0], places[3] + 256);
  for (const [i, n] of [[1, 300], [0, 1], [2, 5000]]) memory.free(places[i], n);
  // The three lie beside each other: joined, they have room for one as large.
  const again = memory.allocate(256 + 512 + 5120)!;
  assertEquals(again, places[0]);
  assert(memory.bytes.subarray(again, again + 5888).every((b) => b === 0));
  assertEquals(memory.bytes[places[3]], 7);
  assertEquals(memory.kind.wide, false);
  const large = memory.allocate(40 << 20)!;
  assertEquals(memory.kind.wide, true);
  assertEquals(memory.bytes[places[3]], 7);
  memory.bytes[large + (40 << 20) - 1] = 1;
  assertEquals(memory.allocate(2 ** 40), undefined);
});

/** What a kernel makes of two buffers: `y` is theirs added up, with an index of `x1` from its end on. */
const MIRRORED = (n: number, last: number) =>
  each(
    n,
    declared(["f32", "f32"], "f32"),
    `y[i] = x0[i] + x1[${last}u - i] + x1[i + ${last + 1}u];`,
  );

/**
 * Fills the ends of buffers of these sizes, has a kernel read the first from its end on and the second backwards, and copies
 * the end of one to the beginning of another.
 */
async function acrossMemory(device: CpuDevice, [first, second]: readonly [number, number]) {
  const n = 1000;
  const buffer = (label: string, size: number) => device.createBuffer({ label, size, usage });
  const [a, b] = [buffer("a", first), buffer("b", second)];
  const wide = device.memory.kind.wide;
  const y = buffer("y", 4 * n);
  const numbers = (f: (i: number) => number) => Float32Array.from({ length: n }, (_, i) => f(i));
  // Bindings begin at multiples of 256.
  const from = first - 4096;
  device.queue.writeBuffer(a, from, numbers((i) => i));
  device.queue.writeBuffer(b, second - 4 * n, numbers((i) => 0.5 * i));
  const module = device.createShaderModule({
    label: "mirrored",
    code: MIRRORED(n, second / 4 - 1),
  });
  const pipeline = device.createComputePipeline({ layout: "auto", compute: { module } });
  const group = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [{ buffer: a, offset: from }, { buffer: b }, { buffer: y }].map((
      resource,
      binding,
    ) => ({
      binding,
      resource,
    })),
  });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(Math.ceil(n / 64));
  pass.end();
  encoder.copyBufferToBuffer(b, second - 4 * n, a, 0, 4 * n);
  device.queue.submit([encoder.finish()]);
  const read = async (buffer: typeof y) => {
    await buffer.mapAsync(1);
    return new Float32Array(buffer.getMappedRange(0, 4 * n));
  };
  assertEquals(await read(y), numbers((i) => i + 0.5 * (n - 1 - i)));
  assertEquals(await read(a), numbers((i) => 0.5 * i));
  for (const x of [a, b, y]) x.destroy();
  return wide;
}

Deno.test("kernels and copies go anywhere in memory, with addresses of 32 bits and of 64", async () => {
  for (const threads of [1, 2]) {
    for (const [narrow, wide] of [[512, false], [100, true]] as const) {
      const device = await CpuDevice.open({ threads, narrow });
      assertEquals(await acrossMemory(device, [1 << 20, 3 << 20]), wide);
      device.destroy();
    }
  }
});

Deno.test({
  name: "kernels and copies go beyond 4 GiB",
  ignore: Deno.env.get("MOONGATE_LARGE") !== "1",
  async fn() {
    using device = await gpu({ backend: "cpu", threads: 2 });
    const cpu = device.gpu as unknown as CpuDevice;
    const parts = Array.from({ length: 5 }, (_, i) => {
      assertEquals(cpu.memory.kind.wide, false, "the last one moves it");
      return evaluate(device, exp(mul(expand(tensor([i], [1]), [2 ** 28]), 0.5)));
    });
    for (const [i, part] of parts.entries()) {
      const mean = await device.item(evaluate(device, mul(sum(part), 2 ** -28)));
      assert(Math.abs(mean / Math.exp(i / 2) - 1) < 1e-5, `${i}: ${mean}`);
    }
    assertEquals(await acrossMemory(cpu, [GiB, 2 * GiB]), true);
  },
});

/** That a device computes. */
const computes = async (device: Device) =>
  assertEquals(await device.item(evaluate(device, sum(tensor([1, 2])))), 3);

Deno.test("a tensor that does not fit is refused by name, and the device goes on", async () => {
  using device = await gpu({ backend: "cpu", threads: 1 });
  const made = ["first", "second"].map((n) => device.buffers.allocate(15 * GiB, n));
  await assertRejects(() => device.settled(), OutOfMemoryError, "second");
  await computes(device);
  for (const storage of made) device.buffers.free(storage);
  assert(device.buffers.allocated < 2 ** 10, "all is given back");
  assertThrows(
    () => device.buffers.create(17 * GiB, "all of it"),
    OutOfMemoryError,
    "all of it needs 18253611008 bytes in one buffer, and the largest here has",
  );
});

Deno.test("a program that does not fit is refused before it runs, and the device goes on", async () => {
  using device = await gpu({ backend: "cpu", threads: 1 });
  const step = compile(
    device,
    (x: Tensor) => Array.from({ length: 12 }, (_, i) => exp(mul(expand(x, [2 ** 29]), i + 0.5))),
  );
  const began = performance.now();
  const results = step(tensor([1]));
  await assertRejects(() => device.settled(), OutOfMemoryError, "slab");
  await assertRejects(() => device.read(results[0]), DeviceError, "no value");
  assert(performance.now() - began < 2000, "it was computed all the same");
  step.free();
  await computes(device);
  assert(device.buffers.allocated < 2 ** 10, "all is given back");
});
