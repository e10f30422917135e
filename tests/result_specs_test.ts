// A result is what tracing said, whatever memory it lies in: a reshape, a view, an argument, a constant, another result.
import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { compile, evaluate, type Leaf } from "../compile/compile.ts";
import { interpret } from "../compile/interpret.ts";
import { flatten, type Tree } from "../tensor/tree.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { add, mul, square } from "../ops/elementwise/arithmetic.ts";
import { expand, sum } from "../ops/broadcast.ts";
import { cast } from "../ops/elementwise/cast.ts";
import { concat, upsampleNearest } from "../ops/concat.ts";
import { layerNorm } from "../ops/norm/norm.ts";
import { literal, tensor } from "../ops/leaf.ts";
import { linear, matmul } from "../ops/matmul.ts";
import { max, mean } from "../ops/reduce.ts";
import { pad, permute, reshape, slice, transpose } from "../ops/movement.ts";
import { logSumExp } from "../ops/softmax.ts";
import { relativeError, testDevice } from "./support/check.ts";
import { test } from "./support/devices.ts";

const six = () => tensor([1, 2, 3, 4, 5, 6]);
const table = () => tensor([1, 2, 3, 4, 5, 6], [2, 3]);

/** Functions of `[6]` whose result lies in memory that has, or may have, another shape than the result. */
const KINDS: Record<string, (x: Tensor) => Tree<Tensor>> = {
  "an argument": (x) => x,
  "a reshaped argument": (x) => reshape(x, [3, 2]),
  "reshaped twice": (x) => reshape(reshape(x, [3, 2]), [1, 6, 1]),
  "a reshape of something computed": (x) => reshape(add(x, 1), [2, 3]),
  "a view": (x) => transpose(reshape(x, [2, 3])),
  "a view that is the whole": (x) => permute(reshape(x, [6, 1]), [1, 0]),
  "a window": (x) => slice(reshape(x, [2, 3]), 1, 1, 3),
  "a padded window": (x) => pad(reshape(x, [2, 3]), [[0, 0], [1, 2]]),
  "repeated along axes": (x) => expand(x, [2, 1, 6]),
  "a sum of all": (x) => sum(x),
  "a sum that drops an axis": (x) => sum(reshape(x, [3, 2]), [1]),
  "a sum that keeps it": (x) => sum(reshape(x, [3, 2]), [1], { keep: true }),
  "a maximum": (x) => max(reshape(x, [3, 2]), [0]),
  "a mean": (x) => mean(reshape(x, [3, 2]), [0]),
  "a log-sum-exp": (x) => logSumExp(reshape(x, [3, 2])),
  "a linear layer of three axes": (x) => linear(reshape(x, [1, 2, 3]), table()),
  "a product of three axes": (x) => matmul(reshape(x, [1, 2, 3]), reshape(six(), [3, 2])),
  "a norm": (x) => layerNorm(reshape(x, [1, 2, 3]), tensor([1, 2, 3]), tensor([0, 0, 1])),
  "an upsampling": (x) => upsampleNearest(reshape(x, [1, 2, 3, 1])),
  "joined": (x) => concat([reshape(x, [2, 3]), reshape(x, [2, 3])], 1),
  "whole numbers": (x) => reshape(cast(x, "i32"), [2, 3]),
  "a constant": () => table(),
  "a reshaped constant": () => reshape(table(), [3, 2]),
  "a number": () => expand(literal(3), [2, 1]),
  "two results over one buffer": (x) => {
    const y = mul(x, 2);
    return { flat: y, rows: reshape(y, [2, 3]), columns: reshape(y, [3, 2]) };
  },
  "one result twice": (x) => {
    const y = mul(x, 2);
    return [y, y, reshape(x, [2, 3]), x];
  },
  "a sum, and what it is used in": (x) => {
    const y = sum(square(x));
    return { loss: y, more: add(y, x) };
  },
};

/** That every result has the shape, the element type and the values that the trace of `f(x)` says. */
async function check(results: Tree<Tensor>, traced: Tree<Tensor>, what: string): Promise<void> {
  const device = await testDevice();
  const expected = flatten<Tensor>(traced).map(([, t]) => t);
  const values = interpret(expected);
  for (const [i, [path, t]] of flatten<Tensor>(results).entries()) {
    assertEquals(t.spec, expected[i].spec, `${what} ${path}`);
    const actual = Array.from(await device.read(t), Number);
    assert(relativeError(actual, values[i]) < 1e-5, `${what} ${path}: ${actual}`);
  }
}

for (const fuse of [true, false]) {
  const how = fuse ? "fused" : "unfused";
  test(`every kind of result is what tracing said: evaluated, ${how}`, async (device) => {
    for (const [what, f] of Object.entries(KINDS)) {
      await check(evaluate(device, f(six()), { fuse }), f(six()), what);
    }
  });

  test(`every kind of result is what tracing said: compiled, ${how}`, async (device) => {
    const places: Record<string, () => Leaf> = {
      host: six,
      device: () => evaluate(device, six()),
    };
    for (const [what, f] of Object.entries(KINDS)) {
      for (const [place, make] of Object.entries(places)) {
        for (const donate of [[], [0]]) {
          const step = compile(device, f as (x: Tensor) => Tree<Tensor>, { fuse, donate });
          const results = step(make() as Tensor);
          await check(results, f(six()), `${what}, from the ${place}, donated: [${donate}]`);
          step.free();
        }
      }
    }
  });

  test(`every kind of result is what tracing said: captured, ${how}`, async (device) => {
    for (const [what, f] of Object.entries(KINDS)) {
      const captured = evaluate(device, six());
      const step = compile(device, () => f(captured), { fuse });
      await check(step(), f(six()), what);
      step.free();
    }
  });
}

test("a result goes into the next program as what it is", async (device) => {
  const loss = evaluate(device, sum(reshape(six(), [3, 2]), [1]));
  const off = compile(device, (a: Tensor, b: Tensor) => sum(square(add(a, mul(b, -1)))));
  assertEquals(await device.item(off(loss, tensor([3, 7, 11]))), 0);
  off.free();
});

test("results over one donated buffer share a handle, and stay good until it is given on", async (device) => {
  const step = compile(device, (x: Tensor) => {
    const y = add(x, 1);
    return { flat: y, again: y, rows: reshape(y, [2, 3]) };
  }, { donate: [0] });
  const first = step(evaluate(device, six()));
  assertEquals(Array.from(await device.read(first.again)), [2, 3, 4, 5, 6, 7]);
  assertEquals(Array.from(await device.read(first.flat)), [2, 3, 4, 5, 6, 7]);
  assertEquals(first.rows.shape, [2, 3]);
  const second = step(first.flat);
  await assertRejects(() => device.read(first.again), Error, "donated");
  assertEquals(Array.from(await device.read(second.rows)), [3, 4, 5, 6, 7, 8]);
  step.free();
});

test("memory that is given twice is taken once: whoever else has it reads what was passed", async (device) => {
  const values = (from: number) => [0, 1, 2, 3, 4, 5].map((i) => i + from);
  const expectAll = async (results: readonly Tensor[], from: readonly number[], what: string) => {
    for (const [i, r] of results.entries()) {
      assertEquals(Array.from(await device.read(r)), values(from[i]), `${what}, result ${i}`);
    }
  };
  for (const donate of [[], [0], [1], [0, 1], [2], [0, 1, 2]]) {
    for (const fuse of [true, false]) {
      const what = `donated: [${donate}], fuse=${fuse}`;
      const fs: [(a: Tensor, b: Tensor, c: Tensor) => Tensor[], number[]][] = [
        [(a, b, c) => [add(a, 1), add(b, 2), add(c, 3)], [2, 3, 4]],
        [(a, b, c) => [a, b, add(c, 3)], [1, 1, 4]],
        [(a, b, c) => [add(a, b), c].map((t, i) => i ? t : mul(t, 0.5)), [1, 1]],
      ];
      for (const [f, from] of fs) {
        const step = compile(device, f, { donate, fuse });
        const e = evaluate(device, six());
        await expectAll(step(e, e, e), from, what);
        const others = [0, 1, 2].map(() => evaluate(device, six()));
        await expectAll(step(others[0], others[1], others[2]), from, `${what}, apart`);
        step.free();
      }
      const captured = evaluate(device, six());
      const alone = donate.filter((k) => k === 0);
      const step = compile(device, (a: Tensor) => [add(a, 1), add(captured, 2)], {
        donate: alone,
        fuse,
      });
      await expectAll(step(captured), [2, 3], `${what}, captured`);
      step.free();
      // A loop whose results lie in one memory, as averages that start at what they follow do.
      const loop = compile(
        device,
        (s: { p: Tensor; q: Tensor }) => ({ p: add(s.p, 1), q: add(s.q, 2) }),
        { donate: alone, fuse },
      );
      const start = evaluate(device, six());
      let state = loop({ p: start, q: start });
      for (let i = 0; i < 2; i++) state = loop(state);
      await expectAll([state.p, state.q], [4, 7], `${what}, in a loop`);
      loop.free();
    }
  }
});

test("a result that is the program's own copy of an argument says when it is stale", async (device) => {
  const step = compile(device, (x: Tensor) => [x, add(x, 1)]);
  const first = step(evaluate(device, six()));
  const second = step(first[1]);
  assertEquals(Array.from(await device.read(second[0])), [2, 3, 4, 5, 6, 7]);
  const third = step(second[1]);
  await assertRejects(() => device.read(second[0]), Error, "ran again");
  assertEquals(Array.from(await device.read(third[0])), [3, 4, 5, 6, 7, 8]);
  step.free();
});

test("chains of reshapes, views and sums come out as traced", async (device) => {
  const steps: Record<string, (x: Tensor) => Tensor> = {
    fold: (x) => reshape(x, [-1, 2]),
    flat: (x) => reshape(x, [-1]),
    lead: (x) => reshape(x, [1, ...x.shape]),
    turn: (x) => x.shape.length > 1 ? transpose(x) : x,
    add: (x) => add(x, 1),
    sum: (x) => x.shape.length > 1 && x.size > 2 ? sum(x, [0]) : x,
    widen: (x) => x.size < 24 ? concat([x, x], 0) : x,
  };
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom(...Object.keys(steps)), { minLength: 1, maxLength: 6 }),
      fc.boolean(),
      async (names, fuse) => {
        const f = (x: Tensor) =>
          names.reduce((t, n) => n === "fold" && t.size % 2 ? t : steps[n](t), x);
        await check(evaluate(device, f(six()), { fuse }), f(six()), names.join(" → "));
      },
    ),
    { numRuns: 40 },
  );
});
