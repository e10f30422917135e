/** Dropout: a mask that a key draws, so that it can be drawn again. */
import { calledAs } from "../tensor/called.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { expectNumber, expectOptions, expectTensors } from "../tensor/arguments.ts";
import { expectType, FLOATS } from "../tensor/element.ts";
import { mul } from "./elementwise/arithmetic.ts";
import { less, where } from "./elementwise/compare.ts";
import { type DrawOptions, randomUniform } from "./random.ts";
import { expectKey } from "./random/expect_key.ts";

/**
 * `x` with elements set to 0 at a rate, the others scaled so that the mean stays: 1/(1 − rate).
 *
 * @param x `[…]`, f32 or f16
 * @param key `[2]` u32; the same key drops the same elements
 * @param rate from 0 to 1
 * @throws RangeError for another rate
 */
export function dropout(x: Tensor, key: Tensor, rate: number, options: DrawOptions = {}): Tensor {
  expectTensors("dropout", { x, key });
  expectNumber("dropout", 2, "rate", rate);
  expectOptions("dropout", 3, options, { stream: "number" });
  if (!(rate >= 0 && rate <= 1)) throw new RangeError(`dropout: rate ${rate} is not from 0 to 1`);
  expectType("dropout", x.spec, FLOATS);
  expectKey("dropout", key);
  if (rate === 1) return mul(where(less(x, x), x, 0), 1);
  const drawn = calledAs("dropout", () => randomUniform(key, x.shape, options));
  return where(less(drawn, rate), 0, mul(x, 1 / (1 - rate)));
}
