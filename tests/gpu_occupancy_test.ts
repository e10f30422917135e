// How a GPU is kept busy: workgroups that fill its units, and that leave each other room. Planned from shapes, with no GPU.
import { assert } from "@std/assert";
import { customDiffusion, GPU } from "../bench/memory.ts";
import type { LoweredDispatch } from "../compile/lower.ts";
import { chooseTiling } from "../ops/attention/tiles.ts";
import { timeOfWaves } from "../ops/gemm/choose.ts";
import { modelDrafts } from "./support/model_kernels.ts";

const planned = new Map<number, readonly LoweredDispatch[]>();
/** Dispatches of a training step; one batch is planned once for all tests. */
function step(batch: number): readonly LoweredDispatch[] {
  let dispatches = planned.get(batch);
  if (!dispatches) {
    const one = { name: "SD 1.5", shape: customDiffusion(batch, 512), precision: "f32" } as const;
    dispatches = modelDrafts({ ...one, profile: GPU }).train.blueprint.dispatches;
    planned.set(batch, dispatches);
  }
  return dispatches;
}

const groupsOf = ({ grid }: LoweredDispatch): number => grid.reduce((a, b) => a * b);
const invocationsOf = ({ body }: LoweredDispatch): number =>
  Number(/@workgroup_size\((\d+)\)/.exec(body)![1]);

/** How much of the units' time is used, if each has 512 invocations at once and waves are full but for the last. */
function filled(dispatches: readonly LoweredDispatch[], units: number): number {
  const products = dispatches.filter((d) => d.flops > 0);
  const time = products.reduce((sum, d) => {
    const waves = groupsOf(d) / (units * Math.max(1, Math.floor(512 / invocationsOf(d))));
    return sum + d.flops * Math.ceil(waves) / waves;
  }, 0);
  return products.reduce((sum, d) => sum + d.flops, 0) / time;
}

Deno.test("products and attention of a training step fill the waves of small and of large GPUs", () => {
  const whole = step(8), one = step(1);
  for (const [units, least, leastOfOne] of [[20, 0.97, 0.94], [58, 0.9, 0.82], [132, 0.82, 0.6]]) {
    const [all, single] = [filled(whole, units), filled(one, units)];
    assert(all > least, `batch of 8 on ${units} units: ${all}`);
    assert(single > leastOfOne, `batch of 1 on ${units} units: ${single}`);
  }
});

Deno.test("gradients of few keys by many queries are computed by at least 128 workgroups at batch 1", () => {
  const found = step(1).filter(({ label }) => label === "flash attention dk, dv");
  const long = found.filter(({ step }) =>
    step.kind === "kernel" && step.inputs[0].size >= 256 * 1280
  );
  assert(long.length > 10);
  for (const d of long) assert(groupsOf(d) >= 128, `${d.grid}`);
});

Deno.test("no join of a group norm takes an invocation more than 32 turns", () => {
  for (const batch of [1, 8]) {
    const joins = step(batch).filter(({ label }) => /^groupNorm(Grad)? \(join\)/.test(label));
    assert(joins.length > 50);
    for (const { body } of joins) {
      const [, items] = /⟨items=(\d+)u⟩/.exec(body)!;
      assert(Number(items) / 64 <= 32, `${items} folds in a group`);
    }
  }
});

Deno.test("tilings of attention leave room for a second workgroup, on adapters with 64 KiB too", () => {
  for (const kind of ["forward", "queryGrad", "keyValueGrad"] as const) {
    for (const width of [40, 64, 80, 160]) {
      const tiling = chooseTiling(kind, width / 4, 4096, { ...GPU, workgroupStorage: 65_536 })!;
      assert(tiling.bytes <= 49_152, `${kind}, ${width} wide: ${tiling.bytes} bytes`);
    }
  }
});

Deno.test("more workgroups take more time, and one more than fills a wave takes most", () => {
  for (let n = 1; n < 2000; n += 7) {
    assert(timeOfWaves(n + 1, 256, 1) >= timeOfWaves(n, 256, 1), `${n}`);
  }
  // Twice as many, half as long: never slower, where the last wave is nearly empty much faster.
  assert(timeOfWaves(640, 256, 0.5) < timeOfWaves(320, 256, 1));
});
