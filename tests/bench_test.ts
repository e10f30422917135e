// The benchmark's own arithmetic: a table that compares wrong results, or divides the wrong way round, is worse than none.
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  type Case,
  CASES,
  deviation,
  type Operands,
  operandsOf,
  permuted,
} from "../bench/cases.ts";
import { expectedOf } from "../bench/reference.ts";
import { table } from "../bench/report.ts";
import { options } from "../bench/main.ts";

const softmax = CASES.find((c) => c.kind === "softmax") as Case;

Deno.test("a result that is off, too short, missing or NaN is not taken for right", () => {
  const [{ size, at }] = expectedOf(softmax, operandsOf(softmax));
  const right = Float32Array.from({ length: size }, (_, k) => k < 1e5 ? 0 : NaN);
  assertEquals(deviation([right], [{ size, at }]), Infinity);
  assertThrows(() => deviation([right.subarray(1)], [{ size, at }]), Error, "expected");
  assertThrows(() => deviation([], [{ size, at }]), Error, "output 0");
  const close = Float32Array.from({ length: 64 }, (_, k) => k + (k % 2 ? 1e-3 : 0));
  const error = deviation([close], [{ size: 64, at: (k) => k }]);
  assert(error > 1e-3 / 64 && error < 1e-3 / 32, `${error}`);
});

Deno.test("an MLP's gradient is the slope of its loss", () => {
  const c = {
    ...CASES.find((c) => c.kind === "mlp-grad")!,
    batch: 3,
    inputs: 4,
    hidden: 5,
    outputs: 2,
  };
  assert(c.kind === "mlp-grad");
  const operands = Object.fromEntries(
    Object.entries(operandsOf(c)).map(([name, v]) => [name, Float64Array.from(v)]),
  );
  const loss = () => {
    const { x, y, w1, b1, w2, b2 } = operands;
    let sum = 0;
    for (let n = 0; n < 3; n++) {
      const h = [0, 1, 2, 3, 4].map((j) =>
        Math.max(0, b1[j] + [0, 1, 2, 3].reduce((s, i) => s + x[n * 4 + i] * w1[i * 5 + j], 0))
      );
      for (let o = 0; o < 2; o++) {
        sum += (b2[o] + h.reduce((s, v, j) => s + v * w2[j * 2 + o], 0) - y[n * 2 + o]) ** 2;
      }
    }
    return sum / 6;
  };
  const gradients = expectedOf(c, operands as unknown as Operands);
  ["w1", "b1", "w2", "b2"].forEach((name, i) => {
    assertEquals(gradients[i].size, operands[name].length);
    for (let k = 0; k < operands[name].length; k++) {
      const before = operands[name][k];
      operands[name][k] = before + 1e-6;
      const up = loss();
      operands[name][k] = before - 1e-6;
      const slope = (up - loss()) / 2e-6;
      operands[name][k] = before;
      assert(Math.abs(slope - gradients[i].at(k)) < 1e-7, `${name}[${k}]: ${slope}`);
    }
  });
});

Deno.test("the ratio is the best other library's time over ours; wrong results do not count", () => {
  const outcome = (peer: string, ...ms: number[]) => ({ peer, case: "softmax", ms });
  const run = {
    cases: [softmax],
    peers: ["moongate", "slow", "fast", "liar", "poor"],
    outcomes: [
      outcome("moongate", 2, 1, 3),
      outcome("moongate", 4, 4, 4),
      outcome("moongate", 2, 2, 2),
      outcome("slow", 9, 9, 9),
      outcome("fast", 5, 5, 4),
      { peer: "liar", case: "softmax", failure: "wrong by 1" },
      { peer: "poor", case: "softmax" },
    ],
    rounds: 3,
  };
  assertEquals(
    table(run).split("\n").at(-1),
    "| softmax 4096×256 | 2.00 | 9.00 | 5.00 | wrong | – | **2.50×** | 4.00× |",
  );
});

Deno.test("axes are permuted as in numpy.transpose", () => {
  assertEquals([...permuted([0, 1, 2, 3, 4, 5], [1, 2, 3], [2, 0, 1])], [0, 3, 1, 4, 2, 5]);
});

Deno.test("the command line takes known names only, and writes the page for whole runs only", () => {
  assertEquals(options(["--cases=softmax", "--rounds=2"]).cases, [softmax]);
  assertThrows(() => options(["--cases=soft"]), Error, "none of");
  assertThrows(() => options(["--rounds=0"]), Error, "positive");
  assertThrows(() => options(["--quick"]), Error, "unknown option");
  assertThrows(() => options(["--write", "--cases=softmax"]), Error, "all cases");
});
