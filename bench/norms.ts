/**
 * Time of softmax, the norms and their gradients on this machine's adapter, beside a plain elementwise pass over the
 * same data. Prints the best of several runs and the bandwidth that reading and writing each tensor once would need.
 *
 * Usage: `deno run -A tools/vulkan.ts run -A bench/norms.ts [part of a case's name]`
 */
import { exp, mul } from "../ops/arithmetic.ts";
import { geglu, silu } from "../ops/activation.ts";
import { groupNorm, layerNorm } from "../ops/norm.ts";
import { logSumExp, softmax } from "../ops/softmax.ts";
import { input } from "../ops/leaf.ts";
import { vjp } from "../autograd/grad.ts";
import { compile } from "../compile/compile.ts";
import { gpu } from "../device/adapter.ts";
import type { Device } from "../device/device.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Shape, sizeOf } from "../tensor/shape.ts";

/** One measured function of tensors. */
interface Case {
  readonly name: string;
  readonly shapes: readonly Shape[];
  readonly f: (...xs: Tensor[]) => Tensor;
}

/** A function of x (and parameters) and the gradient of x alone; `forward` is not recomputed where it isn't needed. */
function both(name: string, shapes: readonly Shape[], f: (...xs: Tensor[]) => Tensor): Case[] {
  const y = f(...shapes.map((shape, i) => input({ shape, dtype: "f32" }, i)));
  return [
    { name, shapes, f },
    {
      name: `${name}, with its gradient`,
      shapes: [...shapes, y.shape],
      f: (...xs) => vjp([[f(...xs.slice(0, -1)), xs.at(-1)!]], [xs[0]])[0]!,
    },
  ];
}

const rows: Shape = [4096, 256];
const image: Shape = [8, 16, 16, 64];
const large: Shape = [2, 64, 64, 320];
const CASES: Case[] = [
  { name: "exp 4096×256", shapes: [rows], f: (x) => mul(exp(x), 2) },
  ...both("softmax 4096×256", [rows], softmax),
  ...both("softmax 512×77", [[512, 77]], softmax),
  { name: "logSumExp 4096×256", shapes: [rows], f: (x) => logSumExp(x) },
  ...both("layerNorm 4096×256", [rows, [256], [256]], (x, g, b) => layerNorm(x, g, b)),
  ...both("layerNorm 2048×64", [[2048, 64], [64], [64]], (x, g, b) => layerNorm(x, g, b)),
  ...both(
    "groupNorm 8×16×16×64",
    [image, [64], [64]],
    (x, g, b) => groupNorm(x, g, b, { groups: 32 }),
  ),
  ...both(
    "groupNorm + silu 8×16×16×64",
    [image, [64], [64]],
    (x, g, b) => silu(groupNorm(x, g, b, { groups: 32 })),
  ),
  ...both(
    "groupNorm 2×64×64×320",
    [large, [320], [320]],
    (x, g, b) => groupNorm(x, g, b, { groups: 32 }),
  ),
  ...both("geglu 2048×512", [[2048, 512]], geglu),
];

async function measure(device: Device, { name, shapes, f }: Case): Promise<string> {
  const random = (n: number) => Float32Array.from({ length: n }, () => Math.random() - 0.5);
  const args = shapes.map((s) => device.upload(random(sizeOf(s)), s, "f32"));
  const probe = device.upload(new Float32Array(4), [4], "f32");
  const step = compile(device, f);
  const timed = async (runs: number) => {
    const start = performance.now();
    for (let i = 0; i < runs; i++) step(...args);
    await device.read(probe);
    return (performance.now() - start) / runs;
  };
  const first = await timed(1);
  const runs = Math.max(2, Math.min(200, Math.round(12 / await timed(1))));
  let best = Infinity;
  for (let i = 0; i < 25; i++) best = Math.min(best, await timed(runs));
  const { blueprint } = step.program(...args);
  const bytes = 4 * (shapes.reduce((n, s) => n + sizeOf(s), 0) + blueprint.results[0].size);
  step.free();
  device.free(...args, probe);
  return `${name.padEnd(48)} ${best.toFixed(3).padStart(8)} ms ${
    (bytes / best / 1e6).toFixed(1).padStart(7)
  } GB/s   first ${first.toFixed(0).padStart(4)} ms   ${blueprint.dispatches.length} dispatches`;
}

if (import.meta.main) {
  const device = await gpu();
  console.log(device.facts.description);
  const part = Deno.args[0] ?? "";
  for (const c of CASES) if (c.name.includes(part)) console.log(await measure(device, c));
  device.destroy();
}
