// Products on the CPU device: every tile at its edges, packed and not, split and stacked; convolutions and attention on them.
import { assert, assertEquals } from "@std/assert";
import type { Device } from "../device/device.ts";
import { gpu } from "../device/adapter.ts";
import { compile } from "../compile/compile.ts";
import { attention } from "../ops/attention.ts";
import { conv2d } from "../ops/conv.ts";
import { chooseCpu, type CpuChoice, cpuTiles } from "../ops/gemm/cpu_kernel.ts";
import { planOnCpu } from "../ops/gemm/cpu_plan.ts";
import { matrix } from "../ops/gemm/operands.ts";
import type { Gemm } from "../ops/gemm/problem.ts";
import { tensor } from "../ops/leaf.ts";
import { matmul } from "../ops/matmul.ts";
import { apply, type Tensor } from "../tensor/tensor.ts";
import { alike } from "../tensor/batch.ts";
import { defineOp } from "../tensor/op.ts";
import type { DType } from "../tensor/dtype.ts";
import { checkOp } from "./support/check.ts";

let opened: Promise<Device> | undefined;
const cpu = () => opened ??= gpu({ backend: "cpu", threads: 2 });
const spec = (shape: number[], dtype: DType = "f32") => ({ shape, dtype });

/** a·b with a choice that is forced. */
const forcedOp = defineOp<CpuChoice>({
  name: "forcedMatmul",
  shape: ([a, b]) => [spec([a.shape[0], b.shape[1]])],
  vjp: () => [undefined, undefined],
  batch: alike,
  reference([a, b], [s, t]) {
    const [m, k, n] = [s.shape[0], s.shape[1], t.shape[1]];
    const y = new Float64Array(m * n);
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        for (let l = 0; l < k; l++) y[i * n + j] += a[i * k + l] * b[l * n + j];
      }
    }
    return [y];
  },
  lowering: {
    kind: "kernel",
    epilogue: true,
    build(ctx) {
      const [a, b] = ctx.inputs;
      const [m, k, n] = [a.shape[0], a.shape[1], b.shape[1]];
      return planOnCpu([product(m, n, k, a, b)], m * n, ctx, ctx.attrs);
    },
  },
});

type Operand = { shape: readonly number[]; dtype: DType };
const product = (m: number, n: number, k: number, a: Operand, b: Operand): Gemm => ({
  label: "forced",
  m,
  n,
  batch: 1,
  segments: 1,
  length: k,
  a: matrix("lhs", 0, a, { batch: 0, row: k, k: 1 }),
  b: matrix("rhs", 1, b, { batch: 0, row: 1, k: n }),
  row: (i) => i,
});

Deno.test("every tile of the CPU device is right inside and at its edges, whatever the stack and the splits", async () => {
  const device = await cpu();
  for (const tile of cpuTiles()) {
    for (const [m, n, k] of [[1, 1, 1], [13, 20, 18], [25, 9, 7], [24, 16, 64]]) {
      for (const [stack, splits] of [[1, 1], [3, 1], [2, 3]]) {
        const choice = { tile, stack, splits: k < 18 ? 1 : splits, packed: true };
        await checkOp([spec([m, k]), spec([k, n])], (a, b) => apply(forcedOp, [a, b], choice)[0], {
          device,
          forwardOnly: true,
        });
      }
    }
  }
});

Deno.test("products on the CPU device are right in all orientations and types, read where they lie or packed", async () => {
  const device = await cpu();
  for (const [m, n, k] of [[1, 8, 33], [2, 12, 16], [37, 40, 20], [5, 3, 2100], [130, 66, 36]]) {
    for (
      const [transposeA, transposeB] of [[false, false], [true, false], [false, true], [true, true]]
    ) {
      for (const dtype of ["f32", "f16"] as const) {
        const a = spec(transposeA ? [k, m] : [m, k], dtype);
        const b = spec(transposeB ? [n, k] : [k, n], dtype);
        await checkOp([a, b], (a, b) => matmul(a, b, { transposeA, transposeB }), {
          device,
          forwardOnly: dtype === "f16" || m > 100,
          scale: 0.5,
        });
      }
    }
  }
});

Deno.test("a choice for the CPU leaves no core of many idle, and splits only long sums", () => {
  const of = (m: number, n: number, k: number) =>
    chooseCpu(product(m, n, k, spec([m, k]), spec([k, n])));
  assertEquals(of(512, 512, 512).splits, 1);
  assertEquals(of(512, 512, 512).tile, { rows: 6, vectors: 2 });
  assert(of(2, 8, 65_536).splits > 4);
  assertEquals(of(2, 8, 64).splits, 1);
  assertEquals(of(2, 8, 64).packed, false);
  assertEquals(of(512, 64, 64).packed, true);
  assertEquals(of(0, 4, 0).splits, 1);
});

Deno.test("convolutions on the CPU device are right with padding on any side, strides and every kind of gradient", async () => {
  const device = await cpu();
  const cases = [
    { image: [2, 5, 7, 4], weight: [3, 3, 4, 8], options: { padding: 1 } },
    { image: [1, 7, 6, 3], weight: [3, 3, 3, 5], options: { padding: 1, stride: 2 } },
    { image: [1, 6, 6, 8], weight: [2, 3, 8, 4], options: {} },
    {
      image: [1, 9, 9, 4],
      weight: [3, 3, 4, 4],
      options: { padding: [0, 1, 0, 1] as const, stride: 2 },
    },
    { image: [3, 4, 4, 12], weight: [1, 1, 12, 6], options: {} },
    { image: [1, 2, 2, 4], weight: [5, 5, 4, 4], options: { padding: 2 } },
  ];
  for (const { image, weight, options } of cases) {
    await checkOp([spec(image), spec(weight)], (x, w) => conv2d(x, w, options), {
      device,
      scale: 0.5,
    });
    await checkOp([spec(image, "f16"), spec(weight)], (x, w) => conv2d(x, w, options), {
      device,
      wrt: [1],
      scale: 0.5,
    });
  }
});

Deno.test("f16 on the left of a product is converted once, and not for every column", async () => {
  const device = await cpu();
  const dispatches = (dtype: DType) =>
    compile(device, (a: Tensor, b: Tensor) => matmul(a, b)).plan(
      tensor(new Array(63).fill(1), [9, 7], dtype),
      tensor(new Array(350).fill(1), [7, 50]),
    ).dispatches.map((d) => d.label);
  assertEquals(dispatches("f32"), ["matmul (pack)", "matmul"]);
  assertEquals(dispatches("f16"), ["matmul (widen)", "matmul (pack)", "matmul"]);
});

Deno.test("attention on the CPU device is right for any extents, causal or not, with all its gradients", async () => {
  const device = await cpu();
  for (
    const [b, t, s, h, d] of [[1, 1, 1, 1, 4], [2, 9, 5, 2, 8], [1, 16, 24, 3, 12], [1, 5, 5, 1, 6]]
  ) {
    for (const causal of t === s ? [false, true] : [false]) {
      await checkOp(
        [spec([b, t, h, d]), spec([b, s, h, d]), spec([b, s, h, d])],
        (q, k, v) => attention(q, k, v, { causal }),
        { device },
      );
      const halves = (n: number) => spec([b, n, h, d], "f16");
      await checkOp(
        [halves(t), halves(s), halves(s)],
        (q, k, v) => attention(q, k, v, { causal }),
        { device, forwardOnly: true },
      );
    }
  }
});
