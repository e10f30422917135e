/** Keys of counter-based randomness on the device: a pure function of seed and step, so that resumed runs repeat. */
import { tensor } from "../ops/leaf.ts";
import { foldIn, keyFromSeed } from "../ops/random.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** The key of one training step, u32 `[2]`. */
export function keyOfStep(seed: number, step: number): Tensor {
  return tensor(Uint32Array.from(foldIn(keyFromSeed(seed), step)), [2]);
}
