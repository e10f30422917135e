/** What a key is, for every function that takes one: it says so by its own name. */
import type { Tensor } from "../../tensor/tensor.ts";
import { expectTensors } from "../../tensor/arguments.ts";
import { sameShape, ShapeError, show } from "../../tensor/shape.ts";

/** Refuses what is no key, `[2]` u32. */
export function expectKey(op: string, key: Tensor): void {
  expectTensors(op, { key });
  if (key.dtype === "u32" && sameShape(key.shape, [2])) return;
  throw new ShapeError(op, `the key must be u32[2], not ${show(key.spec)}; vmap takes many`);
}
