/** Matrix products against their definition: every orientation, batching, ragged extents, f16, both kinds of adapter. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { apply, tapeOf, type Tensor } from "../tensor/tensor.ts";
import type { Op } from "../tensor/op.ts";
import type { KernelContext } from "../tensor/kernel.ts";
import type { DType } from "../tensor/dtype.ts";
import { ShapeError } from "../tensor/shape.ts";
import { input } from "../ops/leaf.ts";
import { add, mul } from "../ops/elementwise/arithmetic.ts";
import { reshape } from "../ops/movement.ts";
import { linear, matmul, type MatmulOptions } from "../ops/matmul.ts";
import { REGISTER_TILES, WORKGROUP_TILES } from "../ops/gemm/choose.ts";
import { matrix } from "../ops/gemm/operands.ts";
import { planGemm } from "../ops/gemm/plan.ts";
import type { Gemm } from "../ops/gemm/problem.ts";
import type { RegisterTile } from "../ops/gemm/register.ts";
import type { WorkgroupTile } from "../ops/gemm/workgroup.ts";
import { blueprint } from "../compile/trace.ts";
import { Device } from "../device/device.ts";
import { vjp } from "../autograd/grad.ts";
import { checkOp, computing, deviceAs } from "./support/check.ts";

const f32 = (...shape: number[]) => ({ shape, dtype: "f32" as DType });
const f16 = (...shape: number[]) => ({ shape, dtype: "f16" as DType });

function shapes(
  m: number,
  n: number,
  k: number,
  o: MatmulOptions,
  lead: readonly number[] = [],
  leadB = lead,
): [number[], number[]] {
  return [[...lead, ...(o.transposeA ? [k, m] : [m, k])], [
    ...leadB,
    ...(o.transposeB ? [n, k] : [k, n]),
  ]];
}

const orientations: MatmulOptions[] = [false, true].flatMap((transposeA) =>
  [false, true].map((transposeB) => ({ transposeA, transposeB }))
);

for (const software of [true, false]) {
  const kernels = software ? "register kernels" : "workgroup kernels";

  Deno.test(`matmul of any extents and orientation equals its definition (${kernels})`, async () => {
    const device = await deviceAs(software);
    const extent = fc.oneof(
      fc.integer({ min: 1, max: 9 }),
      fc.constantFrom(12, 16, 20, 36, 64, 67),
    );
    await fc.assert(
      fc.asyncProperty(
        extent,
        extent,
        extent,
        fc.constantFrom(...orientations),
        fc.constantFrom([], [3]),
        async (m, n, k, o, lead) => {
          const [a, b] = shapes(m, n, k, o, lead);
          const options = { device, linear: !software };
          await checkOp([f32(...a), f32(...b)], (x, y) => matmul(x, y, o), options);
        },
      ),
      // Kernels for GPUs take a software adapter long to compile: here and below some of the cases will do for them.
      { numRuns: software ? 8 : 3, seed: 7 },
    );
  });

  Deno.test(`matmul splits a long inner axis and still equals its definition (${kernels})`, async () => {
    const device = await deviceAs(software);
    for (const o of software ? orientations : orientations.slice(1, 3)) {
      for (const [m, n, k] of [[8, 12, 2600], [5, 3, 2111]]) {
        const [a, b] = shapes(m, n, k, o);
        const product = (x: Tensor, y: Tensor) => mul(add(matmul(x, y, o), 1), 2);
        const results = [product(input(f32(...a), 0), input(f32(...b), 1))];
        const { dispatches } = blueprint(results, [], { profile: device.profile });
        assertEquals(
          computing(dispatches).length,
          2,
          "a split product is two dispatches with the epilogue in the second",
        );
        await checkOp([f32(...a), f32(...b)], product, { device, scale: 0.2, forwardOnly: true });
      }
    }
  });

  Deno.test(`matmul shares one b among batches (${kernels})`, async () => {
    const device = await deviceAs(software);
    for (const o of software ? orientations : orientations.slice(2, 3)) {
      const [a, b] = shapes(5, 8, 6, o, [2, 3], []);
      await checkOp([f32(...a), f32(...b)], (x, y) => matmul(x, y, o), { device });
    }
  });

  Deno.test(`matmul reads f16 operands and accumulates in f32 (${kernels})`, async () => {
    const device = await deviceAs(software);
    for (const [m, n, k, o] of [[8, 12, 16, { transposeB: true }], [5, 7, 9, {}]] as const) {
      {
        const [a, b] = shapes(m, n, k, o);
        const vectors = k % 4 === 0;
        if (software || vectors) {
          const options = { device, linear: !software };
          await checkOp([f16(...a), f16(...b)], (x, y) => matmul(x, y, o), options);
        }
        if (!software && vectors) continue;
        // Only the weight is rounded, and before the product: the result is as exact as with f32.
        await checkOp([f32(...a), f16(...b)], (x, y) => matmul(x, y, o), {
          device,
          wrt: [0],
          tolerance: 2e-5,
        });
      }
    }
  });

  Deno.test(`matmul of a tensor with itself in another shape binds one memory twice (${kernels})`, async () => {
    const device = await deviceAs(software);
    await checkOp([f32(6, 4)], (x) => matmul(x, reshape(x, [4, 6])), { device });
    await checkOp([f32(4, 4)], (x) => add(matmul(x, x, { transposeB: true }), x), { device });
  });

  Deno.test(`linear adds its bias and takes weights as checkpoints store them (${kernels})`, async () => {
    const device = await deviceAs(software);
    await checkOp([f32(2, 3, 8), f32(12, 8), f32(12)], linear, { device });
    if (software) await checkOp([f32(7, 5), f32(3, 5), f32(3)], linear, { device });
    if (!software) return;
    await checkOp([f32(4, 8), f16(12, 8), f32(12)], linear, {
      device,
      wrt: [0, 2],
      tolerance: 2e-5,
    });
  });
}

Deno.test("products larger than one tile are right at every edge", async () => {
  for (const software of [true, false]) {
    const device = await deviceAs(software);
    await checkOp([f32(131, 68), f32(132, 68)], (x, y) => matmul(x, y, { transposeB: true }), {
      device,
      forwardOnly: true,
    });
    await checkOp([f32(40, 260), f32(40, 72)], (x, y) => matmul(x, y, { transposeA: true }), {
      device,
      forwardOnly: true,
    });
  }
});

Deno.test("workgroup kernels fit adapters with 16 KiB of workgroup memory, and are right there", async () => {
  const full = await deviceAs(false);
  const profile = { ...full.profile, workgroupStorage: 16384 };
  for (const [m, n, k] of [[512, 512, 256], [2048, 1024, 64], [16384, 320, 320], [77, 64, 64]]) {
    const result = matmul(input(f32(m, k), 0), input(f32(k, n), 1));
    for (const d of blueprint([result], [], { profile }).dispatches) {
      const arrays = [
        ...d.body.matchAll(
          /var<workgroup> \w+: array<array<array<vec4<f32>, (\d+)>, (\d+)>, (\d+)>/g,
        ),
      ];
      const bytes = arrays.reduce(
        (sum, [, ...extents]) => sum + extents.reduce((n, d) => n * Number(d), 16),
        0,
      );
      assert(
        bytes <= 16384 && (bytes > 0 || d.label.includes("(join)")),
        `${m}×${n}×${k} takes ${bytes} bytes`,
      );
    }
  }
  const device = new Device(full.gpu, profile, full.facts);
  await checkOp([f32(136, 40), f32(40, 132)], (x, y) => matmul(x, y), {
    device,
    forwardOnly: true,
  });
});

/** A product of the op's own definition, computed with one given tile. */
function productWith(
  tile: RegisterTile | WorkgroupTile,
  splits: number,
  m: number,
  n: number,
  k: number,
) {
  const { op, attrs } = matmul(input(f32(m, k), 0), input(f32(k, n), 1)).node;
  const gemm: Gemm = {
    label: "product",
    m,
    n,
    batch: 1,
    segments: 1,
    length: k,
    a: matrix("lhs", 0, f32(m, k), { batch: 0, row: k, k: 1 }),
    b: matrix("rhs", 1, f32(k, n), { batch: 0, row: 1, k: n }),
    row: (i) => i,
  };
  const build = (ctx: KernelContext<unknown>) => planGemm([gemm], m * n, ctx, { tile, splits });
  const forced: Op<unknown> = { ...op, lowering: { kind: "kernel", epilogue: true, build } };
  return (x: Tensor, y: Tensor) => apply(forced, [x, y], attrs)[0];
}

Deno.test("every tile gives the same product", async () => {
  for (const software of [true, false]) {
    const device = await deviceAs(software);
    for (const tile of software ? REGISTER_TILES : WORKGROUP_TILES) {
      // Larger than the largest tile, in two parts where that does not take the compiler long.
      const parts = software || tile === WORKGROUP_TILES.at(-1) ? 2 : 1;
      const [m, n, k, splits] = [...(software ? [44, 100, 100] : [140, 132, 48]), parts];
      const product = productWith(tile, splits, m, n, k);
      await checkOp([f32(m, k), f32(k, n)], product, { device, forwardOnly: true });
    }
  }
});

Deno.test("register kernels are right where the adapter cannot broadcast", async () => {
  const full = await deviceAs(true);
  const device = new Device(full.gpu, { ...full.profile, subgroups: false }, full.facts);
  for (const o of orientations) {
    const [a, b] = shapes(37, 40, 12, o);
    await checkOp([f32(...a), f32(...b)], (x, y) => matmul(x, y, o), { device, forwardOnly: true });
  }
});

Deno.test("a frozen weight gets no gradient node, a trained one gets a matmul with a transposed", () => {
  const [x, w, b] = [input(f32(4, 8), 0), input(f32(6, 8), 1), input(f32(6), 2)];
  const y = linear(x, w, b);
  const g = input(f32(4, 6), 3);
  const products = (wanted: Tensor[]) =>
    tapeOf(vjp([[y, g]], wanted) as Tensor[]).filter((n) =>
      n.op.name === "matmul" && n.outputs[0] !== y
    );
  const attrs = (wanted: Tensor[]) =>
    products(wanted).map((n) => (n.attrs as { transposeA: boolean }).transposeA);
  assertEquals(attrs([x]), [false]);
  assertEquals(attrs([w]), [true]);
  assertEquals(attrs([b]), []);
  assertEquals(attrs([x, w]), [false, true]);
});

Deno.test("the bias of a linear layer is added where the product is stored", async () => {
  const { profile } = await deviceAs(true);
  const y = linear(input(f32(2, 4, 8), 0), input(f32(8, 8), 1), input(f32(8), 2));
  assertEquals(computing(blueprint([y], [], { profile }).dispatches).length, 1);
});

Deno.test("second derivatives of matmul are right", async () => {
  const device = await deviceAs(true);
  const specs = [f32(3, 4), f32(4, 5), f32(3, 5)];
  const both = (a: Tensor, b: Tensor, g: Tensor) => vjp([[matmul(a, b), g]], [a, b]) as Tensor[];
  await checkOp(specs, (a, b, g) => both(a, b, g)[0], { device, wrt: [1, 2] });
  await checkOp(specs, (a, b, g) => both(a, b, g)[1], { device, wrt: [0, 2] });
});

Deno.test("wrong shapes are named with what was expected", () => {
  const t = (...shape: number[]) => input(f32(...shape), 0);
  assertThrows(() => matmul(t(2, 3), t(4, 5)), ShapeError, "inner extents 3 and 4");
  assertThrows(() => matmul(t(2, 3, 4), t(3, 4, 5)), ShapeError, "leading axes");
  assertThrows(() => matmul(t(), t(3, 4)), ShapeError, "two axes");
  assertThrows(() => linear(t(2, 3), t(4, 5)), ShapeError, "[out, in]");
  assertThrows(() => linear(t(2, 3), t(4, 3), t(3)), ShapeError, "[out]");
});
