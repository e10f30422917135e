/** Conversion between element types. */
import { apply, type Tensor } from "../../tensor/tensor.ts";
import { expectDType, expectTensors } from "../../tensor/arguments.ts";
import { type DType, isFloat, storedAs } from "../../tensor/dtype.ts";
import { RANGE } from "../../tensor/element.ts";

import type { Wgsl } from "../../tensor/op.ts";
import { defineMap } from "./define.ts";
import { isNan } from "./nan.ts";

const castOp = defineMap<{ readonly dtype: DType; readonly from: DType }>({
  name: "cast",
  arity: 1,
  takes: "all",
  expression: ([a], { dtype, from }, w) => {
    const float = isFloat(from);
    // Not by "!=": see notEqual.
    if (dtype === "bool") {
      const type = w.type(float ? "f32" : from as "i32" | "u32");
      return `select(${w.number(1)}, ${w.number(0)}, ${a} == ${type}(0))`;
    }
    return w.out !== "f32" && float ? toInteger(a, w.out, w) : `${w.type(w.out)}(${a})`;
  },
  reference: ([a]) => a,
  integers: ([a], { dtype, from }) => {
    if (dtype === "bool") return Number(a !== 0);
    if (!isFloat(from)) return a;
    const [lo, hi] = RANGE[dtype as "i32" | "u32"];
    return Number.isNaN(a) ? 0 : Math.min(Math.max(Math.trunc(a), lo), hi);
  },
  vjp: [(g, [a]) => cast(g, a.dtype)],
  jvp: ([t], { attrs: { dtype } }) => [t && isFloat(dtype) ? cast(t, dtype) : undefined],
  dtype: (_inputs, { dtype }) => dtype,
});

/** Cut towards zero, at the ends of the type where it lies beyond, and NaN to 0: WGSL leaves those to the driver. */
function toInteger(a: string, to: "i32" | "u32", w: Wgsl): string {
  const [lo, hi] = RANGE[to];
  // The largest f32 that the type holds: between it and the type's own end there is none.
  const top = to === "i32" ? 2147483520 : 4294967040;
  const f32 = w.type("f32"), type = w.type(to);
  const inside = `${type}(clamp(${a}, ${f32}(${lo}), ${f32}(${top})))`;
  const above = `select(${inside}, ${w.number(hi)}, ${a} > ${f32}(${top}))`;
  return `select(${above}, ${type}(0), ${isNan(a, w.type("u32"))})`;
}

/**
 * Converts to another element type. Floats are cut towards zero and kept within the range of an integer type, NaN becoming
 * 0; between the integer types the bits stay. To `bool`, what is not 0 becomes true, NaN too; from it, true becomes 1. The
 * gradient is cast back.
 */
export function cast(a: Tensor, dtype: DType): Tensor {
  expectTensors("cast", { a });
  expectDType("cast", dtype);
  return a.dtype === dtype ? a : apply(castOp, [a], { dtype, from: a.dtype })[0];
}

/** Truth values as the numbers that they count as; anything else as it is. */
export const counted = (a: Tensor): Tensor => cast(a, storedAs(a.dtype));
