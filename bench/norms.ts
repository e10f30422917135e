/**
 * Time of softmax, the norms and their gradients on this machine's adapter, beside a plain elementwise pass over the
 * same data. Prints the best of several runs and the bandwidth that reading and writing each tensor once would need.
 *
 * Usage: `deno run -A tools/vulkan.ts run -A bench/norms.ts [part of a case's name]`
 */
import { exp, mul } from "../ops/elementwise/arithmetic.ts";
import { silu } from "../ops/elementwise/activation.ts";
import { geglu } from "../ops/elementwise/geglu.ts";
import { groupNorm, layerNorm } from "../ops/norm/norm.ts";
import { logSumExp, softmax } from "../ops/softmax.ts";
import { input } from "../ops/leaf.ts";
import { vjp } from "../autograd/grad.ts";
import { type Case, printTimes } from "./kernels.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Shape, sizeOf } from "../tensor/shape.ts";
import { scale } from "../numerics/quantities.ts";

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
  ...both("softmax 4096×256", [rows], (x) => softmax(x)),
  ...both("softmax 512×77", [[512, 77]], (x) => softmax(x)),
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

if (import.meta.main) {
  await printTimes(
    CASES,
    { length: 12, rounds: 25 },
    ({ shapes }, { results }, best) => {
      const bytes = 4 * (shapes.reduce((n, s) => n + sizeOf(s), 0) + sizeOf(results[0].spec.shape));
      return scale(1000 * bytes / best, "B/s").padStart(10);
    },
    ({ dispatches }) => `${dispatches.length} dispatches`,
  );
}
