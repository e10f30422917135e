// Every distribution: the same bits on the host and on both devices, and numbers that are distributed as they should be.
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import * as m from "../mod.ts";
import { interpret } from "../compile/interpret.ts";
import type { Device } from "../device/device.ts";
import { hostPermutation } from "../ops/random/choose.ts";
import { normalBelow } from "../ops/random/distributions.ts";
import { hostKey } from "../ops/random/keys.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { test } from "./support/devices.ts";

const KEY = m.randomKey(2 ** 40 + 17);
const read = async (device: Device, t: Tensor) => {
  const result = m.evaluate(device, t);
  const values = Float64Array.from(await device.read(result) as Float32Array);
  device.free(result);
  return values;
};

/** Draws of every kind. */
const DRAWS: Record<string, (key: Tensor, n: number) => Tensor> = {
  randomBits: (k, n) => m.randomBits(k, [n]),
  randomUniform: (k, n) => m.randomUniform(k, [n]),
  randomNormal: (k, n) => m.randomNormal(k, [n]),
  randomExponential: (k, n) => m.randomExponential(k, [n]),
  randomGumbel: (k, n) => m.randomGumbel(k, [n]),
  randomLaplace: (k, n) => m.randomLaplace(k, [n]),
  "randomTruncatedNormal of the middle": (k, n) => m.randomTruncatedNormal(k, [n]),
  "randomTruncatedNormal of a tail": (k, n) =>
    m.randomTruncatedNormal(k, [n], { lower: 6, upper: Infinity }),
  "randomTruncatedNormal of the other": (k, n) =>
    m.randomTruncatedNormal(k, [n], { lower: -9, upper: -1 }),
  "randomInt of few": (k, n) => m.randomInt(k, [n], -3, 4),
  "randomInt of all": (k, n) => m.randomInt(k, [n], 0, 2 ** 32, { dtype: "u32" }),
  "randomInt of many": (k, n) => m.randomInt(k, [n], -(2 ** 31), 2 ** 31 - 1),
  randomBernoulli: (k, n) => m.randomBernoulli(k, 0.3, [n]),
  randomCategorical: (k, n) =>
    m.randomCategorical(k, m.tensor([0.5, -Infinity, 1.5, 0]), { shape: [n] }),
  randomPermutation: (k, n) => m.randomPermutation(k, n),
  randomChoice: (k, n) => m.randomChoice(k, 7, [n]),
  "randomChoice by weight": (k, n) => m.randomChoice(k, 5, [n], { p: [0, 1, 2, 0, 5] }),
  "randomChoice once each": (k, n) => m.randomChoice(k, 2 * n, [n], { replace: false }),
  "randomChoice once each by weight": (k, n) =>
    m.randomChoice(k, n, [n], {
      replace: false,
      p: Float64Array.from({ length: n }, (_, i) => i + 1),
    }),
};

test("every draw has the bits of the host, and of the other device", async (device) => {
  for (const [name, draw] of Object.entries(DRAWS)) {
    for (const n of [515, 1]) {
      const t = draw(KEY, n);
      assertEquals(await read(device, t), interpret([t])[0], `${name} of ${n}`);
    }
  }
});

test("keys that a program splits and folds are those of the host", async (device) => {
  const step = m.compile(device, (key: Tensor, n: Tensor) => ({
    split: m.randomSplit(key, 3),
    one: m.foldIn(key, 7),
    many: m.foldIn(key, n),
  }));
  const numbers = m.tensor(Uint32Array.of(0, 1, 2, 7, 0xffffffff));
  const made = step(KEY, numbers);
  const [many, one, ...split] = await Promise.all(
    [made.many, made.one, ...made.split].map((t) => device.read(t)),
  );
  const host = [0, 1, 2, 7, 0xffffffff].map((n) => [...hostKey("", m.foldIn(KEY, n))]);
  assertEquals([...many], host.flat());
  assertEquals([...one], host[3]);
  assertEquals(split.map((k) => [...k]), host.slice(0, 3));
});

/** Largest distance of an empirical distribution from the one that it should be, in units of 1/√n. */
function distance(values: Float64Array, below: (x: number) => number): number {
  const x = values.slice().sort(), n = x.length;
  let worst = 0;
  x.forEach((v, i) => {
    const p = below(v);
    worst = Math.max(worst, Math.abs(p - i / n), Math.abs(p - (i + 1) / n));
  });
  return worst * Math.sqrt(n);
}

const between = (lower: number, upper: number) => (x: number) =>
  (normalBelow(x) - normalBelow(lower)) / (normalBelow(upper) - normalBelow(lower));
/** Distribution functions. */
const BELOW: Record<
  string,
  [draw: (k: Tensor, n: number) => Tensor, below: (x: number) => number]
> = {
  uniform: [DRAWS.randomUniform, (x) => x],
  normal: [DRAWS.randomNormal, normalBelow],
  exponential: [DRAWS.randomExponential, (x) => -Math.expm1(-x)],
  gumbel: [DRAWS.randomGumbel, (x) => Math.exp(-Math.exp(-x))],
  laplace: [DRAWS.randomLaplace, (x) => x < 0 ? Math.exp(x) / 2 : 1 - Math.exp(-x) / 2],
  "truncated in the middle": [DRAWS["randomTruncatedNormal of the middle"], between(-2, 2)],
  "truncated at one side": [
    (k, n) => m.randomTruncatedNormal(k, [n], { lower: -0.5, upper: 3 }),
    between(-0.5, 3),
  ],
  // By the other tail, which has the digits.
  "truncated in a tail": [
    (k, n) => m.neg(m.randomTruncatedNormal(k, [n], { lower: 6, upper: Infinity })),
    between(-Infinity, -6),
  ],
};

Deno.test("numbers are distributed as they should be, and not as their neighbours are", () => {
  const n = 20000;
  for (const [name, [draw, below]] of Object.entries(BELOW)) {
    const values = interpret([draw(KEY, n)])[0];
    // Kolmogorov–Smirnov: 1.95 is passed by 1 in 1000 draws.
    const d = distance(values, below);
    assert(d < 1.95, `${name}: ${d}`);
    const shifted = distance(values, (x) => below(x * 1.05 + 0.01));
    assert(shifted > 1.95, `${name}, which is hardly another: ${shifted}`);
  }
});

/** χ² of counts against probabilities. */
function chi(values: Float64Array, p: readonly number[]): number {
  const counts = p.map(() => 0);
  values.forEach((v) => counts[v]++);
  return p.reduce(
    (sum, q, i) =>
      sum + (q ? (counts[i] - q * values.length) ** 2 / (q * values.length) : counts[i] * 1e9),
    0,
  );
}

Deno.test("choices are as likely as they should be", () => {
  const n = 20000;
  const exps = [0.5, -Infinity, 1.5, 0].map(Math.exp), sum = exps.reduce((a, b) => a + b);
  const cases: [string, Tensor, number[]][] = [
    ["ints", m.add(m.randomInt(KEY, [n], -3, 4), 3), Array(7).fill(1 / 7)],
    ["bernoulli", m.randomBernoulli(KEY, 0.3, [n]), [0.7, 0.3]],
    ["categorical", DRAWS.randomCategorical(KEY, n), exps.map((e) => e / sum)],
    ["choice", DRAWS.randomChoice(KEY, n), Array(7).fill(1 / 7)],
    ["weighted choice", DRAWS["randomChoice by weight"](KEY, n), [0, 1 / 8, 2 / 8, 0, 5 / 8]],
  ];
  for (const [name, t, p] of cases) {
    const of = chi(interpret([t])[0], p);
    assert(of < 30, `${name}: ${of}`);
    const other = p.map((q, i) => i % 2 ? q * 1.1 : q * 0.9);
    assert(chi(interpret([t])[0], other) > 30, `${name} is told from what is hardly another`);
  }
});

Deno.test("every order of four is as likely, and every pair without repetition by its weights", () => {
  const orders = new Map<string, number>();
  const pairs = new Map<string, number>();
  const n = 6000, p = [1, 2, 3];
  for (let i = 0; i < n; i++) {
    const key = m.foldIn(KEY, i);
    const order = interpret([m.randomPermutation(key, 4)])[0].join();
    orders.set(order, (orders.get(order) ?? 0) + 1);
    if (i >= 3000) continue;
    const pair = interpret([m.randomChoice(key, 3, [2], { replace: false, p })])[0].join();
    pairs.set(pair, (pairs.get(pair) ?? 0) + 1);
  }
  assertEquals(orders.size, 24);
  const spread = [...orders.values()].reduce((s, c) => s + (c - n / 24) ** 2 / (n / 24), 0);
  assert(spread < 60, `χ² of 24 orders is ${spread}`);
  for (const [pair, count] of pairs) {
    const [a, b] = pair.split(",").map(Number);
    const likely = p[a] / 6 * p[b] / (6 - p[a]);
    assert(Math.abs(count / 3000 - likely) < 4 * Math.sqrt(likely / 3000), `${pair}: ${count}`);
  }
});

Deno.test("an order has every number once, on the host as on a device, and shuffles slices as wholes", () => {
  fc.assert(
    fc.property(fc.nat(300), fc.nat(), (n, seed) => {
      const key = m.randomKey(seed);
      const [order] = interpret([m.randomPermutation(key, n)]);
      assertEquals([...order].sort((a, b) => a - b), Array.from({ length: n }, (_, i) => i));
      assertEquals([...hostPermutation(hostKey("", key), n)], [...order]);
      const rows = m.tensor(Float32Array.from({ length: n * 2 }, (_, i) => i), [n, 2]);
      const [shuffled] = interpret([m.randomPermutation(key, rows)]);
      assertEquals([...shuffled], [...order].flatMap((i) => [2 * i, 2 * i + 1]));
    }),
    { numRuns: 25 },
  );
  // Two sorts, where one would leave ties in their order.
  const [long] = interpret([m.randomPermutation(KEY, 3000)]);
  assertEquals([...hostPermutation(hostKey("", KEY), 3000)], [...long]);
});

Deno.test("keys: splitting is folding, prefixes agree, none is another", () => {
  const words = (t: Tensor) => [...interpret([t])[0]].join();
  fc.assert(
    fc.property(fc.nat(), fc.nat(40), fc.nat(40), (seed, a, b) => {
      const key = m.randomKey(seed);
      const some = m.randomSplit(key, a).map(words), others = m.randomSplit(key, b).map(words);
      const n = Math.min(a, b);
      assertEquals(some.slice(0, n), others.slice(0, n));
      assertEquals(some, Array.from({ length: a }, (_, i) => words(m.foldIn(key, i))));
      assertEquals(new Set([...some, words(key)]).size, a + 1);
    }),
    { numRuns: 30 },
  );
});

test("vmap over keys draws what each key draws", async (device) => {
  const keys = m.foldIn(KEY, m.iota(3, "u32"));
  for (const [name, draw] of Object.entries(DRAWS)) {
    const each = (k: Tensor) => draw(k, 6);
    const all = await read(device, m.vmap(each)(keys));
    const alone = m.randomSplit(KEY, 3).flatMap((k) => [...interpret([each(k)])[0]]);
    assertEquals([...all], alone, name);
  }
  // Keys of keys.
  const nested = m.vmap((k: Tensor) => m.stack(m.randomSplit(k, 2)))(keys);
  assertEquals(
    [...await read(device, nested)],
    m.randomSplit(KEY, 3).flatMap((k) => m.randomSplit(k)).flatMap((k) => [...interpret([k])[0]]),
  );
});

Deno.test("what can't be drawn is refused by name", () => {
  const { tensor } = m;
  const cases: [() => unknown, ErrorConstructor | typeof m.ShapeError, string][] = [
    [() => m.randomKey(0.5), RangeError, "a seed is a whole number"],
    [() => m.randomKey(undefined as unknown as number), TypeError, "seed) is undefined"],
    [() => m.randomSplit(tensor([1, 2])), m.ShapeError, "the key must be u32[2], not f32[2]"],
    [() => m.randomSplit(KEY, -1), m.ShapeError, "count must be a whole number"],
    [() => m.foldIn(KEY, -1), RangeError, "foldIn takes a u32, not -1"],
    [() => m.foldIn(KEY, tensor([1, 2])), m.ShapeError, "numbers must be u32"],
    [() => m.randomInt(KEY, [2], 3, 3), RangeError, "no number from 3 to below 3"],
    [() => m.randomInt(KEY, [2], 0, NaN), RangeError, "no number from 0 to below NaN"],
    [() => m.randomInt(KEY, [2], 0, 2 ** 31 + 1), RangeError, "2147483648 is no i32"],
    [() => m.randomInt(KEY, [2], 0.5, 3), RangeError, "0.5 is no i32"],
    [() => m.randomInt(KEY, [2], 0, 3, { dtype: "f32" }), m.ShapeError, "draws i32 or u32"],
    [() => m.randomBernoulli(KEY, 1.5), RangeError, "p 1.5 is not from 0 to 1"],
    [() => m.randomBernoulli(KEY, NaN), RangeError, "p NaN is not from 0 to 1"],
    [() => m.randomBernoulli(KEY, tensor([0, 1]), [3]), m.ShapeError, "broadcast"],
    [() => m.randomCategorical(KEY, tensor([1, 2]), { shape: [3, 4], axis: 0.5 }), Error, "axis"],
    [() => m.randomCategorical(KEY, m.zeros([2, 0])), m.ShapeError, "no class in f32[2,0]"],
    [() => m.randomCategorical(KEY, m.zeros([2, 3]), { shape: [3] }), m.ShapeError, "does not end"],
    [
      () => m.randomChoice(KEY, 3, [4], { replace: false }),
      RangeError,
      "3 possible ones without rep",
    ],
    [() => m.randomChoice(KEY, 0, [1]), RangeError, "1 of 0 possible ones"],
    [
      () => m.randomChoice(KEY, 2, [2], { p: [1, 0], replace: false }),
      RangeError,
      "2 of 1 possible",
    ],
    [() => m.randomChoice(KEY, 2, [1], { p: [1] }), RangeError, "options.p has 1 numbers for 2"],
    [() => m.randomChoice(KEY, 2, [1], { p: [1, NaN] }), RangeError, "options.p has NaN at 1"],
    [() => m.randomChoice(KEY, 2, [1], { p: [0, 0] }), RangeError, "1 of 0 possible"],
    [() => m.randomTruncatedNormal(KEY, [1], { lower: 2, upper: 2 }), RangeError, "not below"],
    [() => m.randomTruncatedNormal(KEY, [1], { lower: NaN }), RangeError, "lower NaN"],
    [() => m.randomTruncatedNormal(KEY, [1], { lower: 20, upper: 30 }), RangeError, "1e-37"],
  ];
  for (const [call, type, message] of cases) assertThrows(call, type, message);
  // Repetition is what was asked for, so its lack is not the reason.
  const none = assertThrows(() => m.randomChoice(KEY, 0, [1]), RangeError);
  assertEquals(none.message, "randomChoice: 1 of 0 possible ones");
});

Deno.test("bounds hold, and nothing, one and certainty are drawn, too", () => {
  const values = (t: Tensor) => [...interpret([t])[0]];
  const far = values(m.randomTruncatedNormal(KEY, [5000], { lower: 1, upper: 1.0001 }));
  assert(far.every((v) => v >= 1 && v <= Math.fround(1.0001)));
  assertEquals(values(m.randomBernoulli(KEY, 1, [100])).includes(0), false);
  assertEquals(values(m.randomBernoulli(KEY, 0, [100])).includes(1), false);
  assertEquals(values(m.randomChoice(KEY, 3, [4], { p: [0, 2, 0] })), [1, 1, 1, 1]);
  assertEquals(values(m.randomChoice(KEY, 0, [0])), []);
  assertEquals(values(m.randomPermutation(KEY, 0)), []);
  assertEquals(m.randomSplit(KEY, 0), []);
  assertEquals(values(m.randomInt(KEY, [3], 5, 6)), [5, 5, 5]);
  assertEquals(m.randomCategorical(KEY, m.zeros([2, 3, 4]), { axis: 1 }).shape, [2, 4]);
  const picked = m.randomChoice(KEY, m.zeros([2, 3, 4]), [5, 6], { axis: 1 });
  assertEquals(picked.shape, [2, 5, 6, 4]);
});
