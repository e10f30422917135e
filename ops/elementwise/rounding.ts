/**
 * Rounding, signs and remainders. Steps have no slope: their derivative is zero everywhere, and a remainder's is that of
 * the subtraction it stands for.
 */
import { calledAs } from "../../tensor/called.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { add, div, maximum, mul, sub } from "./arithmetic.ts";
import { equal, less, where } from "./compare.ts";
import { defineMap } from "./define.ts";
import { applyMap, type Operand } from "./map.ts";
import { keepNan } from "./nan.ts";

/** The nearest whole number in float64, the even one of two. */
const nearest = (x: number): number => {
  const r = Math.round(x);
  return Math.abs(x - Math.trunc(x)) === 0.5 && r % 2 !== 0 ? r - 1 : r;
};

const step = (name: string, reference: (x: number) => number) =>
  defineMap({
    name,
    arity: 1,
    expression: ([a]) => `${name}(${a})`,
    reference: ([a]) => reference(a),
    vjp: [null],
  });
const ceilOp = step("ceil", Math.ceil);
const truncOp = step("trunc", Math.trunc);
const roundOp = step("round", nearest);

const signOp = defineMap({
  name: "sign",
  arity: 1,
  takes: "integers",
  expression: ([a], _attrs, w) =>
    w.out === "f32"
      ? keepNan(`sign(${a})`, a, w)
      : w.out === "u32"
      ? `min(${a}, ${w.number(1)})`
      : `sign(${a})`,
  reference: ([a]) => Math.sign(a),
  vjp: [null],
});

/** The smallest whole number that is not below `a`. Its derivative is zero. */
export const ceil = (a: Tensor): Tensor => applyMap(ceilOp, [a], undefined);
/** `a` cut towards zero. Its derivative is zero. */
export const trunc = (a: Tensor): Tensor => applyMap(truncOp, [a], undefined);
/** The nearest whole number, of two the even one. Its derivative is zero. */
export const round = (a: Tensor): Tensor => applyMap(roundOp, [a], undefined);
/** −1, 0 or 1: the sign of `a`. Its derivative is zero. */
export const sign = (a: Tensor): Tensor => applyMap(signOp, [a], undefined);

/** `a − b·q` for a quotient q that was cut to a whole number; `a` itself where q is 0, however large b is. */
const rest = (a: Operand, b: Operand, q: Tensor): Tensor =>
  where(equal(q, 0), a, sub(a, mul(b, q)));

/** With the sign of `a`. */
function cutTowardsZero(a: Operand, b: Operand): Tensor {
  const q = div(a, b);
  return isFloat(q.dtype) ? rest(a, b, trunc(q)) : sub(a, mul(b, q));
}

/** With the sign of `b`. */
function floored(a: Operand, b: Operand): Tensor {
  const r = cutTowardsZero(a, b);
  if (r.dtype === "u32") return r;
  const apart = maximum(mul(less(r, 0), less(0, b)), mul(less(0, r), less(b, 0)));
  return where(apart, add(r, b), r);
}

/**
 * What is left of `a` after whole multiples of `b` are taken off, with the sign of `a`, as C's `fmod`. Integers by 0 give
 * `a`. Of floats, exact to an ulp of `a`.
 */
export function fmod(a: Operand, b: Operand): Tensor {
  return calledAs("fmod", () => cutTowardsZero(a, b));
}

/**
 * What is left of `a` after whole multiples of `b` are taken off, with the sign of `b`, as Python's `%` and NumPy's
 * `remainder`. Integers by 0 give `a`. Of floats, exact to an ulp of `a`.
 */
export function remainder(a: Operand, b: Operand): Tensor {
  return calledAs("remainder", () => floored(a, b));
}

/** {@linkcode remainder}, by NumPy's other name. */
export function mod(a: Operand, b: Operand): Tensor {
  return calledAs("mod", () => floored(a, b));
}
