import { assertAlmostEquals, assertEquals, assertStringIncludes } from "@std/assert";
import { interval } from "../evaluate/interval.ts";
import { type Row, summary } from "../world/measure_summary.ts";

const row = (concept: string, seed: number, regularized: boolean, frac: number): Row => ({
  ...{ concept, seed, regularized, frac, align: 0, base: 0, ceil: 1 },
  ...{ kid: regularized ? 1 : 4, classKept: 0.5, seconds: 1 },
});

Deno.test("the interval of three values is Student's", () => {
  const { mean, half } = interval([1, 2, 3]);
  assertEquals(mean, 2);
  assertAlmostEquals(half, 4.3 / Math.sqrt(3));
  assertEquals(interval([1]).half, Infinity);
  assertAlmostEquals(interval([...Array(20).fill(0), ...Array(20).fill(2)]).half, 0.314, 1e-3);
});

Deno.test("the summary averages concepts within a seed, and leaves out seeds that are not complete", () => {
  const rows = [
    ...[0, 1].flatMap((seed) => [row("a", seed, true, 0.2), row("b", seed, true, 0.6)]),
    row("a", 2, true, 0.9),
    row("a", 0, false, 0.5),
  ];
  const lines = summary(rows).split("\n");
  assertStringIncludes(lines[2], "| a | 0.43 ±");
  assertStringIncludes(lines[3], "| b | 0.60 ± 0.00 | 0.50 ± 0.00 | 1.00 ± 0.00 | – |");
  assertStringIncludes(lines.at(-1)!, "| **all** | 0.40 ± 0.00 |");
});
