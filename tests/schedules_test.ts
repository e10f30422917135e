// Schedules: optax's values, the same on the host and in a program, as data that goes through JSON.
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import * as optim from "../optim/mod.ts";
import type { Schedule } from "../optim/mod.ts";
import { compile } from "../compile/compile.ts";
import { interpret } from "../compile/interpret.ts";
import { scalar } from "../ops/leaf.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { test } from "./support/devices.ts";

const golden: { schedules: Record<string, number[]> } = JSON.parse(
  await Deno.readTextFile(new URL("golden/optimizers.json", import.meta.url)),
);

const SCHEDULES: Record<string, Schedule> = {
  "constant": optim.constantSchedule(0.3),
  "linear": optim.linearSchedule(1, 0.1, 7),
  "cosine": optim.cosineSchedule(2, 9, 0.5),
  "exponential": optim.exponentialSchedule(0.5, 4, 0.8),
  "staircase": optim.exponentialSchedule(0.5, 4, 0.8, { staircase: true, to: 0.3 }),
  "piecewise": optim.piecewiseSchedule(1, { 8: 0.1, 3: 0.5 }),
  "warm-up": optim.warmUpSchedule(1, 5, optim.cosineSchedule(1, 10, 0.1)),
  "one cycle": optim.oneCycleSchedule(16, 0.1),
  "join": optim.joinSchedules([
    optim.linearSchedule(0, 1, 4),
    optim.exponentialSchedule(1, 2, 0.5),
  ], [6]),
};

Deno.test("schedules give optax's values", () => {
  assertEquals(Object.keys(SCHEDULES), Object.keys(golden.schedules));
  for (const [name, schedule] of Object.entries(SCHEDULES)) {
    golden.schedules[name].forEach((value, step) => {
      const ours = optim.valueAt(schedule, step);
      assert(Math.abs(ours - value) < 2e-7, `${name} at ${step}: ${ours}, not ${value}`);
    });
  }
});

test("in a program they give what they give on the host", async (device) => {
  const all = compile(
    device,
    (step: Tensor) => Object.values(SCHEDULES).map((s) => optim.valueAt(s, step)),
  );
  for (let step = 0; step < 20; step++) {
    const values = all(scalar(step, "u32"));
    for (const [i, schedule] of Object.values(SCHEDULES).entries()) {
      const [device_, host] = [await device.item(values[i]), optim.valueAt(schedule, step)];
      assert(
        Math.abs(device_ - host) < 1e-6,
        `${Object.keys(SCHEDULES)[i]} at ${step}: ${device_}`,
      );
    }
  }
});

const number = fc.double({ min: -5, max: 5, noNaN: true });
const steps = fc.integer({ min: 0, max: 12 });
const { schedule } = fc.letrec<{ schedule: Schedule }>((tie) => ({
  schedule: fc.oneof(
    { depthSize: "small" },
    number.map(optim.constantSchedule),
    fc.tuple(number, number, steps).map(([a, b, n]) => optim.linearSchedule(a, b, n)),
    fc.tuple(number, number, steps).map(([a, b, n]) => optim.cosineSchedule(a, n, b)),
    fc.tuple(number, fc.double({ min: 0.5, max: 1.5, noNaN: true })).map(([a, f]) =>
      optim.exponentialSchedule(a, 3, f)
    ),
    fc.tuple(tie("schedule"), tie("schedule"), steps).map(([a, b, n]) =>
      optim.joinSchedules([a, b], [n])
    ),
    fc.tuple(tie("schedule"), tie("schedule")).map(([a, b]) => optim.productSchedule(a, b)),
  ),
}));

Deno.test("laws: through JSON they are what they were, a join is its parts, a product their product", () => {
  fc.assert(
    fc.property(schedule, schedule, steps, fc.integer({ min: 0, max: 30 }), (a, b, n, step) => {
      const at = (s: Schedule) => optim.valueAt(s, step);
      assertEquals(at(JSON.parse(JSON.stringify(a))), at(a));
      assert(Number.isFinite(at(a)));
      const joined = optim.joinSchedules([a, b], [n]);
      assertEquals(at(joined), step < n ? at(a) : optim.valueAt(b, step - n));
      const product = at(optim.productSchedule(a, b)), expected = at(a) * at(b);
      assert(Math.abs(product - expected) <= 1e-12 * Math.abs(expected));
      const [traced] = interpret([optim.valueAt(a, scalar(step))]);
      assert(Math.abs(traced[0] - at(a)) <= 1e-6 * Math.max(1, Math.abs(at(a))));
    }),
    { numRuns: 200 },
  );
});

Deno.test("what is no schedule, or has a number out of range, is refused by name", () => {
  // deno-lint-ignore no-explicit-any
  const any = optim as any;
  const cases: [() => unknown, string][] = [
    [
      () => any.valueAt({ kind: "cosin" }, 1),
      'a schedule is the string "cosin", not one of constant',
    ],
    [() => any.valueAt(3, 1), "a schedule is the number 3"],
    [() => any.valueAt(null, 1), "a schedule is null"],
    [
      () => any.valueAt({ kind: "linear", from: 1, to: 0 }, 1),
      'schedule "linear": steps is undefined',
    ],
    [
      () => any.valueAt({ kind: "join", schedules: [], boundaries: [] }, 1),
      "0 schedules, and 0 boundaries",
    ],
    [() => any.valueAt({ kind: "product" }, 1), "schedules is undefined, not a list"],
    [() => optim.linearSchedule(NaN, 1, 3), "from is NaN, not a finite f32"],
    [() => optim.linearSchedule(0, 1, -3), "steps is -3, not a number of at least 0"],
    [() => optim.exponentialSchedule(1, 0, 0.5), "steps is 0, not a number above 0"],
    [() => optim.exponentialSchedule(1, 3, -1), "factor is -1"],
    [() => optim.joinSchedules([optim.constantSchedule(1)], [3]), "1 schedules, and 1 boundaries"],
    [
      () => optim.joinSchedules([1, 2, 3].map(optim.constantSchedule), [3, 2]),
      "boundary 1 is 2, not a step, none before the last",
    ],
    [() => optim.valueAt(optim.constantSchedule(1), -1), "step the number -1"],
    [() => optim.valueAt(optim.constantSchedule(1), NaN), "step the number NaN"],
    [() => optim.scaleBySchedule(1 as never), "a schedule is the number 1"],
  ];
  for (const [call, message] of cases) assertThrows(call, Error, message);
});

Deno.test("an exponential goes no further than its end, whichever way it goes", () => {
  const at = (from: number, factor: number, to: number) =>
    [0, 10, 1000].map((step) =>
      optim.valueAt(optim.exponentialSchedule(from, 10, factor, { to }), step)
    );
  const near = (found: number[], wanted: number[]) =>
    assert(found.every((v, i) => Math.abs(v - wanted[i]) < 1e-12), `${found}, not ${wanted}`);
  near(at(1, 0.5, 0.2), [1, 0.5, 0.2]);
  near(at(1, 2, 3), [1, 2, 3]);
  near(at(-1, 0.5, -0.2), [-1, -0.5, -0.2]);
  near(at(-1, 2, -3), [-1, -2, -3]);
});
