/**
 * 10,000 eager steps whose results are dropped, in a process of their own, so that the collector can be called where memory
 * is looked at: bytes in use on the device and in JavaScript after 2,000 and after 10,000 steps, and the most that the device
 * held between, what it keeps for reuse included.
 */
import { type Backend, gpu } from "../../device/adapter.ts";
import { compile, evaluate } from "../../compile/compile.ts";
import { add, mul } from "../../ops/elementwise/arithmetic.ts";
import { matmul } from "../../ops/matmul.ts";
import type { Tensor } from "../../tensor/tensor.ts";

const [backend, how] = Deno.args as [Backend, "dropped" | "scopes" | "programs"];
const { gc } = globalThis as unknown as { gc(): void };

using device = await gpu({ backend });
const { buffers } = device;
const held = () => buffers.allocated + buffers.spare;

async function collected(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return buffers.allocated + Deno.memoryUsage().heapUsed;
}

const n = 64;
const w = device.upload(new Float32Array(n * n).fill(1 / n), [n, n]);
let x: Tensor = device.upload(new Float32Array(n * n).fill(1), [n, n]);
const [first, last] = how === "programs" ? [500, 1500] : [2000, 10_000];
let start = 0;
let most = 0;
for (let step = 1; step <= last; step++) {
  if (how === "dropped") {
    // Every step another number: it is no part of what is compiled.
    x = evaluate(device, add(mul(matmul(x, w), 0.5), 0.5 + step * 1e-9));
  } else if (how === "scopes") {
    const before = x;
    x = device.scope(() => {
      const y = evaluate(device, matmul(before, w));
      evaluate(device, mul(y, 2));
      return evaluate(device, add(mul(y, 0.5), 0.5));
    });
    device.free(before);
  } else {
    // A program that is compiled and dropped, with memory of its own.
    const y = compile(device, (a: Tensor) => add(matmul(matmul(a, w), w), 1))(x);
    await device.read(y);
  }
  most = Math.max(most, held());
  if (step % 20 === 0) await device.finished();
  if (step === first) start = await collected();
}
const end = await collected();
const [one] = await device.read(x);
console.log(JSON.stringify({ start, end, most, one }));
