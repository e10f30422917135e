// scan is the loop that it stands for: its values, its derivatives, many at once, and in programs that do not grow with it.
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import * as m from "../mod.ts";
import {
  compile,
  debugRun,
  evaluate,
  grad,
  scan,
  ShapeError,
  type Tensor,
  tensor,
  vmap,
} from "../mod.ts";
import { interpret } from "../compile/interpret.ts";
import { flatten, type Tree } from "../tensor/tree.ts";
import { sizeOf } from "../tensor/shape.ts";
import { near } from "./support/own.ts";
import { testDevice, uniform } from "./support/check.ts";
import { test } from "./support/devices.ts";

const draw = uniform(3);
const random = (shape: number[], dtype: "f32" | "f16" = "f32") =>
  m.cast(
    tensor(
      Array.from({ length: sizeOf(shape) }, () => Math.fround(Math.round(draw() * 64) / 64)),
      shape,
    ),
    dtype,
  );
const at = (t: Tensor, i: number) => m.reshape(m.slice(t, 0, i, i + 1), t.shape.slice(1));
const leaves = (tree: unknown) => flatten<Tensor>(tree as Tree<Tensor>).map(([, t]) => t);

/** Turn by turn, as JavaScript has it. */
function byHand<C, X, Y>(
  f: (c: C, x: X) => readonly [C, Y],
  init: C,
  xs: X,
  n: number,
  reverse = false,
): [C, Y[]] {
  let carry = init;
  const ys: Y[] = [];
  for (let k = 0; k < n; k++) {
    const i = reverse ? n - 1 - k : k;
    const x = m.mapTree<Tensor, Tensor>(xs as Tree<Tensor>, (t) => at(t, i)) as X;
    [carry, ys[i]] = f(carry, x);
  }
  return [carry, ys];
}

/** That tensors hold on the device, fused and not, what others hold by definition. */
async function same(
  what: string,
  actual: readonly Tensor[],
  expected: readonly Tensor[],
  most = 1e-4,
): Promise<void> {
  const device = await testDevice();
  assertEquals(actual.map((t) => t.spec), expected.map((t) => t.spec), what);
  const exact = interpret([...expected]);
  interpret([...actual]).forEach((v, i) => near(v, exact[i], 1e-9));
  for (const fuse of [true, false]) {
    for (const [i, t] of evaluate(device, [...actual], { fuse }).entries()) {
      near(Array.from(await device.read(t), Number), exact[i], most);
      device.free(t);
    }
  }
}

/** Results of each turn, stacked. */
const stack = (ys: readonly Tensor[]) => m.concat(ys.map((y) => m.reshape(y, [1, ...y.shape])), 0);

interface Loop {
  readonly f: (c: Tensor[], x: Tensor[], w: Tensor[]) => readonly [Tensor[], Tensor[]];
  readonly init: number[][];
  readonly xs: number[][];
  readonly ws: number[][];
}

const LOOPS: Record<string, Loop> = {
  "a recurrent net": {
    f: ([h], [x], [w, u]) => {
      const next = m.tanh(
        m.add(m.matmul(m.reshape(h, [1, 4]), w), m.matmul(m.reshape(x, [1, 3]), u)),
      );
      return [[m.reshape(next, [4])], [m.square(m.reshape(next, [4]))]];
    },
    init: [[4]],
    xs: [[3]],
    ws: [[4, 4], [3, 4]],
  },
  "carries that change places": {
    f: ([a, b, c], [x]) => [[b, c, m.add(a, x)], [m.mul(a, b), c]],
    init: [[3], [3], [3]],
    xs: [[3]],
    ws: [],
  },
  "a carry that stays, and an element that becomes one": {
    f: ([a, b], [x], [w]) => [[a, x], [m.mul(b, w)]],
    init: [[2], [5]],
    xs: [[5]],
    ws: [[]],
  },
  "results that are what was read": {
    f: ([a], [x], [w]) => [[m.add(a, m.sum(m.mul(x, w)))], [x, w, a]],
    init: [[]],
    xs: [[3]],
    ws: [[3]],
  },
  "no result": {
    f: ([a], [x], [w]) => [[m.mul(m.add(a, x), w)], []],
    init: [[6]],
    xs: [[6]],
    ws: [[6]],
  },
  "no carry": {
    f: (_none, [x], [w]) => [[], [m.sin(m.mul(x, w))]],
    init: [],
    xs: [[2, 3]],
    ws: [[3]],
  },
  "a norm, a softmax and a reduction": {
    f: ([a], [x], [g]) => {
      const y = m.softmax(m.layerNorm(m.add(a, x), g, g));
      return [[m.sub(a, m.mul(y, 0.5))], [m.max(y, [1])]];
    },
    init: [[2, 8]],
    xs: [[2, 8]],
    ws: [[8]],
  },
};

/** A loop over flat lists, in either way. */
const run = (
  { f, init, xs }: Loop,
  all: Tensor[],
  n: number,
  loop: boolean,
  reverse: boolean,
): Tensor[] => {
  const [c, x, w] = [
    all.slice(0, init.length),
    all.slice(init.length, init.length + xs.length),
    all.slice(init.length + xs.length),
  ];
  if (loop) {
    return leaves(scan((c: Tensor[], x: Tensor[]) => f(c, x, w), c, x, { reverse, length: n }));
  }
  const [carry, ys] = byHand((c: Tensor[], x: Tensor[]) => f(c, x, w), c, x, n, reverse);
  return [...carry, ...(ys[0] ?? []).map((_, i) => stack(ys.map((y) => y[i])))];
};
const inputs = ({ init, xs, ws }: Loop, n: number, dtype: "f32" | "f16" = "f32") => [
  ...init.map((s) => random(s, dtype)),
  ...xs.map((s) => random([n, ...s], dtype)),
  ...ws.map((s) => random(s, dtype)),
];
const total = (ts: readonly Tensor[]) =>
  ts.map((t, i) => m.sum(m.mul(m.sin(m.cast(t, "f32")), i + 1))).reduce((a, b) => m.add(a, b));

for (const [name, loop] of Object.entries(LOOPS)) {
  test(`scan, ${name}: values and two orders of derivatives, forwards and back, few turns and many`, async ({ profile: { cpu } }) => {
    for (const n of cpu ? [1, 4, 5, 9] : [5]) {
      for (const reverse of cpu ? [false, true] : [true]) {
        const all = inputs(loop, n);
        await same(
          `${n} turns`,
          run(loop, all, n, true, reverse),
          run(loop, all, n, false, reverse),
        );
        const loss = (way: boolean) => (x: Tensor[]) => total(run(loop, x, n, way, reverse));
        const [a, b] = [true, false].map((way) => grad(loss(way))(all));
        await same(`gradient of ${n} turns`, a, b, 1e-3);
        if (n === 4) continue;
        const along = inputs(loop, n);
        const [c, d] = [true, false].map((way) => m.hvp(loss(way), all, along));
        if (n === 5) await same(`Hessian of ${n} turns`, c, d, 5e-3);
        c.forEach((t, i) => near(interpret([t])[0], interpret([d[i]])[0], 1e-7));
        const [e, f] = [true, false].map((way) =>
          grad((x: Tensor[]) => total(grad(loss(way))(x)))(all)
        );
        e.forEach((t, i) => near(interpret([t])[0], interpret([f[i]])[0], 1e-7));
      }
    }
  });

  Deno.test(`scan, ${name}: many examples at once are each alone, whichever inputs differ`, async () => {
    const [n, size] = [6, 3];
    const count = inputs(loop, n).length;
    for (let mask = 1; mask < 2 ** count; mask++) {
      const which = Array.from({ length: count }, (_, i) => (mask >> i) % 2 === 1);
      const one = inputs(loop, n);
      const all = one.map((t, i) => which[i] ? random([size, ...t.shape]) : t);
      const f = (
        ...x: Tensor[]
      ) => [
        ...run(loop, x, n, true, false),
        ...grad((y: Tensor[]) => total(run(loop, y, n, true, false)))(x),
      ];
      const batch = vmap(f, { inAxes: which.map((w) => w ? 0 : null) })(...all);
      const each = Array.from(
        { length: size },
        (_, i) => f(...all.map((t, k) => which[k] ? at(t, i) : t)),
      );
      batch.forEach((t, k) =>
        near(interpret([t])[0], interpret([stack(each.map((e) => e[k]))])[0], 1e-7)
      );
      if (mask === 2 ** count - 1) {
        await same(
          "a batch",
          batch,
          batch.map((_, k) => stack(each.map((e) => e[k]))),
          1e-3,
        );
      }
    }
  });
}

test("halves of odd length share words, whole numbers are carried, and nothing is lost between them", async (device) => {
  const f = ([a, n]: Tensor[], x: Tensor): [Tensor[], Tensor[]] => [
    [m.add(m.mul(a, 0.5), x), m.add(n, 1)],
    [a, n, x],
  ];
  for (const width of [1, 3, 4, 5]) {
    for (const reverse of [false, true]) {
      const init = [random([width], "f16"), tensor([7], [], "i32")];
      const xs = random([9, width], "f16");
      const [carry, ys] = scan(f, init, xs, { reverse });
      const [by, each] = byHand(f, init, xs, 9, reverse);
      assertEquals(carry[0].dtype, "f16");
      const actual = [...carry, ...ys],
        expected = [...by, ...each[0].map((_, i) => stack(each.map((y) => y[i])))];
      const exact = interpret(expected);
      for (const [i, t] of evaluate(device, actual).entries()) {
        near(Array.from(await device.read(t), Number), exact[i], 2e-3);
      }
    }
  }
});

test("scans nest, stand in checkpoints, and read what lies outside of them", async () => {
  const xs = random([5, 6, 2]);
  const w = random([2]);
  const inner = (c: Tensor, x: Tensor) => {
    const d = m.tanh(m.mul(m.add(c, x), w));
    return [d, m.sum(d)] as const;
  };
  const outer = (way: typeof scan) => (c: Tensor, rows: Tensor) => {
    const [d, ys] = way(inner, c, rows);
    return [m.mul(d, 0.9), m.sum(ys as Tensor)] as const;
  };
  const flat = ((f: Any, c: Any, x: Tensor) => {
    const [d, ys] = byHand(f, c, x, x.shape[0]);
    return [d, stack(ys as Tensor[])];
  }) as typeof scan;
  const f = (way: typeof scan) => (x: Tensor, v: Tensor) => {
    const [c, ys] = way(outer(way), v, x);
    return m.add(m.sum(c), m.sum(m.square(ys as Tensor)));
  };
  const v = random([2]);
  const both = (
    way: typeof scan,
  ) => [f(way)(xs, v), grad(f(way))(xs, v), grad((u: Tensor) => f(way)(xs, u))(v)];
  await same("nested", both(scan), both(flat), 1e-3);
  const checked = (x: Tensor) => m.checkpoint((y: Tensor) => f(scan)(y, v))(x);
  await same("in a checkpoint", [grad(checked)(xs)], [grad(f(flat))(xs, v)], 1e-3);
});

test("property: a scan of any extents is the loop", async ({ profile: { cpu } }) => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 12 }),
      fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 3 }),
      fc.boolean(),
      async (n, shape, reverse) => {
        const f = (c: Tensor, x: Tensor) => [m.add(m.mul(c, 0.5), x), m.sub(x, c)] as const;
        const [init, xs] = [random(shape), random([n, ...shape])];
        const [carry, ys] = scan(f, init, xs, { reverse });
        assertEquals([carry.shape, ys.shape], [shape, [n, ...shape]]);
        const [by, each] = byHand(f, init, xs, n, reverse);
        if (n) await same(`${n} of [${shape}]`, [carry, ys], [by, stack(each)]);
        else assert(carry === init);
      },
    ),
    { numRuns: cpu ? 25 : 4, seed: 5 },
  );
});

Deno.test("a program does not grow with the turns: not its kernels, nor the time that it takes to make", async () => {
  const device = await testDevice();
  const w = random([8, 8]);
  const step = compile(device, (x: Tensor, h: Tensor) => {
    const loss = (x: Tensor, h: Tensor) => {
      const f = (c: Tensor, e: Tensor) => [m.tanh(m.add(m.matmul(c, w), e)), undefined] as const;
      return m.sum(scan(f, h, x)[0]);
    };
    return m.valueAndGrad(loss)(x, h);
  });
  const h = random([1, 8]);
  const kernels: number[] = [], times: number[] = [];
  for (const n of [16, 16, 20_000]) {
    const x = random([n, 1, 8]);
    const before = performance.now();
    const plan = step.plan(x, h);
    times.push(performance.now() - before);
    kernels.push(plan.dispatches.length);
  }
  assertEquals(kernels[2], kernels[0]);
  assert(times[2] < 5 * times[1] + 50, `${times} ms`);
  const { value, grads } = step(random([500, 1, 8]), h);
  assert(Number.isFinite(await device.item(value)));
  assertEquals(grads.shape, [500, 1, 8]);
});

test("a loop is explained, measured and debugged, and runs again and again on donated memory", async (device) => {
  const f = (c: Tensor, x: Tensor) => [m.add(m.mul(c, 0.5), x), m.square(c)] as const;
  const step = compile(device, (c: Tensor, x: Tensor) => scan(f, c, x), { donate: [0] });
  const x = random([10, 4]);
  let c = evaluate(device, random([4]));
  const [init] = interpret([random([4])]);
  assertStringIncludes(m.explain(step.plan(c, x)), "(×10)");
  const report = await debugRun(step, [c, x]);
  assertEquals(report.problem, undefined);
  assert(report.checked > 20);
  const rows = await m.profile(step, [c, x], { repeats: 1 });
  assert(rows.dispatches.length < 10 && rows.milliseconds > 0);
  let expected = Array.from(await device.read(c), Number);
  for (let k = 0; k < 3; k++) {
    const [exact] = interpret([scan(f, tensor(expected), x)[0]]);
    c = step(c, x)[0];
    expected = Array.from(await device.read(c), Number);
    near(expected, exact, 1e-5);
  }
  assertEquals(init.length, 4);
});

// deno-lint-ignore no-explicit-any
type Any = any;

Deno.test("what a scan cannot do is said by name before anything is computed", () => {
  const f = (c: Tensor, x: Tensor) => [m.add(c, x), c] as const;
  const [x, c] = [tensor([1, 2, 3]), m.scalar(0)];
  const go = scan as Any;
  const refused: [() => unknown, string][] = [
    [() => go(3, c, x), "scan: argument 1 (fn) is the number 3"],
    [() => go(f, 0, x), "scan: init is the number 0, not a tensor: scalar(x)"],
    [() => go(f, c, 3), "scan: xs is the number 3, not a tensor"],
    [() => go(f, { h: 1 }, x), 'scan: init "h" is the number 1'],
    [() => go(f, c, x, { unroll: 2 }), 'there is no option "unroll"; it takes { length, reverse }'],
    [() => go(f, c, c), "xs is f32[], without an axis to walk along"],
    [() => go(f, c, x, { length: 2 }), "xs is f32[3], of 3 elements for 2 turns"],
    [() => go(f, c, { a: x, b: tensor([1]) }), 'xs "b" is f32[1], of 1 elements for 3 turns'],
    [() => go(f, c, undefined), "without xs, options.length says how many turns there are"],
    [() => go(f, c, x, { length: 1.5 }), "options.length must be a whole number"],
    [() => go(() => c, c, x), "scan: the function gave the tensor f32[], not [carry, result]"],
    [() => go(() => [x, c], c, x), "the carry is f32[] before a turn, f32[3] after it"],
    [
      () => go(() => [m.cast(c, "f16"), c], c, x),
      "the carry is f32[] before a turn, f16[] after it",
    ],
    [
      () => go(({ h }: Any) => [{ g: h }, h], { h: c }, x),
      'the carry has "h" before a turn, "g" after it',
    ],
    [() => go(() => [3, c], c, x), "scan: the carry is the number 3, not a tensor"],
    [() => go(() => [c, 3], c, x), "scan: result is the number 3, not a tensor"],
  ];
  for (const [call, message] of refused) assertThrows(call, Error, message);
  assert(ShapeError !== undefined);
});
