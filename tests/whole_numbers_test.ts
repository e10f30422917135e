// Ops that give places, masks and counts, and have no derivative to tell a wrong one by: what NumPy gives for the same.
import { assert, assertEquals, assertThrows } from "@std/assert";
import * as m from "../mod.ts";
import type { Tensor } from "../mod.ts";
import { interpret } from "../compile/interpret.ts";
import { contractionOrder } from "../ops/product/einsum.ts";
import { randomValues, testDevice, uniform } from "./support/check.ts";
import { test } from "./support/devices.ts";

const i32 = (values: number[], shape?: number[]) => m.tensor(Int32Array.from(values), shape);

/** That a tensor has this element type, shape and these values, on the device and by its definition. */
async function is(t: Tensor, dtype: string, shape: number[], values: number[]): Promise<void> {
  const device = await testDevice();
  assertEquals([t.dtype, t.shape], [dtype, shape]);
  const made = m.evaluate(device, t);
  assertEquals([made.dtype, made.shape], [dtype, shape]);
  assertEquals(Array.from(await device.read(made), Number), values);
  assertEquals([...interpret([t])[0]], values);
  device.free(made);
}

const tied = m.tensor([[3, 1, 3], [NaN, 2, 5], [0, 0, 0]]);

test("places of extremes: the first of several, the last if asked, NaN before all", async () => {
  await is(m.argmax(tied), "u32", [3], [0, 0, 0]);
  await is(m.argmax(tied, 1, { last: true }), "u32", [3], [2, 0, 2]);
  await is(m.argmin(tied, 1, { keep: true }), "u32", [3, 1], [1, 0, 0]);
  await is(m.argmax(tied, 0), "u32", [3], [1, 1, 1]);
  await is(m.argmin(i32([-2147483648, 7, -2147483648])), "u32", [], [0]);
  await is(m.min(i32([-2147483648, 7])), "i32", [], [-2147483648]);
  await is(m.prod(i32([65536, 65537])), "i32", [], [65536]);
  assertThrows(() => m.argmax(m.zeros([2, 0])), m.ShapeError, "has no places");
});

test("orders are stable, NaN is the largest, and zeros are one number", async () => {
  const x = m.tensor([2, NaN, -Infinity, 0, -0, 2, 1]);
  await is(m.argsort(x), "u32", [7], [2, 3, 4, 6, 0, 5, 1]);
  await is(m.argsort(x, 0, { descending: true }), "u32", [7], [1, 0, 5, 6, 3, 4, 2]);
  await is(m.sort(i32([3, -1, 2, -7])), "i32", [4], [-7, -1, 2, 3]);
  await is(m.sort(m.tensor([3, 4294967295, 0], [3], "u32")), "u32", [3], [0, 3, 4294967295]);
  const [values, places] = m.topK(m.tensor([[1, 4, 2], [9, 7, 8]]), 2);
  await is(values, "f32", [2, 2], [4, 2, 9, 8]);
  await is(places, "u32", [2, 2], [1, 2, 0, 2]);
  await is(m.topK(i32([5, 1, 3]), 2, 0, { smallest: true })[0], "i32", [2], [1, 3]);
  assertThrows(() => m.topK(tied, 4), m.ShapeError, "k = 4 of axis 1");
});

test("the largest few are the first of the whole order, at every length and however many rows", async () => {
  for (
    const [rows, n, k] of [[2, 1, 1], [3, 257, 10], [2, 513, 64], [1, 600, 65], [1100, 260, 3]]
  ) {
    // Few different numbers, so that many are equal.
    const next = uniform(n);
    const draw = Float32Array.from({ length: rows * n }, () => Math.round(4 * next()));
    draw[n >> 1] = NaN;
    const x = m.tensor(draw, [rows, n]);
    for (const descending of [true, false]) {
      const all = interpret([m.argsort(x, 1, { descending })])[0];
      const first = Array.from({ length: rows }, (_, r) => [...all.subarray(r * n, r * n + k)]);
      await is(m.topK(x, k, 1, { smallest: !descending })[1], "u32", [rows, k], first.flat());
    }
  }
});

test("rows of any length are sorted, also as many elements as merging takes several passes for", async () => {
  for (const [rows, n] of [[1, 1], [3, 8], [3, 9], [2, 33], [5, 64], [1, 1000], [2, 5003]]) {
    const values = Array.from(
      randomValues({ shape: [rows, n], dtype: "i32" }, uniform(n), 1, n / 3),
    );
    const x = i32(values, [rows, n]);
    const expected = Array.from({ length: rows }, (_, r) => {
      const row = values.slice(r * n, (r + 1) * n);
      return [...row.keys()].sort((i, j) => row[i] - row[j] || i - j);
    });
    await is(m.argsort(x), "u32", [rows, n], expected.flat());
    await is(
      m.sort(x),
      "i32",
      [rows, n],
      expected.flatMap((o, r) => o.map((i) => values[r * n + i])),
    );
  }
});

test("scans and scatters of many elements are those of a loop", async () => {
  const n = 20_011, d = 3;
  const next = uniform(9);
  const values = Array.from({ length: n }, () => Math.floor(next() * 100));
  let sum = 0;
  await is(m.cumsum(i32(values)), "i32", [n], values.map((v) => sum += v));
  let most = -Infinity;
  await is(m.cummax(i32(values)), "i32", [n], values.map((v) => most = Math.max(most, v)));
  // A third of all updates go to one row.
  const ids = Array.from({ length: n }, (_, i) => i % 3 ? Math.floor((next() + 1) * 50) : 7);
  const table = new Array(100 * d).fill(0);
  ids.forEach((id, p) => {
    for (let c = 0; c < d; c++) table[id * d + c] += values[p] + c;
  });
  const updates = i32(values.flatMap((v) => [v, v + 1, v + 2]), [n, d]);
  await is(
    m.scatter(m.zeros([100, d], "i32"), i32(ids, [n, 1]), updates, { mode: "add" }),
    "i32",
    [100, d],
    table,
  );
  const last = new Array(100).fill(-1);
  ids.forEach((id, p) => last[id] = p);
  const places = i32(ids.map((_, p) => p));
  await is(m.scatter(m.full([100], -1, "i32"), i32(ids, [n, 1]), places), "i32", [100], last);
});

test("look-ups count from the end, and leave out or keep to what is there", async () => {
  const x = i32([10, 11, 12, 13, 14, 15], [3, 2]);
  await is(m.take(x, i32([-1, 0, 7, -9])), "i32", [4, 2], [14, 15, 10, 11, 14, 15, 14, 15]);
  await is(m.take(x, i32([1, 1], [2, 1]), 1), "i32", [3, 2, 1], [11, 11, 13, 13, 15, 15]);
  await is(m.gather(x, i32([2, 1, 0, 5], [2, 2])), "i32", [2], [15, 15]);
  const u = i32([1, 2, 3, 4]);
  const at = i32([0, 0, 2, 9], [4, 1]);
  const flat = i32([5, 5, 5]);
  await is(m.scatter(flat, at, u), "i32", [3], [2, 5, 3]);
  await is(m.scatter(flat, at, u, { mode: "add" }), "i32", [3], [8, 5, 8]);
  await is(m.scatter(flat, at, u, { mode: "mul" }), "i32", [3], [10, 5, 15]);
  await is(m.scatter(flat, at, u, { mode: "max" }), "i32", [3], [5, 5, 5]);
  await is(m.scatter(flat, at, u, { mode: "min" }), "i32", [3], [1, 5, 3]);
  const by = (u: Tensor) => m.sum(m.scatter(m.ones([3]), at, u, { mode: "mul" }));
  assertThrows(() => m.grad(by)(m.ones([4])), m.ShapeError, "hold it with stopGradient");
  assertThrows(() => m.take(x, m.tensor([0.5])), m.ShapeError, "ids are i32 or u32");
  assertThrows(
    () => m.scatter(flat, at, i32([1])),
    m.ShapeError,
    "updates are i32[1], expected i32[4]",
  );
});

test("what is put at no place at all leaves everything as it is", async () => {
  const x = i32([1, 2, 3]), none = i32([], [0]);
  for (const mode of ["set", "add", "mul", "max", "min"] as const) {
    for (const unique of [true, false]) {
      const options = { mode, unique };
      await is(m.scatter(x, i32([], [0, 1]), none, options), "i32", [3], [1, 2, 3]);
      await is(m.putAlongAxis(x, none, none, 0, options), "i32", [3], [1, 2, 3]);
      const each = (row: Tensor) => m.putAlongAxis(row, none, none, 0, options);
      await is(m.vmap(each)(i32([1, 2, 3, 4], [2, 2])), "i32", [2, 2], [1, 2, 3, 4]);
      const loss = (t: Tensor) =>
        m.sum(m.square(m.putAlongAxis(t, none, m.zeros([0]), 0, options)));
      await is(m.grad(loss)(m.tensor([1, 2])), "f32", [2], [2, 4]);
    }
  }
});

test("sorted numbers are searched, repetitions and zeros left out, in as much room as is given", async () => {
  const sorted = m.tensor([1, 2, 2, 5]);
  const v = m.tensor([[0, 2], [5, 9]]);
  await is(m.searchsorted(sorted, v), "u32", [2, 2], [0, 1, 3, 4]);
  await is(m.searchsorted(sorted, v, { side: "right" }), "u32", [2, 2], [0, 3, 4, 4]);
  const u = m.unique(i32([3, 1, 3, 7, 1], [5]), { size: 4, fill: -1 });
  await is(u.values, "i32", [4], [1, 3, 7, -1]);
  await is(u.indices, "u32", [4], [1, 0, 3, 0]);
  await is(u.inverse, "u32", [5], [1, 0, 1, 2, 0]);
  await is(u.counts, "u32", [4], [2, 2, 1, 0]);
  await is(u.count, "u32", [], [3]);
  await is(m.unique(i32([3, 1, 2]), { size: 2 }).values, "i32", [2], [1, 2]);
  await is(m.nonzero(i32([0, 4, 5, 0], [2, 2]), { size: 3, fill: 9 }), "u32", [2, 3], [
    0,
    1,
    9,
    1,
    0,
    9,
  ]);
  const rows = i32([1, 2, 3, 4, 5, 6], [3, 2]);
  await is(m.compress(i32([1, 0, 2]), rows, 0, { size: 2 }), "i32", [2, 2], [1, 2, 5, 6]);
  await is(m.unique(m.zeros([0])).count, "u32", [], [0]);
});

test("a shift has the sign of the tensor that is shifted, not that of a number beside it", async () => {
  const words = m.tensor([2147483648, 6], [2], "u32"), by = (n: number) => m.full([], n, "i32");
  await is(m.rightShift(words, by(1)), "u32", [2], [1073741824, 3]);
  await is(m.rightShift(words, by(32)), "u32", [2], [0, 0]);
  await is(m.rightShift(i32([-2147483648, -5, 5]), 33), "i32", [3], [-1, -1, 0]);
  await is(m.rightShift(i32([-5, 5]), 1), "i32", [2], [-3, 2]);
});

test("products of whole numbers wrap around at 32 bits, however many there are", async () => {
  const odd = [2147483647, 1000003, 999983, -77777777],
    ids = m.tensor([[0], [0], [1], [1]], [4, 1], "u32");
  const running = odd.reduce<number[]>((all, v) => [...all, Math.imul(all.at(-1) ?? 1, v)], []);
  const pairs = [Math.imul(odd[0], odd[1]), Math.imul(odd[2], odd[3])];
  const words = m.cast(i32(odd), "u32"), ones = m.ones([2], "u32");
  await is(m.prod(i32(odd)), "i32", [], [running[3]]);
  await is(m.prod(words), "u32", [], [running[3] >>> 0]);
  await is(m.cumprod(words), "u32", [4], running.map((v) => v >>> 0));
  await is(m.scatter(ones, ids, words, { mode: "mul" }), "u32", [2], pairs.map((v) => v >>> 0));
});

test("tensors of known numbers", async () => {
  await is(m.arange(5), "i32", [5], [0, 1, 2, 3, 4]);
  await is(m.arange(5, 0, -2), "i32", [3], [5, 3, 1]);
  await is(m.arange(0, 1, 0.25), "f32", [4], [0, 0.25, 0.5, 0.75]);
  await is(m.arange(3, 1), "i32", [0], []);
  await is(m.linspace(0, 1, 5), "f32", [5], [0, 0.25, 0.5, 0.75, 1]);
  await is(m.linspace(0, 1, 4, { endpoint: false }), "f32", [4], [0, 0.25, 0.5, 0.75]);
  await is(m.linspace(3, 4, 1), "f32", [1], [3]);
  await is(m.eye(2, 3, 1), "f32", [2, 3], [0, 1, 0, 0, 0, 1]);
  await is(m.tri(2, 3, 0, "u32"), "u32", [2, 3], [1, 0, 0, 1, 1, 0]);
  await is(m.tril(i32([1, 2, 3, 4], [2, 2])), "i32", [2, 2], [1, 0, 3, 4]);
  await is(m.triu(i32([1, 2, 3, 4], [2, 2]), 1), "i32", [2, 2], [0, 2, 0, 0]);
  await is(m.oneHot(i32([2, -1, 0]), 3), "f32", [3, 3], [0, 0, 1, 0, 0, 0, 1, 0, 0]);
  await is(m.oneHot(i32([1, 0]), 2, { axis: 0, dtype: "u32" }), "u32", [2, 2], [0, 1, 1, 0]);
  await is(m.full([2], -3, "i32"), "i32", [2], [-3, -3]);
  await is(m.iota(3, "u32"), "u32", [3], [0, 1, 2]);
  assertThrows(() => m.arange(-1, 2, 1, "u32"), RangeError, "arange: value 0, -1, does not lie");
  assertThrows(() => m.full([2], 0.5, "i32"), RangeError, "full: 0.5 is no i32");
  assertThrows(() => m.arange(0, 1, 0), m.ShapeError, "has no end");
  assertThrows(() => m.arange(2 ** 40), m.ShapeError, "arange: [1099511627776] has");
  const logs = m.zeros([2, 3]), labels = m.tensor(Uint32Array.of(0, 1));
  for (const [name, f] of Object.entries({ crossEntropy: m.crossEntropy, nllLoss: m.nllLoss })) {
    assertThrows(() => f(logs, labels, { ignore: -100 }), RangeError, `${name}: -100 is no u32`);
  }
});

test("indexing is Python's", async () => {
  const x = i32([...Array(24).keys()], [2, 3, 4]);
  await is(m.index(x, [1, -1]), "i32", [4], [20, 21, 22, 23]);
  await is(m.index(x, ["...", 0]), "i32", [2, 3], [0, 4, 8, 12, 16, 20]);
  await is(m.index(x, [0, [null, null, -2], [1, 3]]), "i32", [2, 2], [9, 10, 1, 2]);
  await is(m.index(x, [":", 0, null, [-1, null, -3]]), "i32", [2, 1, 2], [3, 0, 15, 12]);
  await is(m.index(x, [0, 0, [9, 2]]), "i32", [0], []);
  assertThrows(() => m.index(x, [2]), m.ShapeError, "2 does not lie within axis 0");
  assertThrows(() => m.index(x, [0, 0, 0, 0]), m.ShapeError, "4 indices");
  assertThrows(() => m.index(x, [[0, 1, 0]]), m.ShapeError, "other than 0, not 0");
});

test("where in the image each maximum stood", async () => {
  const x = m.tensor([[5, 1, 2, 5], [5, 0, 9, 9], [1, 1, 1, 1], [0, 3, 3, 2]]);
  const image = m.reshape(x, [1, 1, 4, 4]);
  const [values, places] = m.maxPoolWithPlaces(image, { window: 2, channelsFirst: true });
  await is(values, "f32", [1, 1, 2, 2], [5, 9, 3, 3]);
  await is(places, "u32", [1, 1, 2, 2], [0, 6, 13, 14]);
  // Of the least number that there is, which padding has as well, it is one of the image all the same.
  const least = { f32: -Infinity, f16: -Infinity, i32: -2147483648, u32: 0, bool: 0 } as const;
  for (const [dtype, value] of Object.entries(least)) {
    const flat = m.full([1, 2, 2, 1], value, dtype as m.DType);
    for (const padding of [1, [1, [1, 3]]] as const) {
      const [y, at] = m.maxPoolWithPlaces(flat, { window: 2, padding, ceilMode: true });
      const columns = y.shape[2];
      await is(y, dtype, [1, 2, columns, 1], Array(2 * columns).fill(value));
      await is(
        m.slice(at, 2, 0, 2),
        "u32",
        [1, 2, 2, 1],
        [0, 1, 2, 3],
      );
    }
  }
});

test("the nearest pixels, and means of parts that overlap", async () => {
  const x = m.tensor([[1, 2, 3, 4]]);
  await is(m.resizeImage(x, [2, 8], { method: "nearest" }), "f32", [2, 8], [
    1,
    1,
    2,
    2,
    3,
    3,
    4,
    4,
    1,
    1,
    2,
    2,
    3,
    3,
    4,
    4,
  ]);
  await is(m.resizeImage(x, [1, 2], { method: "nearest" }), "f32", [1, 2], [2, 4]);
  await is(m.adaptiveMaxPool(m.reshape(x, [1, 4, 1]), [3]), "f32", [1, 3, 1], [2, 3, 4]);
});

Deno.test("products are joined in the order of fewest multiplications", () => {
  const extents = new Map(Object.entries({ i: 100, j: 2, k: 100, l: 3 }));
  const order = (text: string, out: string) =>
    contractionOrder(text.split(",").map((t) => [...t]), [...out], extents);
  assertEquals(order("ij,jk,kl", "il"), [[2, 1], 0]);
  assertEquals(order("ij,jk,k", "i"), [[2, 1], 0]);
  const many = Array.from({ length: 12 }, () => m.eye(2));
  const names = "abcdefghijklm";
  const text = many.map((_, i) => names[i] + names[i + 1]).join();
  assertEquals([...interpret([m.einsum(`${text}->am`, ...many)])[0]], [1, 0, 0, 1]);
  for (const wrong of ["ij,jk->iq", "ij->", "i.j,jk", "ij,jk->ii", "ij,jk->k->i"]) {
    assertThrows(() => m.einsum(wrong, m.eye(2), m.eye(2)), TypeError, "einsum: ");
  }
  assertThrows(() => m.einsum("ij,jk", m.eye(2), m.eye(3)), m.ShapeError, "axis j");
});

test("dropout drops as many as it should, and keeps the mean", async (device) => {
  const key = m.tensor([3, 4], [2], "u32");
  const y = await device.read(m.evaluate(device, m.dropout(m.ones([10_000]), key, 0.25)));
  const kept = Array.from(y).filter((v) => Number(v) !== 0);
  assert(Math.abs(kept.length / 10_000 - 0.75) < 0.02, `${kept.length} are left`);
  assert(kept.every((v) => Math.abs(Number(v) - 4 / 3) < 1e-6));
  await is(m.dropout(m.ones([3]), key, 1), "f32", [3], [0, 0, 0]);
});

test("attention sees what a mask lets it, and nothing gives nothing", async () => {
  const q = m.ones([1, 2, 1, 2]), k = m.ones([1, 3, 1, 2]);
  const v = m.tensor([1, 2, 4, 8, 16, 32], [1, 3, 1, 2]);
  const mask = m.tensor([1, 0, 0, 0, 0, 0], [2, 3], "u32");
  await is(m.attention(q, k, v, { mask }), "f32", [1, 2, 1, 2], [1, 2, 0, 0]);
  await is(m.attention(q, k, v, { causal: true, window: [0, 0], offset: 1 }), "f32", [1, 2, 1, 2], [
    4,
    8,
    16,
    32,
  ]);
  const bias = m.tensor([-Infinity, 0, -Infinity]);
  await is(m.attention(q, k, v, { bias }), "f32", [1, 2, 1, 2], [4, 8, 4, 8]);
  assertThrows(
    () => m.attention(q, k, v, { mask: m.ones([4]) }),
    m.ShapeError,
    "the mask f32[4] does not broadcast",
  );
});
