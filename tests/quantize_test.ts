// Rounding to fewer digits, beside a search among all numbers that a format has; steps of scales, beside loops.
import { assertEquals, assertThrows } from "@std/assert";
import * as m from "../mod.ts";
import type { FloatFormat } from "../mod.ts";
import { test } from "./support/devices.ts";
import { agrees, numbers } from "./support/plain.ts";

/** Every number from 0 on that a float has: bits of the exponent, of the mantissa, bias, and the largest. */
function held(exponent: number, mantissa: number, bias: number, most: number): number[] {
  const all: number[] = [];
  for (let e = 0; e < 2 ** exponent; e++) {
    for (let d = 0; d < 2 ** mantissa; d++) {
      const v = e ? 2 ** (e - bias) * (1 + d / 2 ** mantissa) : 2 ** (1 - bias) * d / 2 ** mantissa;
      if (v <= most) all.push(v);
    }
  }
  return all;
}

const FORMATS: [FloatFormat, number[], beyond: number][] = [
  ["float8_e4m3fn", held(4, 3, 7, 448), NaN],
  ["float8_e4m3fnuz", held(4, 3, 8, 240), NaN],
  ["float8_e5m2", held(5, 2, 15, 57344), Infinity],
  ["float8_e5m2fnuz", held(5, 2, 16, 57344), NaN],
  ["float4_e2m1fn", held(2, 1, 1, 6), 6],
];

/** The nearest number that a format has, of two the one whose last digit is even; undefined beyond its range. */
function nearest(x: number, all: number[]): number | undefined {
  const size = Math.abs(x);
  const step = all.at(-1)! - all.at(-2)!;
  // What would be rounded to the next number, if there were one.
  if (size >= all.at(-1)! + step / 2) return undefined;
  let best = 0;
  all.forEach((v, i) => {
    const [d, e] = [Math.abs(v - size), Math.abs(all[best] - size)];
    if (d < e || (d === e && i % 2 === 0)) best = i;
  });
  return Math.sign(x) * all[best];
}

test("a float of fewer digits: every number it has, every middle of two, and any other", async () => {
  for (const [format, all, beyond] of FORMATS) {
    const middles = all.slice(1).map((v, i) => (v + all[i]) / 2);
    const most = all.at(-1)!;
    const few = all.length > 64 ? 7 : 1;
    const xs = [
      ...[...all, ...middles, ...middles.map((v) => -v * (1 + 2 ** -20))].filter((_, i) =>
        i % few === 0
      ),
      ...numbers(40, 3, most * 1.3),
      ...numbers(20, 4, all[3]),
      ...[most, -most * 1.01, most * 1.5, 3e38, -1e-38, Infinity, -Infinity],
    ].map(Math.fround);
    for (const saturate of [false, true]) {
      const expected = xs.map((x) => nearest(x, all) ?? (saturate ? most : beyond) * Math.sign(x));
      const y = m.reducePrecision(m.tensor(xs), format, { saturate });
      await agrees(m.add(y, 0), [xs.length], expected.map((v) => v + 0), 0);
    }
    await agrees(m.reducePrecision(m.tensor([NaN]), format, { saturate: true }), [1], [NaN]);
  }
});

test("bfloat16 has the upper half of the bits, float16 is a cast", async () => {
  const xs = [
    ...numbers(50, 5, 3),
    ...numbers(20, 6, 1e38),
    2 ** -110,
    1 + 2 ** -8,
    1 + 3 * 2 ** -8,
    0,
    -0,
    3.4e38,
  ]
    .map(Math.fround);
  const bits = new Uint32Array(Float32Array.from(xs).buffer);
  const upper = bits.map((b) => (b + 0x7fff + ((b >>> 16) & 1)) & 0xffff0000);
  const expected = [...new Float32Array(upper.buffer)];
  await agrees(
    m.add(m.reducePrecision(m.tensor(xs), "bfloat16"), 0),
    [xs.length],
    expected.map((v) => v + 0),
    0,
  );
  // Of the smallest, digits are those of f32 itself, some fewer.
  const small = [1.3 * 2 ** -122, -(2 ** -119) * 1.01, 3 * 2 ** -125, 0].map(Math.fround);
  const few = small.map((v) => Math.round(v * 2 ** 125) / 2 ** 125);
  await agrees(
    m.mul(m.reducePrecision(m.tensor(small), "bfloat16"), 2 ** 100),
    [4],
    few.map((v) => v * 2 ** 100),
    0,
  );
  const halves = numbers(50, 7, 70000).concat(numbers(20, 8, 1e-6), 65519, 65520);
  const y = m.reducePrecision(m.tensor(halves), "float16");
  await agrees(y, [halves.length], [...Float16Array.from(halves)], 0);
  const kept = m.reducePrecision(m.cast(m.tensor([0.3, 500]), "f16"), "float8_e4m3fn", {
    saturate: true,
  });
  assertEquals(kept.dtype, "f16");
  await agrees(m.cast(kept, "f32"), [2], [0.3125, 448], 0);
});

test("steps of a scale for all, for each place of an axis, and for each block of it", async () => {
  const x = numbers(24, 9, 40), shape = [2, 4, 3];
  const round = (v: number) => {
    const r = Math.round(v);
    return Math.abs(v % 1) === 0.5 && r % 2 ? r - 1 : r;
  };
  const cases: [m.Tensor, m.Tensor | undefined, number, (i: number) => [number, number]][] = [
    [m.scalar(0.5), undefined, -1, () => [0.5, 0]],
    [
      m.tensor([0.5, 2, 4]),
      m.tensor(Int32Array.of(1, -2, 3)),
      2,
      (i) => [[0.5, 2, 4][i % 3], [1, -2, 3][i % 3]],
    ],
    [m.tensor([0.25, 1, 2, 8]), undefined, 1, (i) => [[0.25, 1, 2, 8][Math.floor(i / 3) % 4], 0]],
    [
      m.tensor(Array.from({ length: 12 }, (_, i) => 2 ** (i - 5)), [2, 2, 3]),
      undefined,
      1,
      (i) => [2 ** (Math.floor(i / 12) * 6 + Math.floor(i / 6) % 2 * 3 + i % 3 - 5), 0],
    ],
  ];
  for (const [scale, zero, axis, of] of cases) {
    for (
      const [format, low, high, dtype] of [["int8", -128, 127, "i32"], [
        "uint4",
        0,
        15,
        "u32",
      ]] as const
    ) {
      const expected = x.map((v, i) =>
        Math.min(Math.max(round(v / of(i)[0]) + of(i)[1], low), high)
      );
      const options = { axis, zero };
      const q = m.quantize(m.tensor(x, shape), scale, format, options);
      assertEquals(q.dtype, dtype);
      await agrees(q, shape, expected, 0);
      const back = expected.map((v, i) => (v - of(i)[1]) * of(i)[0]);
      await agrees(m.dequantize(q, scale, options), shape, back, 0);
      await agrees(m.fakeQuantize(m.tensor(x, shape), scale, format, options), shape, back, 0);
    }
  }
  const eights = m.quantize(m.tensor([1000, 0.3, -7]), m.scalar(2), "float8_e4m3fn");
  await agrees(eights, [3], [448, 0.15625, -3.5], 0);
  await agrees(m.quantize(m.zeros([0, 3]), m.ones([3]), "int8", { axis: 1 }), [0, 3], []);
});

test("derivatives pass where nothing is out of range", async () => {
  const x = m.tensor([0.3, 3, -300, 500, -0.01]);
  const slopes = m.grad((t: m.Tensor) => m.sum(m.mul(m.reducePrecision(t, "float8_e4m3fn"), 2)))(x);
  await agrees(slopes, [5], [2, 2, 2, 0, 2], 0);
  const steps = m.grad((t: m.Tensor) => m.sum(m.fakeQuantize(t, m.scalar(1), "int8")))(x);
  await agrees(steps, [5], [1, 1, 0, 0, 1], 0);
});

Deno.test("formats that there are not, and scales that do not fit, are refused by name", () => {
  const x = m.zeros([2, 4]);
  // deno-lint-ignore no-explicit-any
  const none = "int3" as any;
  assertThrows(
    () => m.reducePrecision(x, none),
    TypeError,
    'reducePrecision: the format is the string "int3"',
  );
  assertThrows(() => m.quantize(x, m.ones([4]), none), TypeError, "quantize: the format is");
  assertThrows(
    () => m.quantize(x, m.ones([3]), "int8"),
    m.ShapeError,
    "f32[3] for axis 1 of f32[2,4]",
  );
  assertThrows(
    () => m.dequantize(x, m.ones([2, 3])),
    m.ShapeError,
    "dequantize: f32[2,3] for axis 1",
  );
  assertThrows(
    () => m.quantize(x, m.ones([4], "i32"), "int8"),
    m.ShapeError,
    "the scale is i32[4]",
  );
  assertThrows(
    () => m.reducePrecision(m.zeros([2], "i32"), "bfloat16"),
    m.ShapeError,
    "takes f32, f16, not i32[2]",
  );
});
