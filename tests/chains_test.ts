// Programs of any length: nothing that walks over a tape, an expression or a plan calls itself once for each link of a chain,
// or compares each link with each other.
import { assert, assertEquals } from "@std/assert";
import { add, exp, mul } from "../ops/elementwise/arithmetic.ts";
import { sum } from "../ops/broadcast.ts";
import { concat } from "../ops/concat.ts";
import { pad, permute, reshape, slice } from "../ops/movement.ts";
import { softmax } from "../ops/softmax.ts";
import { tensor } from "../ops/leaf.ts";
import { checkpoint } from "../autograd/checkpoint.ts";
import { grad } from "../autograd/grad.ts";
import { compile } from "../compile/compile.ts";
import { explain, opsOf } from "../compile/inspect/explain.ts";
import { interpret } from "../compile/interpret.ts";
import { sin } from "../ops/elementwise/trigonometry.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { relativeError, testDevice } from "./support/check.ts";

/** Applies `f` again and again. */
function chain(n: number, x: Tensor, f: (y: Tensor) => Tensor): Tensor {
  for (let i = 0; i < n; i++) x = f(x);
  return x;
}

const X = tensor([0.5, 1, -2, 3, 0.25]);
/** So near to 1 that as many factors as there are here come to less than 2, and exact in f32. */
const NEAR = 1 + 2 ** -18;

/** Compiles, explains and runs what `f` makes of X, and compares it with float64; gives its plan. */
async function check(f: (x: Tensor) => Tensor, tolerance = 1e-5) {
  const device = await testDevice();
  const y = f(X);
  const step = compile(device, () => y);
  const plan = step.plan();
  assert(explain(plan).length > 0);
  const actual = await device.read(step()) as Float32Array;
  const e = relativeError(actual, interpret([y])[0]);
  assert(e < tolerance, `differs by ${e}`);
  step.free();
  return plan;
}

const derivative = (f: (x: Tensor) => Tensor) => (x: Tensor) => grad((p: Tensor) => sum(f(p)))(x);

Deno.test("100,000 additions are as many as a kernel holds, again and again", async () => {
  const ones = (x: Tensor) => chain(100_000, x, (y) => add(y, 1));
  const plan = await check(ones);
  assertEquals(plan.dispatches.length, Math.ceil(100_000 / 256));
  for (const { step } of plan.dispatches) assert(opsOf(step).length <= 256);
  await check(derivative(ones));
  const selves = (x: Tensor) => chain(100_000, x, (y) => add(y, x));
  await check(selves, 1e-3);
  await check(derivative(selves));
});

Deno.test("100,000 products, and the derivative that needs every one of them", async () => {
  await check((x) => chain(100_000, x, (y) => mul(y, NEAR)), 1e-2);
  await check(derivative((x) => chain(100_000, x, (y) => mul(y, NEAR))), 1e-2);
  const plan = await check(
    derivative((x) => {
      const factor = add(mul(x, 2 ** -22), 1);
      return chain(20_000, x, (y) => mul(y, factor));
    }),
    1e-2,
  );
  for (const { step } of plan.dispatches) assert(opsOf(step).length <= 256);
});

Deno.test("what is used twice at each link is not followed twice", async () => {
  const doubled = (n: number) => (x: Tensor) => chain(n, x, (y) => mul(add(y, y), 0.5));
  for (const n of [200, 20_000]) {
    await check(doubled(n));
    await check(derivative(doubled(n)));
  }
  // The same behind a kernel, whose every use is looked at before work is done where it stores its result.
  const behind = (x: Tensor) => doubled(200)(softmax(reshape(x, [1, 5])));
  assertEquals((await check(behind)).dispatches.length, 2);
});

Deno.test("chains of views, kernels and recomputed parts", async () => {
  const turned = (x: Tensor) =>
    reshape(chain(100_000, reshape(x, [5, 1]), (y) => permute(y, [1, 0])), [5]);
  await check(turned);
  await check(derivative(turned));
  await check((x) => chain(10_000, x, (y) => pad(slice(y, 0, 0, 4), [[1, 0]])));
  await check(
    (x) =>
      chain(2000, reshape(x, [5, 1]), (y) => reshape(permute(reshape(y, [1, 5]), [1, 0]), [5, 1])),
  );
  await check((x) => chain(5000, reshape(x, [1, 5]), softmax));
  const block = checkpoint((y: Tensor) => mul(y, NEAR));
  const blocks = (x: Tensor) => chain(1000, x, (y) => block(y));
  await check(blocks);
  await check(derivative(blocks));
});

Deno.test("joining many parts copies none of them more often than groups of eight have to be joined", async () => {
  for (const n of [8, 9, 64, 65, 512, 513, 1500]) {
    const parts = Array.from({ length: n }, (_, i) => tensor([i, -i, i / 2]));
    const plan = await check(() => concat(parts, 0));
    const copies = plan.dispatches.reduce(
      (m, { buffers }) =>
        m +
        buffers.filter((b) => b.access === "write").reduce(
          (k, b) => k + ("spec" in b.memory ? b.memory.size : 0),
          0,
        ),
      0,
    );
    const levels = Math.ceil(Math.log(n) / Math.log(8) - 1e-9);
    assert(copies <= levels * 3 * n, `${copies} values are written for ${3 * n}`);
  }
  await check((x) => chain(300, x, (y) => concat([y, mul(X, 2)], 0)));
  await check(derivative((x) => concat(Array.from({ length: 100 }, () => exp(x)), 0)));
});

Deno.test("the sum of a thousand values, each of them used again", async () => {
  const many = (x: Tensor) => {
    const waves = Array.from({ length: 1000 }, (_, i) => sin(mul(x, i / 1000)));
    return waves.reduce((a, b) => add(a, mul(b, waves[0])));
  };
  await check(many, 1e-4);
});
