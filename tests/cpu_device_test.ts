// The CPU device as a device: choosing it, memory, errors, loss, threads, and what it needs of its surroundings.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { evaluate } from "../compile/compile.ts";
import { gpu } from "../device/adapter.ts";
import { CpuDevice } from "../device/cpu/device.ts";
import { AdapterError } from "../device/errors.ts";
import { BufferUsage } from "../device/usage.ts";
import { exp, mul } from "../ops/elementwise/arithmetic.ts";
import { attention } from "../ops/attention.ts";
import { sum } from "../ops/broadcast.ts";
import { conv2d } from "../ops/conv.ts";
import { embedding } from "../ops/embedding/embedding.ts";
import { tensor } from "../ops/leaf.ts";
import { matmul } from "../ops/matmul.ts";
import { groupNorm } from "../ops/norm/norm.ts";
import { randomNormal } from "../ops/random.ts";
import { softmax } from "../ops/softmax.ts";
import { vjp } from "../autograd/grad.ts";
import type { Device } from "../device/device.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { uniform } from "./support/check.ts";
import { cpuDevice, declared, dynamic, each, refusal, runKernel, script } from "./support/cpu.ts";

const usage = BufferUsage.STORAGE | BufferUsage.COPY_DST | BufferUsage.COPY_SRC;
const values = (seed: number, ...shape: number[]): Tensor => {
  const rand = uniform(seed);
  return tensor(Array.from({ length: shape.reduce((a, b) => a * b, 1) }, rand), shape);
};

Deno.test("the CPU is chosen by name, says so, and computes", async () => {
  using device = await gpu({ backend: "cpu", threads: 2 });
  assertEquals(device.facts.description, "CPU (WebAssembly, 2 threads)");
  assertEquals(device.facts.vendor, "moongate");
  assertEquals(await device.item(evaluate(device, sum(mul(tensor([1, 2, 3]), 2)))), 12);
  await assertRejects(() => gpu({ backend: "cpu", hardware: true }), AdapterError, "hardware");
  await assertRejects(() => gpu({ backend: "tpu" as "cpu" }), RangeError, 'no device "tpu"');
  for (const threads of [0, -1, 1.5, NaN]) {
    await assertRejects(() => gpu({ backend: "cpu", threads }), RangeError, "threads");
  }
});

/** A program of every family of kernels, with gradients. */
async function program(device: Device): Promise<Uint8Array> {
  const image = values(1, 2, 13, 11, 8);
  const kernel = values(2, 3, 3, 8, 12);
  const q = values(3, 2, 37, 2, 8);
  const rows = values(4, 33, 77);
  const table = values(5, 9, 12);
  const ids = tensor([0, 3, 3, 8, 1, 3], [6], "u32");
  const y = groupNorm(conv2d(image, kernel, { padding: 1 }), values(6, 12), values(7, 12), {
    groups: 3,
  });
  const loss = [
    sum(exp(softmax(rows))),
    sum(mul(y, y)),
    sum(attention(q, q, q, { causal: true })),
    sum(matmul(rows, rows, { transposeB: true })),
    sum(mul(embedding(table, ids), values(8, 6, 12))),
  ];
  const grads = vjp(loss.map((l) => [l, tensor([1], [])]), [image, kernel, q, rows, table]);
  const results = [
    ...loss,
    ...grads as Tensor[],
    y,
    randomNormal(tensor([1, 2], [2], "u32"), [999]),
  ];
  const parts: number[] = [];
  for (const r of evaluate(device, results)) {
    const data = await device.read(r);
    parts.push(...new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return Uint8Array.from(parts);
}

Deno.test("any number of threads gives the same bits, and so does a second run", async () => {
  const runs: Uint8Array[] = [];
  // More than eight begin with a share of a job together.
  for (const threads of [1, 2, 3, 3, 11]) {
    using device = await gpu({ backend: "cpu", threads });
    runs.push(await program(device), await program(device));
  }
  for (const run of runs) assertEquals(run, runs[0]);
});

Deno.test("addresses of 64 bits give the same bits as those of 32", async () => {
  for (const threads of [1, 2]) {
    using device = await gpu({ backend: "cpu", threads, narrow: 160 });
    const before = await program(device);
    const filler = device.upload(new Float32Array(4 << 20), [4 << 20], "f32");
    assertEquals(await program(device), before);
    device.free(filler);
  }
});

Deno.test("a second device has the kernels of the first at once, and those used longest ago are forgotten", async () => {
  const real = WebAssembly.Module;
  let compiled = 0;
  WebAssembly.Module = class extends real {
    constructor(bytes: BufferSource) {
      super(bytes);
      compiled++;
    }
  };
  const plus = (n: number) => each(8, declared(["f32"], "f32"), `y[i] = x0[i] + ${n}.0;`);
  const on = async (threads: number, n = 7171, length = 8) => {
    const before = compiled;
    const device = await CpuDevice.open({ threads });
    const buffers = [new Float32Array(length).fill(1), new Float32Array(8)];
    const [, y] = await runKernel(device, plus(n), buffers);
    device.destroy();
    assertEquals([...y], [...buffers[0], ...new Array(8 - length).fill(0)].map((v) => v + n));
    return compiled - before;
  };
  try {
    assertEquals([await on(1), await on(1)], [1, 0]);
    // Another text, other lengths (the kernel has to look whether it may read), and memory that threads share.
    assertEquals([await on(1, 7172), await on(1, 7171, 4), await on(2)], [1, 1, 1]);
    assertEquals([await on(2), await on(1, 7171, 4)], [0, 0]);
    const device = await cpuDevice();
    for (let n = 1; n <= 512; n++) device.createShaderModule({ code: plus(n) });
    assertEquals([await on(1), await on(1)], [1, 0]);
  } finally {
    WebAssembly.Module = real;
  }
});

const COPY = each(8, declared(["f32"], "f32"), "y[i] = x0[i];");

/** Dispatches {@linkcode COPY} with these ranges of two buffers of 1024 bytes; what is refused. */
function bound(device: CpuDevice, ranges: readonly [offset: number, size: number][], one = false) {
  const buffers = [0, 1].map((i) => device.createBuffer({ label: `b${i}`, size: 1024, usage }));
  return refusal(device, () => {
    const module = device.createShaderModule({ code: COPY });
    const pipeline = device.createComputePipeline({
      label: "copier",
      layout: "auto",
      compute: { module },
    });
    const group = device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: ranges.map(([offset, size], binding) => ({
        binding,
        resource: { buffer: buffers[one ? 0 : binding], offset, size },
      })),
    });
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(1);
    pass.end();
    device.queue.submit([encoder.finish()]);
  });
}

Deno.test("bindings that cannot be are refused, with the kernel's name where there is one", async () => {
  const device = await cpuDevice();
  assertEquals(await bound(device, [[0, 1024], [256, 32]]), undefined);
  const refused = async (ranges: [number, number][], what: string, one = false) => {
    const message = await bound(device, ranges, one);
    assert(message?.includes(what), message);
  };
  await refused([[0, 2], [0, 1024]], 'kernel "copier": the binding of x0 is too small, 2 bytes');
  await refused([[4, 16], [0, 1024]], "offset 4 is no multiple of 256");
  await refused([[768, 512], [0, 1024]], "bytes 768 … 1280 of 1024");
  await refused([[0, 0], [0, 1024]], "bytes 0 … 0");
  await refused([[0, 16]], "binding 1 is missing");
  await refused([[0, 16], [256, 16]], "bound for reading and for writing", true);
});

Deno.test("destroyed buffers, copies past the end and commands sent twice are refused", async () => {
  const device = await cpuDevice();
  const [a, b] = ["a", "b"].map((label) => device.createBuffer({ label, size: 64, usage }));
  const copy = (from: typeof a, to: typeof a, bytes: number, times = 1) =>
    refusal(device, () => {
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(from, 0, to, 0, bytes);
      const commands = encoder.finish();
      for (let i = 0; i < times; i++) device.queue.submit([commands]);
    });
  assertEquals(await copy(a, b, 64), undefined);
  for (
    const [message, what] of [
      [await copy(a, b, 68), "goes past the end"],
      [await copy(a, b, 3), "whole words"],
      [await copy(a, a, 16), "copied to itself"],
      [await copy(a, b, 16, 2), "submitted twice"],
      [await refusal(device, () => device.queue.writeBuffer(a, 60, new Uint8Array(8))), "64"],
    ]
  ) assert(message?.includes(what!), message);
  b.destroy();
  b.destroy();
  assertEquals(await copy(a, b, 16), 'the buffer "b" is destroyed');
});

Deno.test("an error that no scope asks for is an event", async () => {
  const device = await CpuDevice.open({ threads: 1 });
  const message = new Promise<string>((resolve) =>
    device.addEventListener(
      "uncapturederror",
      (e) => resolve((e as unknown as { error: { message: string } }).error.message),
    )
  );
  device.createShaderModule({ label: "odd", code: "what" });
  assert((await message).includes('kernel "odd"'));
  device.destroy();
});

const SCRIPT = `import { gpu } from "ROOT/device/adapter.ts";
import { evaluate } from "ROOT/compile/compile.ts";
import { matmul } from "ROOT/ops/matmul.ts";
import { tensor } from "ROOT/ops/leaf.ts";
const device = await gpu({ backend: "cpu", threads: 2 });
const a = tensor(Array.from({ length: 4096 }, (_, i) => i % 7), [64, 64]);
let y = evaluate(device, matmul(a, a));
for (let i = 0; i < 3; i++) y = evaluate(device, matmul(y, a));
console.log((await device.read(y)).reduce((n, v) => n + v, 0), device.facts.description);`;

/** What {@linkcode SCRIPT} sums up, in float64. */
function expectedSum(): number {
  let rows = new Array<number>(64).fill(1);
  for (let n = 0; n < 5; n++) {
    rows = rows.map((_, i) => rows.reduce((sum, v, j) => sum + ((i * 64 + j) % 7) * v, 0));
  }
  return rows.reduce((a, b) => a + b, 0);
}

/** Checks the sum and what the script says of its device. */
function checkSaid(said: string, description: string): void {
  const [value, ...rest] = said.split(" ");
  assertEquals(rest.join(" "), description);
  const error = Number(value) / expectedSum() - 1;
  assert(Math.abs(error) < 1e-5, `${value}, off by ${error}`);
}

Deno.test("a script with an open device needs no permission and ends by itself", async () => {
  checkSaid(await script(SCRIPT), "CPU (WebAssembly, 2 threads)");
});

Deno.test("without shared memory one thread computes; where waiting is forbidden, workers do", async () => {
  const alone = await script(`delete globalThis.SharedArrayBuffer;\n${dynamic(SCRIPT)}`);
  checkSaid(alone, "CPU (WebAssembly, 1 thread, no shared memory)");
  const why = `${SCRIPT}\nconsole.log(device.facts.cpu.sharedMemory, device.facts.cpu.fewer);`;
  const unshared = await script(`delete globalThis.SharedArrayBuffer;\n${dynamic(why)}`);
  const fewer = navigator.hardwareConcurrency > 1 ? "memory is not shared here" : "undefined";
  assert(unshared.includes(`\nfalse ${fewer}`), unshared);
  // As in a browser's main thread: no waiting, nothing of Deno or Node, and workers that keep the page alive.
  const browser = await script(`Atomics.wait = () => { throw new TypeError("not here"); };
Object.defineProperty(globalThis, "process", { value: undefined });
delete globalThis.Deno;
${dynamic(SCRIPT)}
device.destroy();`);
  checkSaid(browser, "CPU (WebAssembly, 2 threads)");
});

Deno.test("in a Worker the device has threads of its own, and ends with it", async () => {
  const said = await script(
    `if (typeof WorkerGlobalScope === "undefined") {
  const worker = new Worker(import.meta.url, { type: "module" });
  worker.onmessage = ({ data }) => (console.log(data), worker.terminate());
} else {
  const console = { log: (...said) => postMessage(said.join(" ")) };
  ${dynamic(SCRIPT)}
}`,
    ["--allow-read"],
  );
  checkSaid(said, "CPU (WebAssembly, 2 threads)");
});
