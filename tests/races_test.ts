// Kernels with workgroup memory do not depend on which invocation is which: with the numbers of invocations permuted they give
// the same bits, and without one of their barriers they do not. None reads memory that its other invocations write.
import { assert, assertEquals, assertThrows } from "@std/assert";
import { GPU } from "../bench/memory.ts";
import { compile } from "../compile/compile.ts";
import { wgslOf } from "../compile/kernels.ts";
import { blueprint } from "../compile/trace.ts";
import { Device } from "../device/device.ts";
import { attention } from "../ops/attention.ts";
import { conv2d } from "../ops/conv.ts";
import { add } from "../ops/elementwise/arithmetic.ts";
import { input } from "../ops/leaf.ts";
import { linear, matmul } from "../ops/matmul.ts";
import { groupNorm, layerNorm } from "../ops/norm/norm.ts";
import { logSumExp, softmax } from "../ops/softmax.ts";
import { vjp } from "../autograd/grad.ts";
import { type Shape, sizeOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { testDevice, uniform } from "./support/check.ts";
import { onDevice } from "./support/devices.ts";

type Case = readonly [name: string, shapes: readonly Shape[], f: (...x: Tensor[]) => Tensor[]];

/** The value of a function and its gradients; the last argument is the cotangent. */
const withGradients = (f: (...x: Tensor[]) => Tensor) => (...xs: Tensor[]): Tensor[] => {
  const given = xs.slice(0, -1), y = f(...given);
  return [y, ...vjp([[y, xs.at(-1)!]], given).map((t) => t!)];
};

const heads = (d: number, t: number, s: number, causal = false): Case => [
  `attention, d = ${d}, ${t} × ${s}${causal ? ", causal" : ""}`,
  [[1, t, 2, d], [1, s, 2, d], [1, s, 2, d], [1, t, 2, d]],
  withGradients((q, k, v) => attention(q, k, v, { causal })),
];

const convolution = (x: Shape, w: Shape, y: Shape, stride = 1): Case => [
  `convolution of [${x}] with [${w}], stride ${stride}`,
  [x, w, y],
  withGradients((x, w) => conv2d(x, w, { padding: w.shape[0] >> 1, stride })),
];

const CASES: readonly Case[] = [
  ["matmul, whole tiles", [[256, 64], [64, 128]], (a, b) => [matmul(a, b)]],
  ["matmul, ragged", [[130, 52], [70, 52]], (a, b) => [matmul(a, b, { transposeB: true })]],
  ["matmul, split", [[1024, 128], [1024, 64]], (a, b) => [matmul(a, b, { transposeA: true })]],
  ["matmul, odd", [[33, 9], [9, 17]], (a, b) => [matmul(a, b)]],
  ["linear", [[300, 96], [160, 96], [160]], (x, w, b) => [linear(x, w, b)]],
  convolution([2, 12, 12, 32], [3, 3, 32, 48], [2, 12, 12, 48]),
  convolution([1, 13, 12, 16], [3, 3, 16, 24], [1, 7, 6, 24], 2),
  convolution([1, 16, 16, 4], [3, 3, 4, 64], [1, 16, 16, 64]),
  heads(40, 128, 77),
  heads(8, 33, 65),
  heads(64, 77, 77, true),
  heads(160, 48, 77),
  [
    "layer norm",
    [[37, 320], [320], [320], [37, 320]],
    withGradients((x, g, b) => layerNorm(x, g, b)),
  ],
  [
    "layer norm, long rows",
    [[5, 5000], [5000], [5000], [5, 5000]],
    withGradients((x, g, b) => layerNorm(x, g, b)),
  ],
  ["softmax", [[50, 77], [50, 77]], withGradients((x) => softmax(x))],
  ["log Σ exp", [[50, 333]], (x) => [logSumExp(x)]],
  [
    "group norm",
    [[2, 1, 1024, 96], [96], [96], [2, 1, 1024, 96]],
    withGradients((x, g, b) => groupNorm(x, g, b, { groups: 32 })),
  ],
  [
    "group norm, long groups",
    [[1, 1, 533, 64], [64], [64], [1, 1, 533, 64]],
    withGradients((x, g, b) => groupNorm(x, g, b, { groups: 2 })),
  ],
];

/** How the invocations of a workgroup of `n` are numbered: (i · factor + first) mod n, and from the last one where `back` is 1. */
type Order = readonly [factor: number, first: number, back: number];
const AS_THEY_ARE: Order = [1, 0, 0];
// 37 is prime to every size of a workgroup that there is.
const OTHERS: readonly Order[] = [[1, 0, 1], [37, 11, 0]];
/** Behind the bindings that kernels have themselves. */
const BINDING = 99;

/** The invocations of a kernel's workgroups have the numbers that the device's order says. */
function renumbered(code: string): string {
  const size = Number(/@workgroup_size\((\d+)\)/.exec(code)![1]);
  const argument = /@builtin\(local_invocation_index\) (\w+): u32\) \{/.exec(code);
  if (!argument) {
    assert(!code.includes("var<workgroup>"), "a kernel that does not ask for its number");
    return code;
  }
  const [text, name] = argument;
  return `@group(0) @binding(${BINDING}) var<uniform> order_: vec4<u32>;\n` + code.replace(
    text,
    `@builtin(local_invocation_index) real_: u32) {
  let turned_ = (real_ * order_.x + order_.y) % ${size}u;
  let ${name} = select(turned_, ${size - 1}u - turned_, order_.z == 1u);`,
  );
}

/**
 * A device whose kernels are rewritten before they are compiled. The order of invocations is data, so that a kernel is
 * compiled once for all orders, and nothing but the order is another.
 */
async function rewriting(
  change: (code: string) => string = (code) => code,
): Promise<{ device: Device; setOrder: (order: Order) => void }> {
  const { gpu, profile, facts } = await testDevice();
  const order = gpu.createBuffer({ size: 16, usage: 0x48 }); // uniform, and copied to
  const own = {
    createShaderModule: (d: GPUShaderModuleDescriptor) =>
      gpu.createShaderModule({ ...d, code: renumbered(change(d.code)) }),
    createBindGroupLayout: (d: GPUBindGroupLayoutDescriptor) => {
      const bound = { binding: BINDING, visibility: 4, buffer: { type: "uniform" as const } };
      return gpu.createBindGroupLayout({ ...d, entries: [...d.entries, bound] });
    },
    createBindGroup: (d: GPUBindGroupDescriptor) => {
      const bound = { binding: BINDING, resource: { buffer: order } };
      return gpu.createBindGroup({ ...d, entries: [...d.entries, bound] });
    },
  };
  const other = new Proxy(gpu, {
    get(target, name) {
      if (Object.hasOwn(own, name)) return own[name as keyof typeof own];
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  return {
    device: new Device(other, profile, facts),
    setOrder: (to) => gpu.queue.writeBuffer(order, 0, Uint32Array.of(...to, 0)),
  };
}

/** The bits of all that a case computes, for each of these orders. */
async function bitsOf(
  { device, setOrder }: Awaited<ReturnType<typeof rewriting>>,
  [, shapes, f]: Case,
  orders: readonly Order[],
): Promise<Uint32Array[][]> {
  const args = shapes.map((shape, i) =>
    device.upload(Float32Array.from({ length: sizeOf(shape) }, uniform(i + 1)), shape)
  );
  const step = compile(device, (...xs: Tensor[]) => f(...xs));
  const all: Uint32Array[][] = [];
  for (const order of orders) {
    setOrder(order);
    const bits: Uint32Array[] = [];
    for (const t of step(...args)) {
      const { buffer, byteOffset, length } = await device.read(t);
      bits.push(new Uint32Array(buffer, byteOffset, length));
    }
    all.push(bits);
  }
  step.free();
  device.free(...args);
  return all;
}

const seen = new Set<string>();
let opened: ReturnType<typeof rewriting> | undefined;
/** The device with nothing but the order changed, and all kernels with workgroup memory that it has met. */
const plainDevice = () =>
  opened ??= rewriting((code) => {
    if (code.includes("var<workgroup>")) seen.add(code);
    return code;
  });

onDevice(
  "webgpu",
  "with their invocations permuted, kernels with workgroup memory give the same bits",
  async () => {
    const plain = await plainDevice();
    for (const one of CASES) {
      const [bits, ...others] = await bitsOf(plain, one, [AS_THEY_ARE, ...OTHERS]);
      for (const other of others) assertEquals(other, bits, one[0]);
    }
    assert(seen.size > 30, `${seen.size} kernels have workgroup memory`);
  },
);

onDevice("webgpu", "a barrier that is missing is noticed that way", async () => {
  const plain = await plainDevice();
  const without = await rewriting((code) => {
    const parts = code.split("workgroupBarrier();");
    const at = parts.length >> 1;
    return parts.length === 1 ? code : parts.slice(0, at).join("workgroupBarrier();") +
      parts.slice(at).join("workgroupBarrier();");
  });
  const names = ["matmul, whole tiles", "attention, d = 8, 33 × 65", "softmax", "layer norm"];
  const missed: string[] = [];
  for (const one of CASES.filter(([name]) => names.includes(name))) {
    const [bits] = await bitsOf(plain, one, [AS_THEY_ARE]);
    const found = await bitsOf(without, one, OTHERS);
    const same = JSON.stringify(bits);
    if (found.every((other) => JSON.stringify(other) === same)) missed.push(one[0]);
  }
  assertEquals(missed, []);
});

Deno.test("a kernel that reads what it writes under another name is refused, but for elementwise ones", () => {
  const [a, b] = [0, 1].map((i) => input({ shape: [8, 8], dtype: "f32" }, i));
  const written = (y: Tensor) =>
    blueprint([y], [], { profile: GPU }).dispatches.map((d) => wgslOf(d, () => true, GPU));
  assertThrows(() => written(matmul(a, b)), Error, "are one memory, read and written");
  assertEquals(written(add(a, b))[0].bindings.length, 1);
});
