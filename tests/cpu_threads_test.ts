// Threads of the CPU device that fail, die or take long, and kernels that do not end: said by name, at once, and only once;
// threads that are needed again at once.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { compile, evaluate } from "../compile/compile.ts";
import { gpu } from "../device/adapter.ts";
import { CpuDevice } from "../device/cpu/device.ts";
import { DeviceError } from "../device/errors.ts";
import { BufferUsage } from "../device/usage.ts";
import { add } from "../ops/elementwise/arithmetic.ts";
import { tensor } from "../ops/leaf.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { declared, dynamic, each, runKernel, script } from "./support/cpu.ts";

Deno.test("a kernel that never ends is a lost device, which says which kernel it was", async () => {
  const code = declared([], "u32") +
    each(64, "", "var k = 1u; while k != 0u { k = y[i] + 1u; } y[i] = k;");
  for (const threads of [1, 2]) {
    const device = await CpuDevice.open({ threads });
    const label = "endless sum";
    await runKernel(device, code, [new Uint32Array(64)], [64], label).catch(() => {});
    const { reason, message } = await device.lost;
    assertEquals(reason, "unknown");
    assertEquals(message, `kernel "${label}" failed: a loop in it does not end`);
    device.destroy();
  }
});

/** Two workgroups, of which the second takes long: each invocation leaves a number that it came to by so many steps. */
const unequal = (steps: number): string =>
  `${declared([], "u32")}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  var k = lid;
  for (var i = 0u; i < ${steps}u; i++) {
    if (wid.x == 0u && i == 500000u) { break; }
    k = k * 1664525u + 1013904223u;
  }
  y[wid.x * 256u + lid] = k;
}`;

/** What {@linkcode unequal} leaves. */
function expected(steps: number): number[] {
  return [500_000, steps].flatMap((turns) => {
    // k → a·k + c, so often: by squaring.
    let [a, c] = [1n, 0n];
    let [b, d] = [1664525n, 1013904223n];
    for (let n = turns; n > 0; n = Math.floor(n / 2)) {
      if (n % 2) [a, c] = [a * b & 0xffffffffn, (c * b + d) & 0xffffffffn];
      [b, d] = [b * b & 0xffffffffn, (d * b + d) & 0xffffffffn];
    }
    return Array.from({ length: 256 }, (_, lid) => Number((a * BigInt(lid) + c) & 0xffffffffn));
  });
}

/** Submits {@linkcode unequal} on a buffer. */
function submit(device: CpuDevice, steps: number) {
  const usage = BufferUsage.STORAGE | BufferUsage.COPY_SRC | BufferUsage.COPY_DST;
  const buffer = device.createBuffer({ label: "y", size: 2048, usage });
  const module = device.createShaderModule({ label: "unequal", code: unequal(steps) });
  const pipeline = device.createComputePipeline({ layout: "auto", compute: { module } });
  const entries = [{ binding: 0, resource: { buffer } }];
  const layout = pipeline.getBindGroupLayout(0);
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, device.createBindGroup({ layout, entries }));
  pass.dispatchWorkgroups(2);
  pass.end();
  device.queue.submit([encoder.finish()]);
  return buffer;
}

Deno.test("a thread that takes long is waited for, while this one does other things", async () => {
  const usage = BufferUsage.STORAGE | BufferUsage.COPY_SRC | BufferUsage.COPY_DST;
  let turns = 0;
  // On a busy machine the other thread may come too late to take the long workgroup.
  for (let attempt = 0; turns === 0; attempt++) {
    assert(attempt < 20, "every submit was over when it returned: the kernel is too short");
    const device = await CpuDevice.open({ threads: 2, narrow: 160 });
    const buffer = submit(device, 4_000_000);
    const timer = setInterval(() => turns++, 5);
    // Memory that moves meanwhile takes what the kernel has yet to write along.
    device.createBuffer({ label: "large", size: 16 << 20, usage });
    await buffer.mapAsync(1);
    clearInterval(timer);
    assertEquals([...new Uint32Array(buffer.getMappedRange())], expected(4_000_000));
    assertEquals(device.memory.kind.wide, true);
    device.destroy();
  }
});

Deno.test("a thread that dies in the middle of its work is noticed at once, and the device is lost", async () => {
  const device = await CpuDevice.open({ threads: 2 });
  const buffer = submit(device, 2 ** 24);
  const mapped = buffer.mapAsync(1);
  const began = performance.now();
  device.threads.kill();
  const alive = setTimeout(() => {}, 20_000);
  const { reason, message } = await device.lost;
  clearTimeout(alive);
  assertEquals([reason, message], ["unknown", "a thread of the CPU device died: it exited with 1"]);
  await mapped;
  assert(performance.now() - began < 3000, `noticed after ${performance.now() - began} ms`);
  device.destroy();
});

Deno.test("a thread that dies or fails between submits is a lost device that says so", async () => {
  for (const [how, what] of [["end", "exited"], ["fail", "died: TypeError"]] as const) {
    using device = await gpu({ backend: "cpu", threads: 2 });
    const x = tensor([1]);
    assertEquals(await device.item(evaluate(device, x)), 1);
    const { threads } = device.gpu as unknown as CpuDevice;
    threads.kill(how);
    // Threads keep no script alive.
    const alive = setTimeout(() => {}, 20_000);
    await device.gpu.lost;
    clearTimeout(alive);
    const error = await assertRejects(() => device.settled(), DeviceError, "thread");
    assert(error.message.includes(what), error.message);
  }
});

Deno.test("where waiting is forbidden, a worker that fails is a lost device, and nothing waits for ever", async () => {
  const said = await script(`Atomics.wait = () => { throw new TypeError("not here"); };
Object.defineProperty(globalThis, "process", { value: undefined });
delete globalThis.Deno;
${
    dynamic(`import { gpu } from "ROOT/device/adapter.ts";
import { evaluate } from "ROOT/compile/compile.ts";
import { exp } from "ROOT/ops/elementwise/arithmetic.ts";
import { tensor } from "ROOT/ops/leaf.ts";`)
  }
const device = await gpu({ backend: "cpu", threads: 2 });
device.gpu.threads.kill("fail");
const y = evaluate(device, exp(tensor([0, 0])));
console.log(await device.read(y).then(String, (e) => e.message));
device.destroy();`);
  assert(said.startsWith("the GPU was lost: a thread of the CPU device died: "), said);
});

Deno.test("threads take submits that follow at once without a message about each, new kernels among them", async () => {
  const { Worker } = await import("node:worker_threads");
  const send = Worker.prototype.postMessage;
  let messages = 0;
  Worker.prototype.postMessage = function (...message: Parameters<typeof send>) {
    messages++;
    return send.apply(this, message);
  };
  try {
    using device = await gpu({ backend: "cpu", threads: 2 });
    let x = evaluate(device, tensor(new Float32Array(1 << 16)));
    const steps = [1, 2, 3].map((n) => compile(device, (x: Tensor) => add(x, n), { donate: [0] }));
    let [submits, wanted] = [0, 0];
    const since = performance.now();
    messages = 0;
    do {
      for (let i = 0; i < 300; i++) {
        const n = Math.min(2, Math.floor(submits / 100));
        x = steps[n](x);
        submits++;
        wanted += n + 1;
      }
    } while (messages > submits / 2 && performance.now() - since < 20_000);
    assert(messages <= submits / 2, `${messages} messages for ${submits} submits`);
    const found = await device.read(x);
    assert(found.every((v) => v === wanted), `${found.find((v) => v !== wanted)}, not ${wanted}`);
  } finally {
    Worker.prototype.postMessage = send;
  }
});
