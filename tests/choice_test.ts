// Choices and loops that end early: both branches are computed, one is taken; every turn runs, those behind the end change nothing.
import { assert, assertEquals, assertThrows } from "@std/assert";
import * as m from "../mod.ts";
import { cond, grad, type Tensor, tensor, vmap, whileLoop } from "../mod.ts";
import { interpret } from "../compile/interpret.ts";
import { near, onDevice, values } from "./support/own.ts";
import { testDevice } from "./support/check.ts";

const device = await testDevice();
const x = tensor([1, 2, 3]);
const up = (t: Tensor) => ({ y: m.mul(t, 2), n: m.cast(m.sum(t), "i32") });
const down = (t: Tensor) => ({ y: m.neg(m.square(t)), n: m.scalar(7, "i32") });

Deno.test("a number or truth value of the host's decides at once: only that function is called", () => {
  const never = (): Tensor => {
    throw new Error("called");
  };
  for (const truth of [true, 1, -2, NaN]) {
    assertEquals(values(cond(truth, () => x, never)), [1, 2, 3]);
  }
  for (const not of [false, 0, -0]) assertEquals(values(cond(not, never, () => x)), [1, 2, 3]);
});

Deno.test("a tensor decides on the device, for every element type, and what is taken carries the derivative", async () => {
  const step = m.compile(device, (p: Tensor, t: Tensor) => cond(p, up, down, t));
  const truths = [
    [m.scalar(1), m.scalar(0)],
    [m.scalar(NaN), m.scalar(-0)],
    [m.scalar(3, "u32"), m.scalar(0, "u32")],
    [m.scalar(-1, "i32"), m.scalar(0, "i32")],
    [m.scalar(0.5, "f16"), m.scalar(0, "f16")],
  ];
  for (const [yes, no] of truths) {
    near(await device.read(step(yes, x).y), [2, 4, 6]);
    near(await device.read(step(no, x).y), [-1, -4, -9]);
  }
  const { n } = step(m.scalar(1), x);
  assertEquals([n.dtype, await device.item(n)], ["i32", 6]);
  const slope = (p: number) => grad((t: Tensor) => m.sum(cond(m.scalar(p), up, down, t).y))(x);
  near(await onDevice(slope(1)), [2, 2, 2]);
  near(await onDevice(slope(0)), [-2, -4, -6]);
});

Deno.test("mapped, each example has its own choice", async () => {
  const absolute = (t: Tensor) => cond(m.less(t, 0), m.neg, (u: Tensor) => m.mul(u, 1), t);
  near(await onDevice(vmap(absolute)(tensor([-1, 2, -3]))), [1, 2, 3]);
  near(await onDevice(vmap(grad(absolute))(tensor([-1, 2, -3]))), [-1, 1, -1]);
});

Deno.test("a loop ends when its condition does: Collatz, Newton, and what a bound cuts off", async () => {
  const collatz = (n: Tensor) => {
    const half = m.div(n, 2);
    const odd = m.sub(n, m.mul(half, 2));
    return m.where(odd, m.add(m.mul(n, 3), 1), half);
  };
  const steps = (start: Tensor) =>
    whileLoop(
      ({ n }) => m.greaterEqual(n, 2),
      ({ n, count }) => ({ n: collatz(n), count: m.add(count, 1) }),
      { n: start, count: m.scalar(0, "u32") },
      { maxSteps: 20 },
    ).count;
  near(await onDevice(steps(m.scalar(6, "u32"))), [8]);
  near(await onDevice(vmap(steps)(tensor([1, 2, 6, 7, 27], [5], "u32"))), [0, 1, 8, 16, 20]);

  const root = (a: Tensor) =>
    whileLoop(
      (r) => m.less(1e-5, m.abs(m.sub(m.square(r), a))),
      (r) => m.mul(m.add(r, m.div(a, r)), 0.5),
      a,
      { maxSteps: 30 },
    );
  near(await onDevice(root(m.scalar(9))), [3]);
  near(interpret([grad(root)(m.scalar(9))])[0], [1 / 6], 1e-4);
  near(await onDevice(vmap(grad(root))(tensor([4, 9, 16]))), [1 / 4, 1 / 6, 1 / 8], 1e-3);
});

Deno.test("what cannot be decided is said by name", () => {
  // deno-lint-ignore no-explicit-any
  const [choose, loop] = [cond, whileLoop] as any[];
  const same = (t: Tensor) => t;
  const yes = m.scalar(1);
  const refused: [() => unknown, string][] = [
    [() => choose(yes, same), "cond: argument 3 (onFalse) is undefined, not a function"],
    [
      () => choose("yes", same, same, x),
      'cond: argument 1 (predicate) is the string "yes", not a tensor or a truth value',
    ],
    [
      () => choose(x, same, same, x),
      "is f32[3], not one truth value: where() chooses element by element",
    ],
    [() => choose(yes, same, m.sum, x), "cond: onTrue gave f32[3], onFalse gave f32[]"],
    [() => choose(yes, same, () => ({ y: x }), x), "onTrue gave f32[3], onFalse gave y f32[3]"],
    [() => choose(yes, same, () => m.cast(x, "f16"), x), "onFalse gave f16[3]"],
    [() => choose(yes, same, () => 3, x), "what onFalse gave is the number 3, not a tensor"],
    [() => loop(same, same, yes), "a program cannot stop by what it computes: options.maxSteps"],
    [
      () => loop(same, same, yes, { steps: 2 }),
      'there is no option "steps"; it takes { maxSteps }',
    ],
    [() => loop(same, same, yes, { maxSteps: -1 }), "options.maxSteps must be a whole number"],
    [
      () => loop(same, same, x, { maxSteps: 9 }),
      "what the condition gave is f32[3], not one truth value",
    ],
    [
      () => loop(() => true, same, yes, { maxSteps: 9 }),
      "what the condition gave is true, not a tensor",
    ],
    [() => loop(() => yes, m.square, tensor([1, 2], [2], "f16"), { maxSteps: 9 }), ""],
    [
      () => loop(() => yes, () => x, yes, { maxSteps: 9 }),
      "the body gave f32[3], the turn before gave f32[]",
    ],
  ];
  for (const [call, message] of refused) {
    if (message) assertThrows(call, Error, message);
    else call();
  }
  assert(refused.length > 10);
});
