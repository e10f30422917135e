/** Comparison and selection. Comparisons give `bool`. */
import { calledAs } from "../../tensor/called.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { storedAs } from "../../tensor/dtype.ts";
import { defineMap } from "./define.ts";
import { applyMap, expectOperands, type Operand } from "./map.ts";

function comparison(name: string, operator: string, test: (a: number, b: number) => boolean) {
  return defineMap({
    name,
    arity: 2,
    expression: ([a, b], _attrs, w) =>
      `select(${w.type("u32")}(0u), ${w.type("u32")}(1u), ${a} ${operator} ${b})`,
    reference: ([a, b]) => Number(test(a, b)),
    vjp: [null, null],
    dtype: () => "bool",
    takes: "integers",
  });
}

const lessOp = comparison("less", "<", (a, b) => a < b);
const greaterEqualOp = comparison("greaterEqual", ">=", (a, b) => a >= b);
const equalOp = comparison("equal", "==", (a, b) => a === b);
const greaterOp = comparison("greater", ">", (a, b) => a > b);
const lessEqualOp = comparison("lessEqual", "<=", (a, b) => a <= b);

const notEqualOp = defineMap({
  name: "notEqual",
  arity: 2,
  // Not by "!=": compilers that assume that there is no NaN take x != x for false.
  expression: ([a, b], _attrs, w) =>
    `select(${w.type("u32")}(1u), ${w.type("u32")}(0u), ${a} == ${b})`,
  reference: ([a, b]) => Number(a !== b),
  vjp: [null, null],
  dtype: () => "bool",
  takes: "integers",
});

const whereOp = defineMap({
  name: "where",
  arity: 3,
  free: [0],
  takes: "all",
  expression: ([c, a, b], _attrs, w) => `select(${b}, ${a}, ${c} != ${w.type("u32")}(0u))`,
  reference: ([c, a, b]) => c !== 0 ? a : b,
  vjp: [null, (g, [c]) => where(c, g, 0), (g, [c]) => where(c, 0, g)],
});

/** True where `a < b`. */
export const less = (a: Operand, b: Operand): Tensor => applyMap(lessOp, [a, b], undefined);
/** True where `a ≥ b`. */
export const greaterEqual = (a: Operand, b: Operand): Tensor =>
  applyMap(greaterEqualOp, [a, b], undefined);
/** True where `a = b`. */
export const equal = (a: Operand, b: Operand): Tensor => applyMap(equalOp, [a, b], undefined);
/** True where `a > b`. */
export const greater = (a: Operand, b: Operand): Tensor => applyMap(greaterOp, [a, b], undefined);
/** True where `a ≤ b`. */
export const lessEqual = (a: Operand, b: Operand): Tensor =>
  applyMap(lessEqualOp, [a, b], undefined);
/** True where `a ≠ b`; NaN is not itself. */
export const notEqual = (a: Operand, b: Operand): Tensor => applyMap(notEqualOp, [a, b], undefined);

/**
 * `a` where the condition is not zero, else `b`. The gradient follows the choice.
 *
 * @param condition of any element type; NaN is not zero
 * @returns of the type of `a` and `b`, which may be any
 */
export function where(condition: Tensor, a: Operand, b: Operand): Tensor {
  expectOperands("where", [condition, a, b]);
  if (storedAs(condition.dtype) !== "u32") {
    return calledAs("where", () => where(equal(condition, 0), b, a));
  }
  return applyMap(whereOp, [condition, a, b], undefined, 1);
}
