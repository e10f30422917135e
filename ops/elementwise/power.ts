/** Powers: of a fixed exponent, which small whole ones make products of, and of a tensor of exponents. */
import { calledAs } from "../../tensor/called.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { expectFloats } from "../../tensor/arguments.ts";
import type { Wgsl } from "../../tensor/op.ts";
import { div, log, mul, sub } from "./arithmetic.ts";
import { equal, where } from "./compare.ts";
import { defineMap } from "./define.ts";
import { applyMap, expectOperands, type Operand } from "./map.ts";
import { INFINITE, isNan, NOT_A_NUMBER } from "./nan.ts";
import { num } from "./series.ts";

const powOp = defineMap<{ readonly exponent: number }>({
  name: "pow",
  arity: 1,
  expression: ([a], { exponent }, w) => fixedPower(a, exponent, w),
  reference: ([a], { exponent }) => Math.pow(a, exponent),
  vjp: [(g, [a], _y, { exponent: n }) => mul(g, n === 0 ? 0 : mul(fixed(a, n - 1), n))],
});

/**
 * Small whole powers as products; others by WGSL's `pow` of what it is defined for, and what IEEE says of the rest: of
 * 0, ±∞, NaN and numbers below zero.
 */
function fixedPower(a: string, n: number, w: Wgsl): string {
  const type = w.type("f32");
  if (!Number.isInteger(n) || Math.abs(n) > 16) {
    const size = w.let(`abs(${a})`);
    const [zero, infinite] = [`${type}(0.0)`, `${type}(${INFINITE})`];
    const ends = n < 0 ? [infinite, zero] : [zero, infinite];
    const inside = `pow(${size}, ${w.number(n)})`;
    const atZero = `select(${inside}, ${ends[0]}, ${size} == ${zero})`;
    const value = w.let(`select(${atZero}, ${ends[1]}, ${size} == ${infinite})`);
    const words = w.type("u32");
    if (!Number.isInteger(n)) {
      const outside = `((${a} < ${zero}) & (${size} != ${infinite}))`;
      return `select(${value}, ${type}(${NOT_A_NUMBER}), ${outside} | ${isNan(a, words)})`;
    }
    const signed = n % 2
      ? `select(${value}, -${value}, bitcast<${words}>(${a}) > ${words}(0x7fffffffu))`
      : value;
    return `select(${signed}, ${a}, ${isNan(a, words)})`;
  }
  if (n < 0) return `(${type}(1.0) / ${fixedPower(a, -n, w)})`;
  if (n === 0) return `${type}(1.0)`;
  if (n % 2) return n === 1 ? a : `(${a} * ${fixedPower(a, n - 1, w)})`;
  const root = w.let(fixedPower(a, n / 2, w));
  return `(${root} * ${root})`;
}

/** The power of IEEE's `pow`: 1 where the exponent is 0 or the base 1, whatever the other is. */
const powerOf = (a: number, b: number): number =>
  a === 1 || (a === -1 && Math.abs(b) === Infinity) ? 1 : Math.pow(a, b);

const powerOp = defineMap({
  name: "power",
  arity: 2,
  expression([a, b], _attrs, w) {
    const [zero, one, infinite] = [0, 1, Infinity].map((v) => num(v, w));
    const words = w.type("u32");
    const size = w.let(`abs(${a})`);
    const up = w.let(`${b} > ${zero}`);
    // Of 0, ∞ and infinite exponents WGSL promises nothing.
    const ends = w.let(`select(${zero}, ${infinite}, (${size} > ${one}) == ${up})`);
    const special = w.let(
      `(${size} == ${zero}) | (${size} == ${infinite}) | (abs(${b}) == ${infinite})`,
    );
    // By way of logarithms the largest numbers are not their own first power.
    const inside = `select(pow(${size}, ${b}), ${size}, ${b} == ${one})`;
    const value = w.let(`select(${inside}, ${ends}, ${special})`);
    const half = w.let(`${b} * ${num(0.5, w)}`);
    const whole = w.let(`${b} == floor(${b})`);
    const odd = w.let(`${whole} & (${half} != floor(${half}))`);
    const below = w.let(`bitcast<${words}>(${a}) > ${words}(0x7fffffffu)`);
    const turned = w.let(`select(${value}, -${value}, ${below} & ${odd})`);
    const none = `(${a} < ${zero}) & (${size} != ${infinite}) & !${whole}`;
    const broken = `(${none}) | ${isNan(a, words)} | ${isNan(b, words)}`;
    const result = w.let(`select(${turned}, ${w.type("f32")}(${NOT_A_NUMBER}), ${broken})`);
    const unit =
      `(${b} == ${zero}) | (${a} == ${one}) | ((${size} == ${one}) & (abs(${b}) == ${infinite}))`;
    return `select(${result}, ${one}, ${unit})`;
  },
  reference: ([a, b]) => powerOf(a, b),
  vjp: [
    (g, [a, b]) => mul(g, where(equal(b, 0), 0, mul(b, power(a, sub(b, 1))))),
    // Of 0 to a positive power nothing is to be had by another exponent.
    (g, [a], y) => mul(g, where(equal(y, 0), 0, mul(y, log(a)))),
  ],
});

const power = (a: Operand, b: Operand): Tensor => applyMap(powerOp, [a, b], undefined);

const fixed = (a: Tensor, exponent: number): Tensor => applyMap(powOp, [a], { exponent });

/** `1 / a`. */
export function reciprocal(a: Tensor): Tensor {
  expectFloats("reciprocal", { a });
  return div(1, a);
}

/**
 * `aᵇ`: for a fixed exponent, or one for each element. A number below zero to a power that is a fraction is NaN; to the
 * power 0 everything is 1.
 *
 * @param exponent a number that is finite, or a tensor that broadcasts against a
 * @throws RangeError when the exponent is a number that is not finite
 */
export function pow(a: Operand, exponent: Operand): Tensor {
  expectOperands("pow", [a, exponent]);
  if (typeof exponent !== "number" || typeof a === "number") {
    return calledAs("pow", () => power(a, exponent));
  }
  if (!Number.isFinite(Math.fround(exponent))) {
    throw new RangeError(`pow: the exponent must be a finite f32, not ${exponent}`);
  }
  return fixed(a, exponent);
}
