// Quantities as people read them: three significant figures and a fitting unit, whatever the size.
import { assert, assertEquals, assertMatch } from "@std/assert";
import fc from "fast-check";
import { sources } from "../tools/size.ts";
import {
  binaryBytes,
  bytes,
  bytesNeeded,
  count,
  duration,
  figures,
  rate,
  scale,
  share,
} from "../numerics/quantities.ts";

/** Edges: nothing, one, where a unit begins, where rounding reaches it, no number, very much, less than nothing. */
const EDGES = [0, 1, 768, 999.4, 999.5, 1e3, 2.14e9, 1e30, NaN, Infinity, -2.14e9, 0.000768];

Deno.test("quantities: sizes, counts and numbers at the edges of their units", () => {
  const all = (show: (x: number) => string) => EDGES.map(show).join(" | ");
  assertEquals(
    all(bytes),
    "0 B | 1 B | 768 B | 999 B | 1.00 kB | 1.00 kB | 2.14 GB | 1.00e12 EB | NaN B | ∞ B | -2.14 GB | 0.000768 B",
  );
  assertEquals(
    all(figures),
    "0.00 | 1.00 | 768 | 999 | 1000 | 1000 | 2.14e9 | 1.00e30 | NaN | ∞ | -2.14e9 | 0.000768",
  );
  assertEquals([5, 999_999, 1e6, 859_520_964, NaN].map(count), [
    ...["5", "999999", "1.00M", "860M", "NaN"],
  ]);
  assertEquals([128 * 2 ** 20, 2 ** 31, 32_768, 512].map(binaryBytes), [
    ...["128 MiB", "2.00 GiB", "32.0 KiB", "512 B"],
  ]);
  assertEquals([1.62e12, 0].map((x) => scale(x, "FLOP")), ["1.62 TFLOP", "0 FLOP"]);
  assertEquals([0.25, 1, 0].map(share), ["25.0 %", "100 %", "0.00 %"]);
});

Deno.test("quantities: times go from nanoseconds to days", () => {
  const times = [
    0,
    1e-9,
    4.56e-5,
    0.0456,
    0.9996,
    12.34,
    59.94,
    59.96,
    105,
    3599.7,
    7500,
    86_399.7,
  ];
  assertEquals(
    times.map(duration).join(" | "),
    "0 s | 1.00 ns | 45.6 µs | 45.6 ms | 1.00 s | 12.3 s | 59.9 s | 1:00 | 1:45 | 1:00:00 | 2:05:00 | 1.00 d",
  );
  assertEquals([NaN, Infinity, -105, 1e9].map(duration), ["NaN", "∞", "-1:45", "11600 d"]);
});

Deno.test("quantities: a rate is per second, or the time of each where that is longer", () => {
  const rates = [8800, 1.9, 1, 0.9996, 0.25, 0.01, 0, NaN];
  assertEquals(
    rates.map(rate).join(" | "),
    "8.80k/s | 1.90/s | 1.00/s | 1.00/s | 4.00 s each | 1:40 each | 0/s | NaN/s",
  );
});

Deno.test("quantities: what is needed never looks smaller than it is", () => {
  assertEquals([3.01e9, 3.011e9, 1e6 + 1, 999.4, 0].map(bytesNeeded), [
    ...["3.01 GB", "3.02 GB", "1.01 MB", "1.00 kB", "0 B"],
  ]);
});

Deno.test("quantities: every number has at most three digits that count, and says what it was within half a percent", () => {
  const units = { B: 1, kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12, PB: 1e15, EB: 1e18 };
  fc.assert(
    fc.property(fc.double({ min: 1e-4, max: 9e20, noNaN: true }), (x) => {
      const text = bytes(x);
      assertMatch(text, /^\d[\d.]* [kMGTPE]?B$/);
      const [number, unit] = text.split(" ");
      assert(number.replace(".", "").replace(/^0+/, "").length <= 3, text);
      assert(Number(number) < 1000, text);
      const back = Number(number) * units[unit as keyof typeof units];
      assert(Math.abs(back - x) <= 0.0051 * x, `${x} became ${text}`);
      const plain = figures(x);
      assert(Math.abs(Number(plain) - x) <= 0.0051 * x, `${x} became ${plain}`);
      assert(!/e\+/.test(plain), plain);
    }),
    { numRuns: 2000 },
  );
});

/**
 * Where digits are others for a reason: the paper's tables, limits that are round numbers, values of tensors. Examples are
 * programs of users, who have none of our functions for that.
 */
const FIXED = [
  ...["paper/tables.ts", "world/measure/summary.ts", "cli/verify/work.ts", "tensor/print.ts"],
];

Deno.test("quantities: no other file formats numbers by itself", async () => {
  const own = /\.(toFixed|toPrecision|toExponential)\(|[0-9}] ?[KMG]i?B\b`/;
  const found: string[] = [];
  for (const path of sources(".")) {
    if (/^(tests|numerics|examples)\//.test(path) || FIXED.includes(path)) continue;
    if (own.test(await Deno.readTextFile(path))) found.push(path);
  }
  assertEquals(found, []);
});
