/**
 * Throughput of matmul and convolution on this machine's adapter, for the shapes of small and large models. Prints
 * GFLOP/s of the best of several runs, and how long the first run took (which includes compiling the kernel).
 *
 * Usage: `deno run -A bench/gemm.ts [part of a case's name]`
 */
import { input } from "../ops/leaf.ts";
import { conv2d } from "../ops/conv.ts";
import { matmul } from "../ops/matmul.ts";
import { vjp } from "../autograd/grad.ts";
import { type Case, printTimes } from "./kernels.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { scale } from "../numerics/quantities.ts";

const product = (m: number, n: number, k: number, ta = false, tb = false): Case => ({
  name: `matmul ${m}×${n}×${k}${ta ? " Aᵀ" : ""}${tb ? " Bᵀ" : ""}`,
  shapes: [ta ? [k, m] : [m, k], tb ? [n, k] : [k, n]],
  f: (a, b) => matmul(a, b, { transposeA: ta, transposeB: tb }),
});

/** Forward, input gradient and weight gradient of one convolution. */
function convolution(b: number, h: number, ci: number, co: number, k = 3, stride = 1): Case[] {
  const x = [b, h, h, ci];
  const w = [k, k, ci, co];
  const y = [b, Math.ceil(h / stride), Math.ceil(h / stride), co];
  const options = { stride, padding: (k - 1) / 2 };
  const name = `conv ${b}×${h}×${h}×${ci}→${co} ${k}×${k}${stride > 1 ? ` /${stride}` : ""}`;
  const free = (shape: readonly number[]) => input({ shape, dtype: "f32" }, 99);
  return [
    { name, shapes: [x, w], f: (i, v) => conv2d(i, v, options) },
    {
      name: `${name} dX`,
      shapes: [w, y],
      f: (v, g) => only(free(x), (i) => conv2d(i, v, options), g),
    },
    {
      name: `${name} dW`,
      shapes: [x, y],
      f: (i, g) => only(free(w), (v) => conv2d(i, v, options), g),
    },
  ];
}

/** The gradient with respect to an argument that the gradient itself does not depend on. */
function only(t: Tensor, f: (t: Tensor) => Tensor, g: Tensor): Tensor {
  return vjp([[f(t), g]], [t])[0]!;
}

export const CASES: Case[] = [
  product(512, 512, 512),
  product(1024, 1024, 1024),
  product(1024, 1024, 1024, false, true),
  product(1024, 1024, 1024, true),
  ...convolution(1, 64, 64, 64),
  ...convolution(8, 16, 64, 64),
  ...convolution(8, 8, 128, 128),
  ...convolution(8, 4, 256, 256),
  ...convolution(8, 16, 48, 48),
  ...convolution(8, 16, 96, 48),
  ...convolution(8, 16, 64, 128, 3, 2),
  ...convolution(8, 16, 4, 64),
  ...convolution(8, 16, 64, 4),
  ...convolution(8, 64, 16, 3),
  product(2048, 64, 64, false, true),
  product(64, 64, 2048, true),
  product(512, 128, 128, false, true),
  product(128, 128, 512, true),
  product(512, 1024, 128, false, true),
  product(128, 64, 256, false, true),
  product(16, 64, 64, false, true),
];

if (import.meta.main) {
  const flops: (dispatches: readonly { flops: number }[]) => number = (all) =>
    all.reduce((n, d) => n + d.flops, 0);
  await printTimes(
    CASES,
    { length: 60, rounds: 5 },
    (_, { dispatches }, best) => scale(1000 * flops(dispatches) / best, "FLOP/s").padStart(13),
    ({ dispatches }) => dispatches.map((d) => d.grid.join("×")).join(" + "),
  );
}
