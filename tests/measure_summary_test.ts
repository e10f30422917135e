import { assertAlmostEquals, assertEquals, assertStringIncludes } from "@std/assert";
import { interval } from "../evaluate/interval.ts";
import { type Row, summary } from "../world/measure/summary.ts";

const row = (concept: string, seed: number, regularized: boolean, frac: number): Row => ({
  ...{ concept, seed, regularized, steps: 1, frac, align: 0, base: 0, ceil: 1 },
  ...{ rate: 1e-3, schedule: "linear", seen: 0.25, nearest: 0.875 },
  ...{ kid: regularized ? 1 : 4, kidGuided: regularized ? 2 : 3, classKept: 0.5, seconds: 1 },
  untouched: { kid: 0.5, kidGuided: 1.5, classKept: 0.75 },
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
    ...[0, 1].flatMap((seed) => [row("a", seed, false, 0.5), row("b", seed, false, 0.5)]),
  ];
  const [learnt, drift, ratio] = summary(rows).split("\n\n").map((part) => part.split("\n"));
  assertStringIncludes(learnt[2], "| a | 0.43 ±");
  assertStringIncludes(
    learnt[3],
    "| b | 0.60 ± 0.00 | 0.50 ± 0.00 | 0.25 ± 0.00 | 0.88 ± 0.00 | 0.75 ± 0.00 | 0.50 ± 0.00 |",
  );
  assertStringIncludes(learnt.at(-1)!, "| **all** | 0.40 ± 0.00 | 0.50 ± 0.00 |");
  assertStringIncludes(drift.at(-1)!, "| 0.50 ± 0.00 | 1.00 ± 0.00 | 4.00 ± 0.00 | 1.50 ± 0.00 |");
  assertStringIncludes(ratio[0], "4.00 ± 0.00; guided 1.50 ± 0.00");
  const once = summary([row("a", 0, true, 0.5)]).split("\n\n");
  assertStringIncludes(once[0], "| a | 0.50 | – | 0.25 | 0.88 | 0.75 |");
  assertStringIncludes(once[2], "with it: –; guided –");
});
