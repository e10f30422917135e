// Mutated kernels on the CPU device: each gives an error or runs; none crashes, hangs, or writes outside its buffers.
// `MOONGATE_FUZZ` says how many are tried, `MOONGATE_FUZZ_SEED` where to begin.
import { assert, assertEquals } from "@std/assert";
import { wgslOf } from "../compile/kernels.ts";
import { bytesOf } from "../compile/pieces.ts";
import { blueprint } from "../compile/trace.ts";
import { CpuDevice } from "../device/cpu/device.ts";
import { BufferUsage } from "../device/usage.ts";
import { gpu } from "../device/adapter.ts";
import { gelu } from "../ops/elementwise/activation.ts";
import { attention } from "../ops/attention.ts";
import { sum } from "../ops/broadcast.ts";
import { conv2d } from "../ops/conv.ts";
import { embedding } from "../ops/embedding/embedding.ts";
import { input } from "../ops/leaf.ts";
import { matmul } from "../ops/matmul.ts";
import { pad } from "../ops/movement.ts";
import { groupNorm, layerNorm } from "../ops/norm/norm.ts";
import { randomNormal } from "../ops/random.ts";
import { softmax } from "../ops/softmax.ts";
import { vjp } from "../autograd/grad.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { DType } from "../tensor/dtype.ts";
import { refusal } from "./support/cpu.ts";
import { Draw, words } from "./support/mutate.ts";

const ALL = Number(Deno.env.get("MOONGATE_FUZZ") ?? 300);
const SEED = Number(Deno.env.get("MOONGATE_FUZZ_SEED") ?? 1);

interface Sample {
  readonly code: string;
  readonly bytes: readonly number[];
  readonly grid: readonly [number, number, number];
}

/** The kernels of some ops, and of their gradients. */
async function samples(): Promise<Sample[]> {
  const { profile } = await gpu({ backend: "cpu", threads: 1 });
  const t = (i: number, shape: number[], dtype: DType = "f32") => input({ shape, dtype }, i);
  const [x, w, v, g] = [t(0, [5, 12]), t(1, [12, 8]), t(2, [12]), t(3, [12])];
  const [q, k] = [t(4, [1, 6, 2, 8]), t(5, [1, 5, 2, 8])];
  const image = t(6, [1, 5, 6, 4]);
  const [table, ids, key] = [t(7, [9, 8]), t(8, [2, 3], "u32"), t(9, [2], "u32")];
  const half = t(10, [4, 12], "f16");
  const results = [
    gelu(x),
    matmul(x, w),
    matmul(x, half, { transposeA: false, transposeB: true }),
    softmax(x),
    layerNorm(x, v, g),
    sum(x, [0]),
    sum(half, [1]),
    pad(x, [[1, 1], [2, 2]]),
    conv2d(image, t(11, [3, 3, 4, 8]), { padding: 1, stride: 2 }),
    groupNorm(image, t(12, [4]), t(13, [4]), { groups: 2 }),
    attention(q, k, k, { causal: true }),
    embedding(table, ids),
    randomNormal(key, [3, 5]),
  ];
  const grads = vjp([[embedding(table, ids), t(14, [2, 3, 8])]], [table]) as Tensor[];
  const { dispatches } = blueprint([...results, ...grads], [], { profile });
  return dispatches.map((d) => {
    const { code, bindings } = wgslOf(d, (a, b) => a.memory === b.memory, profile);
    return {
      code,
      bytes: bindings.map((b) => Math.ceil(bytesOf(b.memory) / 16) * 16),
      grid: d.grid,
    };
  });
}

const usage = BufferUsage.STORAGE | BufferUsage.COPY_DST | BufferUsage.COPY_SRC;
const GUARD = 1024;

/** Runs a text on buffers that lie between others; whether those are as they were, and what went wrong. */
async function tried(device: CpuDevice, { bytes, grid }: Sample, code: string) {
  const buffers = bytes.flatMap((size) => [
    device.createBuffer({ size: GUARD, usage }),
    device.createBuffer({ size, usage }),
  ]).concat(device.createBuffer({ size: GUARD, usage }));
  const fill = new Uint8Array(GUARD).fill(0xa5);
  buffers.forEach((b, i) => i % 2 || device.queue.writeBuffer(b, 0, fill));
  bytes.forEach((n, i) => {
    const values = Float32Array.from({ length: n / 4 }, (_, j) => Math.sin(7 * j + i));
    device.queue.writeBuffer(buffers[2 * i + 1], 0, values);
  });
  const error = await refusal(device, () => {
    const module = device.createShaderModule({ code });
    const pipeline = device.createComputePipeline({ layout: "auto", compute: { module } });
    if (!pipeline.kernel) return;
    const layout = pipeline.getBindGroupLayout(0);
    const entries = [...layout.entries.keys()].map((binding) => ({
      binding,
      resource: { buffer: buffers[2 * (binding % bytes.length) + 1] },
    }));
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.createBindGroup({ layout, entries }));
    pass.dispatchWorkgroups(...grid);
    pass.end();
    device.queue.submit([encoder.finish()]);
  });
  const lost = await Promise.race([device.lost, Promise.resolve()]);
  const after = bytes.map((n, i) => new Uint8Array(device.read(buffers[2 * i + 1], 0, n)));
  const whole = buffers.every((b, i) =>
    i % 2 || new Uint8Array(device.read(b, 0, GUARD)).every((v) => v === 0xa5)
  );
  buffers.forEach((b) => b.destroy());
  return { error, lost: lost?.message, whole, after };
}

/** A device that is replaced when it is lost. */
class Trial {
  #device: CpuDevice | undefined;
  constructor(readonly careful: boolean) {}
  async run(sample: Sample, code: string) {
    this.#device ??= await CpuDevice.open({ threads: 1, careful: this.careful });
    const result = await tried(this.#device, sample, code);
    if (result.lost !== undefined) this.end();
    return result;
  }
  end(): void {
    this.#device?.destroy();
    this.#device = undefined;
  }
}

Deno.test("mutated kernels give an error or run, write nowhere but in their buffers, and need no tests that were left out", async () => {
  const from = await samples();
  const [usual, careful] = [new Trial(false), new Trial(true)];
  for (const s of from) {
    const { error, lost, whole } = await usual.run(s, s.code);
    assertEquals({ error, lost, whole }, { error: undefined, lost: undefined, whole: true });
  }
  let refused = 0;
  for (let n = 0; n < ALL; n++) {
    const draw = new Draw(SEED * 1_000_003 + n * 7919);
    const sample = draw.of(from);
    const code = words(sample.code, draw);
    const { error, lost, whole, after } = await usual.run(sample, code);
    const endless = lost !== undefined && /a loop in it does not end/.test(lost);
    assert(
      whole && (lost === undefined || endless),
      `number ${n}: ${lost ?? "wrote outside"}\n${code}`,
    );
    if (error !== undefined) refused++;
    else if (!lost) {
      const again = await careful.run(sample, code);
      if (!again.lost) assertEquals(again.after, after, `number ${n}\n${code}`);
    }
  }
  [usual, careful].forEach((t) => t.end());
  assert(refused > ALL / 10 && refused < ALL * 0.95, `${refused} of ${ALL} were refused`);
});
