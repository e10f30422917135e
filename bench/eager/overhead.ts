/**
 * What a single op costs beside its kernel when it is computed at once: `evaluate` of tiny tensors against bare dispatches of
 * the kernel that it runs, in as many submits.
 *
 * Usage: `deno run -A bench/eager/overhead.ts [cpu|webgpu]`
 */
import process from "node:process";
import { type Backend, gpu } from "../../device/adapter.ts";
import type { Device } from "../../device/device.ts";
import { compile, evaluate } from "../../compile/compile.ts";
import { add, mul } from "../../ops/elementwise/arithmetic.ts";
import { matmul } from "../../ops/matmul.ts";
import { softmax } from "../../ops/softmax.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { figures } from "../../numerics/quantities.ts";

/** Microseconds of a call. */
export interface Cost {
  /** Of the clock. */
  readonly wall: number;
  /** Of all of this process's threads together. */
  readonly cpu: number;
}

/** A function of two small matrices. */
export type Small = (a: Tensor, b: Tensor) => Tensor;

let counted = 0;
/** Functions that are measured. */
export const SMALL: Readonly<Record<string, Small>> = {
  add,
  "mul by a number that is another one at each call": (a) => mul(a, counted++),
  matmul,
  softmax: (a) => softmax(a),
};

/** As many dispatches as are submitted together. */
const TOGETHER = { cpu: 1, gpu: 32 } as const;

/** Time of `calls` calls, each; the least of some rounds, since whatever else runs only adds to it. */
async function least(
  device: Device,
  calls: number,
  rounds: number,
  run: () => void,
): Promise<Cost> {
  let best: Cost = { wall: Infinity, cpu: Infinity };
  for (let round = 0; round <= rounds; round++) {
    const [start, used] = [performance.now(), process.cpuUsage()];
    run();
    await device.finished();
    const { user, system } = process.cpuUsage(used);
    const wall = (performance.now() - start) * 1000 / calls;
    const cpu = (user + system) / calls;
    // The first round compiles.
    if (round) best = { wall: Math.min(best.wall, wall), cpu: Math.min(best.cpu, cpu) };
  }
  return best;
}

/** What calls of a function cost, and bare dispatches of its kernels. */
export async function overhead(
  device: Device,
  f: Small,
  calls = 2000,
  rounds = 5,
): Promise<{ readonly eager: Cost; readonly bare: Cost }> {
  const a = device.upload([[1, 2], [3, 4]]), b = device.upload([[0.1, 0.2], [0.3, 0.4]]);
  const eager = await least(device, calls, rounds, () => {
    for (let i = 0; i < calls; i++) device.free(evaluate(device, f(a, b)));
  });
  const compiled = compile(device, f);
  compiled(a, b);
  const recorded = compiled.program(a, b).recorded();
  const together = TOGETHER[device.profile.cpu ? "cpu" : "gpu"];
  const { gpu } = device;
  const bare = await least(device, calls, rounds, () => {
    for (let i = 0; i < calls; i += together) {
      const encoder = gpu.createCommandEncoder();
      const pass = encoder.beginComputePass();
      for (let k = 0; k < together; k++) {
        for (const { dispatch, pipeline, group } of recorded) {
          pass.setPipeline(pipeline);
          pass.setBindGroup(0, group);
          pass.dispatchWorkgroups(...dispatch.grid);
        }
      }
      pass.end();
      gpu.queue.submit([encoder.finish()]);
    }
  });
  compiled.free();
  device.free(a, b);
  return { eager, bare };
}

if (import.meta.main) {
  using device = await gpu({ backend: Deno.args[0] as Backend | undefined });
  console.log(device.facts.description);
  for (const [name, f] of Object.entries(SMALL)) {
    const { eager, bare } = await overhead(device, f, 10_000);
    const both = ({ wall, cpu }: Cost) => `${figures(wall)} (CPU ${figures(cpu)})`;
    console.log(
      `${name}: ${both(eager)} µs, a bare dispatch ${both(bare)} µs; beyond it ` +
        `${figures(eager.cpu - bare.cpu)} µs of CPU`,
    );
  }
}
