/** Attention against its definition: every way of computing it, forward and backward, at drawn sizes. */
import fc from "fast-check";
import type { Spec } from "../tensor/shape.ts";
import { attention } from "../ops/attention.ts";
import { checkOp, deviceAs } from "./support/check.ts";

const specs = (B: number, T: number, S: number, H: number, D: number): Spec[] => [
  { shape: [B, T, H, D], dtype: "f32" },
  { shape: [B, S, H, D], dtype: "f32" },
  { shape: [B, S, H, D], dtype: "f32" },
];

const sizes = fc.record({
  B: fc.integer({ min: 1, max: 2 }),
  T: fc.integer({ min: 1, max: 40 }),
  S: fc.integer({ min: 1, max: 40 }),
  H: fc.integer({ min: 1, max: 3 }),
  D: fc.constantFrom(4, 8, 12, 16, 3, 7),
  causal: fc.boolean(),
  seed: fc.integer({ min: 1, max: 1e6 }),
});

for (const software of [true, false]) {
  const kind = software ? "a software adapter" : "a GPU";
  Deno.test(`attention and its gradients equal their definition at any sizes, with the kernels for ${kind}`, async () => {
    const device = await deviceAs(software);
    await fc.assert(
      fc.asyncProperty(sizes, async ({ B, T, S, H, D, causal, seed }) => {
        await checkOp(specs(B, T, S, H, D), (q, k, v) => attention(q, k, v, { causal }), {
          device,
          seed,
        });
      }),
      { numRuns: 5, seed: 11 },
    );
  });
}
