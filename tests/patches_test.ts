// Patches, blocks of pixels, middles, slices at places that are data, and pooling that is put back: beside loops, and each other.
import { assertEquals, assertThrows } from "@std/assert";
import * as m from "../mod.ts";
import type { Tensor } from "../mod.ts";
import { test } from "./support/devices.ts";
import { agrees, filled, numbers } from "./support/plain.ts";

const same = async (a: Tensor, b: Tensor) => {
  assertEquals(a.spec, b.spec);
  await agrees(m.sub(m.cast(a, "f32"), m.cast(b, "f32")), a.shape, new Array(a.size).fill(0));
};

test("patches times weights are a convolution, in one dimension, two and three, channels first and last", async (device) => {
  const cases = [
    { extents: [7], window: [3], stride: 2, padding: 1, dilation: 2 },
    { extents: [4, 5], window: [2, 3], stride: [1, 2], padding: [[1, 0], [0, 2]], dilation: 1 },
    { extents: [3, 2, 4], window: [2, 1, 2], stride: 1, padding: 0, dilation: [1, 1, 2] },
  ] as const;
  for (const { extents, window, ...options } of cases) {
    const n = extents.length, k = window.reduce<number>((a, b) => a * b, 1);
    const x = filled([2, ...extents, 3], n), w = filled([...window, 3, 4], n + 5);
    const plain = m.conv(x, w, options);
    const columns = m.unfold(x, window, options);
    await same(m.reshape(m.matmul(columns, m.reshape(w, [k * 3, 4])), plain.shape), plain);
    // PyTorch's layout: channels before places, patches last.
    const first = m.unfold(m.moveAxis(x, n + 1, 1), window, { ...options, channelsFirst: true });
    const turned = m.permute(m.reshape(columns, [2, columns.shape[1], k, 3]), [0, 3, 2, 1]);
    await same(first, m.reshape(turned, [2, 3 * k, columns.shape[1]]));
    if (!device.profile.cpu && n > 1) continue;
    // What patches add up to is what unfold hands back: each pixel as often as patches have it.
    const back = m.fold(columns, extents, window, options);
    const [of] = m.vjp([[m.unfold(x, window, options), columns]], [x]);
    await same(back, of!);
    const all = m.fold(first, extents, window, { ...options, channelsFirst: true });
    await same(m.moveAxis(all, 1, n + 1), back);
  }
  const whole = m.tensor(Int32Array.from({ length: 6 }, (_, i) => i), [1, 6, 1]);
  await agrees(m.unfold(whole, [2], { stride: 4 }), [1, 2, 2], [0, 1, 4, 5], 0);
});

test("blocks of pixels: the order of both conventions, and back", async () => {
  const x = m.reshape(m.arange(16), [1, 1, 2, 8]);
  await agrees(m.depthToSpace(x, 2), [1, 2, 4, 2], [
    0,
    1,
    2,
    3,
    8,
    9,
    10,
    11,
    4,
    5,
    6,
    7,
    12,
    13,
    14,
    15,
  ], 0);
  await agrees(
    m.depthToSpace(x, 2, { order: "channels" }),
    [1, 2, 4, 2],
    [0, 4, 1, 5, 8, 12, 9, 13, 2, 6, 3, 7, 10, 14, 11, 15],
    0,
  );
  for (const order of ["places", "channels"] as const) {
    for (const channelsFirst of [false, true]) {
      const image = filled(channelsFirst ? [2, 18, 2, 1] : [2, 2, 1, 18], 2);
      const options = { order, channelsFirst };
      await same(m.spaceToDepth(m.depthToSpace(image, 3, options), 3, options), image);
    }
  }
  await agrees(m.depthToSpace(m.zeros([0, 2, 2, 4]), 2), [0, 4, 4, 1], []);
});

test("the middle of a tensor is cut or padded, what is odd behind", async () => {
  await agrees(m.centerCrop(m.arange(6), [3]), [3], [1, 2, 3], 0);
  await agrees(m.centerCrop(m.arange(1, 3), [5]), [5], [0, 1, 2, 0, 0], 0);
  const x = m.reshape(m.arange(6), [2, 3]);
  await agrees(m.centerCrop(x, [4, 1]), [4, 1], [0, 1, 4, 0], 0);
  await agrees(m.centerCrop(x, [0, 5]), [0, 5], []);
});

test("slices at places that are data lie within what there is, wherever they are asked for", async () => {
  const x = m.reshape(m.arange(12), [3, 4]);
  const at = (i: number) => m.tensor(Int32Array.of(i));
  for (const [start, from] of [[0, 0], [1, 1], [2, 2], [9, 2], [-1, 2], [-4, 0], [-9, 0]]) {
    const row = [0, 1].map((j) => 4 + from + j);
    await agrees(m.dynamicSlice(x, [1, at(start)], [1, 2]), [1, 2], row, 0);
    await agrees(m.dynamicSlice(x, [1, start], [1, 2]), [1, 2], row, 0);
    const expected = Array.from({ length: 12 }, (_, i) => i);
    row.forEach((i, j) => expected[i] = -1 - j);
    const y = m.dynamicUpdateSlice(x, m.tensor(Int32Array.of(-1, -2), [1, 2]), [1, at(start)]);
    await agrees(y, [3, 4], expected, 0);
  }
  const far = m.tensor(Uint32Array.of(4294967293));
  await agrees(m.dynamicSlice(x, [far, 0], [1, 4]), [1, 4], [8, 9, 10, 11], 0);
  await agrees(m.dynamicSlice(x, [0, 0], [0, 4]), [0, 4], []);
  await same(m.dynamicUpdateSlice(x, x, [at(2), 0]), x);
  await same(m.dynamicUpdateSlice(x, m.zeros([0, 4], "i32"), [0, 0]), x);
  // A cache of each example's own length.
  const write = m.vmap((cache: Tensor, one: Tensor, i: Tensor) =>
    m.dynamicUpdateSlice(cache, one, [i, 0])
  );
  const caches = write(
    m.zeros([2, 3, 1]),
    m.tensor([5, 6], [2, 1, 1]),
    m.tensor(Int32Array.of(2, 0)),
  );
  await agrees(caches, [2, 3, 1], [0, 0, 5, 6, 0, 0], 0);
});

test("lpPool is the norm of what is under a window, and maxUnpool puts maxima back", async () => {
  const values = numbers(12, 3);
  const x = m.tensor(values, [1, 6, 2]);
  for (const ord of [1, 2, 3, Infinity]) {
    const expected = [0, 2, 4].flatMap((i) =>
      [0, 1].map((c) => {
        const [a, b] = [values[i * 2 + c], values[i * 2 + 2 + c]].map(Math.abs);
        return ord === Infinity ? Math.max(a, b) : (a ** ord + b ** ord) ** (1 / ord);
      })
    );
    await agrees(m.lpPool(x, { window: 2, ord }), [1, 3, 2], expected);
  }
  const padded = m.lpPool(m.ones([1, 2, 1]), { window: 2, padding: 1, ord: 1 });
  await agrees(padded, [1, 2, 1], [1, 1]);
  // Nothing has no slope.
  await agrees(m.grad((t: Tensor) => m.sum(m.lpPool(t, { window: 2 })))(m.zeros([1, 2, 1])), [
    1,
    2,
    1,
  ], [0, 0]);
  for (const channelsFirst of [false, true]) {
    const image = filled(channelsFirst ? [2, 3, 4, 4] : [2, 4, 4, 3], 7);
    const [top, places] = m.maxPoolWithPlaces(image, { window: 2, channelsFirst });
    const back = m.maxUnpool(top, places, [4, 4], { channelsFirst });
    const hit = m.notEqual(back, 0);
    await same(back, m.where(hit, image, 0));
    await agrees(m.sum(hit), [], [2 * 3 * 4], 0);
  }
});

test("hardmax, threshold, hardSigmoid, standardize", async () => {
  await agrees(m.hardmax(m.tensor([[1, 3, 3], [NaN, 2, 5]])), [2, 3], [0, 1, 0, 1, 0, 0], 0);
  await agrees(m.hardmax(m.tensor(Int32Array.of(4, 4, 1), [3, 1]), 0), [3, 1], [1, 0, 0], 0);
  await agrees(
    m.threshold(m.tensor([-1, 1, 2, NaN, Infinity]), 1, 7),
    [5],
    [7, 7, 2, 7, Infinity],
    0,
  );
  await agrees(m.hardSigmoid(m.tensor([-4, 0, 1, 9]), 0.2, 0.4), [4], [0, 0.4, 0.6, 1]);
  const x = numbers(12, 4);
  const mean = x.reduce((a, b) => a + b) / 12, v = x.reduce((a, b) => a + (b - mean) ** 2, 0) / 12;
  const y = m.standardize(m.tensor(x, [3, 4]), [0, 1], { eps: 0.01 });
  await agrees(y, [3, 4], x.map((a) => (a - mean) / Math.sqrt(v + 0.01)));
});

Deno.test("what does not fit is refused by name", () => {
  const x = m.zeros([1, 4, 4, 3]);
  const cases: [() => unknown, string][] = [
    [() => m.unfold(x, [5, 1]), "unfold: a window of [5,1] does not fit into [4,4]"],
    [() => m.unfold(x, [2]), "unfold: window [2] has 1 numbers for 2 axes"],
    [
      () => m.fold(m.zeros([1, 8, 12]), [4, 4], [2, 2]),
      "fold: f32[1,8,12] for 9 patches of 4 places",
    ],
    [() => m.fold(m.zeros([1, 9, 13]), [4, 4], [2, 2]), "fold: f32[1,9,13] for 9 patches"],
    [() => m.depthToSpace(x, 2), "depthToSpace: 3 channels of f32[1,4,4,3] in blocks of 2²"],
    [() => m.spaceToDepth(x, 3), "spaceToDepth: f32[1,4,4,3] does not fall into blocks of 3²"],
    [() => m.centerCrop(x, [4, 4]), "centerCrop: [4,4] for f32[1,4,4,3]"],
    [() => m.dynamicSlice(x, [0, 0], [1, 1]), "a slice of [1,1] from 2 starts in f32[1,4,4,3]"],
    [
      () => m.dynamicSlice(m.zeros([2]), [m.zeros([1])], [1]),
      "start 0 is f32[1], expected one integer",
    ],
    [() => m.dynamicUpdateSlice(m.zeros([2]), m.zeros([3]), [0]), "a slice of [3]"],
    [
      () => m.dynamicUpdateSlice(m.zeros([2]), m.zeros([1], "i32"), [0]),
      "the update is i32[1] for f32[2]; cast one of them first",
    ],
    [() => m.maxUnpool(x, m.zeros([1, 4, 4, 2], "u32"), [8, 8]), "places u32[1,4,4,2] of [8,8]"],
  ];
  for (const [call, message] of cases) assertThrows(call, m.ShapeError, message);
  assertThrows(
    () => m.lpPool(x, { window: 2, ord: 0 }),
    RangeError,
    "lpPool: ord 0 is not above 0",
  );
});
