/** Values of tensors by their definition and on the device, and their comparison. */
import { assert, assertEquals } from "@std/assert";
import { evaluate } from "../../compile/compile.ts";
import { interpret } from "../../compile/interpret.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { testDevice } from "./check.ts";

export const values = (t: Tensor) => [...interpret([t])[0]];
export const near = (a: ArrayLike<number>, b: ArrayLike<number>, most = 1e-5) => {
  assertEquals(a.length, b.length);
  Array.from(a).forEach((v, i) =>
    assert(Math.abs(v - b[i]) <= most * Math.max(1, Math.abs(b[i])), `${i}: ${v}, ${b[i]}`)
  );
};
export const onDevice = async (t: Tensor) => {
  const device = await testDevice();
  return Array.from(await device.read(evaluate(device, t)), Number);
};
