// Small programs of any form: what is fused, written, recomputed and kept agrees with the definition, whatever reads what.
import { assert } from "@std/assert";
import fc from "fast-check";
import {
  add,
  evaluate,
  expand,
  matmul,
  mul,
  reshape,
  softmax,
  sum,
  tanh,
  type Tensor,
  tensor,
  transpose,
} from "../mod.ts";
import { interpret } from "../compile/interpret.ts";
import { relativeError } from "./support/check.ts";
import { test } from "./support/devices.ts";

/** One of the last three: what lies near is what fuses. */
const recent = (values: readonly Tensor[], n: number): Tensor =>
  values[values.length - 1 - n % Math.min(3, values.length)];

test("whatever reads whatever: small programs of every kind of op, with any of their values as results", async (device) => {
  const steps: ((a: Tensor, b: Tensor) => Tensor)[] = [
    (a) => tanh(a),
    (a, b) => add(a, b),
    (a, b) => mul(a, b),
    (a) => transpose(a),
    (a) => reshape(reshape(a, [2, 8]), [4, 4]),
    (a, b) => matmul(a, b),
    (a) => softmax(a),
    (a) => expand(sum(a, [1], { keep: true }), [4, 4]),
  ];
  const node = fc.tuple(fc.nat(steps.length - 1), fc.nat(), fc.nat(), fc.boolean());
  await fc.assert(
    fc.asyncProperty(fc.array(node, { minLength: 2, maxLength: 9 }), async (nodes) => {
      const values = [tensor(Float32Array.from({ length: 16 }, (_, i) => Math.sin(i)), [4, 4])];
      const results: Tensor[] = [];
      for (const [kind, a, b, kept] of nodes) {
        const t = steps[kind](recent(values, a), recent(values, b));
        values.push(t);
        if (kept) results.push(t);
      }
      results.push(values.at(-1)!);
      const exact = interpret(results);
      const found = evaluate(device, results);
      for (const [i, t] of found.entries()) {
        const actual = await device.read(t) as Float32Array;
        assert(relativeError(actual, exact[i]) < 1e-4, `result ${i}`);
        device.free(t);
      }
    }),
    { numRuns: device.profile.cpu ? 150 : 8, seed: 11 },
  );
});
