/** Conversion between element types. */
import { apply, type Tensor } from "../tensor/tensor.ts";
import type { DType } from "../tensor/dtype.ts";
import { defineMap } from "./elementwise.ts";

const castOp = defineMap<{ readonly dtype: DType }>({
  name: "cast",
  arity: 1,
  expression: ([a], _attrs, w) => `${w.type(w.out)}(${a})`,
  reference: ([a], { dtype }) => dtype === "i32" || dtype === "u32" ? Math.trunc(a) : a,
  vjp: [(g, [a]) => cast(g, a.dtype)],
  dtype: (_inputs, { dtype }) => dtype,
});

/** Converts to another element type; to integers by truncation. The gradient is cast back. */
export function cast(a: Tensor, dtype: DType): Tensor {
  return a.dtype === dtype ? a : apply(castOp, [a], { dtype })[0];
}
