/**
 * Arithmetic, elementwise: the ops that everything else is written with. All broadcast as NumPy does. What NaN, infinity and
 * each element type do is written in `docs/numbers.md`, and the same for all.
 */
import type { Tensor } from "../../tensor/tensor.ts";
import { expectNumber, expectTensors } from "../../tensor/arguments.ts";
import { counted } from "./cast.ts";
import { defineMap } from "./define.ts";
import { applyMap, type Operand } from "./map.ts";
import { elementOf } from "../../tensor/element.ts";
import type { Wgsl } from "../../tensor/op.ts";
import { equal, less, where } from "./compare.ts";
import { extreme, isNan, isNotFinite } from "./nan.ts";

/**
 * 0, or NaN where `test` holds: what some compilers take for 0 everywhere when they see x − x, x · 0, x / 0 or 0 / x. The
 * sign of such a zero is not kept.
 */
const zeroUnless = (test: string, w: Wgsl): string =>
  `select(${w.number(0)}, ${w.number(NaN)}, ${test})`;

const addOp = defineMap({
  name: "add",
  takes: "integers",
  arity: 2,
  expression: ([a, b]) => `(${a} + ${b})`,
  reference: ([a, b]) => a + b,
  vjp: [(g) => g, (g) => g],
});
const subOp = defineMap({
  name: "sub",
  takes: "integers",
  arity: 2,
  expression: ([a, b], _attrs, w) =>
    a === b && w.out === "f32" ? zeroUnless(isNotFinite(a, w.type("u32")), w) : `(${a} - ${b})`,
  reference: ([a, b]) => a - b,
  vjp: [(g) => g, (g) => neg(g)],
});
const mulOp = defineMap({
  name: "mul",
  takes: "integers",
  arity: 2,
  expression(args, _attrs, w) {
    const zero = w.out === "f32" ? [0, 1].find((i) => w.literal(i) === 0) : undefined;
    if (zero === undefined) return `(${args[0]} * ${args[1]})`;
    return zeroUnless(isNotFinite(args[1 - zero], w.type("u32")), w);
  },
  reference: ([a, b]) => a * b,
  integers: ([a, b]) => Math.imul(a, b),
  vjp: [(g, [, b]) => mul(g, b), (g, [a]) => mul(g, a)],
});
const divOp = defineMap({
  name: "div",
  takes: "integers",
  arity: 2,
  expression([a, b], _attrs, w) {
    const [dividend, divisor] = [w.literal(0), w.literal(1)];
    if (w.out !== "f32" || (dividend !== 0 && divisor !== 0)) return `(${a} / ${b})`;
    if (divisor === 0) return `(${a} * ${w.number(1 / divisor)})`;
    return zeroUnless(`(${b} == ${w.number(0)}) | ${isNan(b, w.type("u32"))}`, w);
  },
  reference: ([a, b]) => a / b,
  // As WGSL has it: cut to a whole number, and a / 0 = a.
  integers: ([a, b]) => b === 0 ? a : Math.trunc(a / b),
  vjp: [(g, [, b]) => div(g, b), (g, [, b], y) => neg(div(mul(g, y), b))],
});

/** What flows to `a` as the larger of the two: half of it at a tie. */
const ofLarger = (g: Tensor, a: Tensor, b: Tensor): Tensor =>
  where(less(b, a), g, where(equal(a, b), mul(g, 0.5), 0));

/** The larger or the smaller of two. */
const extremeOp = (name: string, f: "max" | "min") =>
  defineMap({
    name,
    takes: "all",
    arity: 2,
    expression: ([a, b], _attrs, w) => extreme(f, a, b, w),
    reference: ([a, b]) => Math[f](a, b),
    vjp: [
      (g, [a, b]) => f === "max" ? ofLarger(g, a, b) : ofLarger(g, b, a),
      (g, [a, b]) => f === "max" ? ofLarger(g, b, a) : ofLarger(g, a, b),
    ],
  });
const maximumOp = extremeOp("maximum", "max");
const minimumOp = extremeOp("minimum", "min");

const negOp = defineMap({
  name: "neg",
  takes: "signed",
  arity: 1,
  expression: ([a]) => `(-${a})`,
  reference: ([a]) => -a,
  vjp: [(g) => neg(g)],
});
const absOp = defineMap({
  name: "abs",
  takes: "integers",
  arity: 1,
  expression: ([a]) => `abs(${a})`,
  reference: ([a]) => Math.abs(a),
  vjp: [(g, [a]) => where(less(a, 0), neg(g), where(equal(a, 0), 0, g))],
});
const expOp = defineMap({
  name: "exp",
  arity: 1,
  expression: ([a]) => `exp(${a})`,
  reference: ([a]) => Math.exp(a),
  vjp: [(g, _x, y) => mul(g, y)],
});
const logOp = defineMap({
  name: "log",
  arity: 1,
  expression: ([a]) => `log(${a})`,
  reference: ([a]) => Math.log(a),
  vjp: [(g, [a]) => div(g, a)],
});
const sqrtOp = defineMap({
  name: "sqrt",
  arity: 1,
  expression: ([a]) => `sqrt(${a})`,
  reference: ([a]) => Math.sqrt(a),
  vjp: [(g, _x, y) => div(mul(g, 0.5), y)],
});
const rsqrtOp = defineMap({
  name: "rsqrt",
  arity: 1,
  expression: ([a]) => `inverseSqrt(${a})`,
  reference: ([a]) => 1 / Math.sqrt(a),
  vjp: [(g, [a], y) => mul(mul(g, -0.5), div(y, a))],
});
const squareOp = defineMap({
  name: "square",
  takes: "integers",
  arity: 1,
  expression: ([a]) => `(${a} * ${a})`,
  reference: ([a]) => a * a,
  integers: ([a]) => Math.imul(a, a),
  vjp: [(g, [a]) => mul(mul(g, 2), a)],
});
const floorOp = defineMap({
  name: "floor",
  arity: 1,
  expression: ([a]) => `floor(${a})`,
  reference: ([a]) => Math.floor(a),
  vjp: [null],
});
const clampOp = defineMap<{ readonly lo: number; readonly hi: number }>({
  name: "clamp",
  takes: "integers",
  arity: 1,
  // A bound that is infinite bounds nothing.
  expression: ([a], { lo, hi }, w) => {
    const above = lo === -Infinity ? a : w.let(extreme("max", a, w.number(lo), w));
    return hi === Infinity ? above : extreme("min", above, w.number(hi), w);
  },
  reference: ([a], { lo, hi }) => Math.min(Math.max(a, lo), hi),
  vjp: [(g, [a], _y, { lo, hi }) => {
    const above = lo === -Infinity ? g : where(less(lo, a), g, 0);
    return hi === Infinity ? above : where(less(a, hi), above, 0);
  }],
});
/** `a + b`. */
export const add = (a: Operand, b: Operand): Tensor => applyMap(addOp, [a, b], undefined);
/** `a − b`. */
export const sub = (a: Operand, b: Operand): Tensor => applyMap(subOp, [a, b], undefined);
/** `a · b`, element by element. */
export const mul = (a: Operand, b: Operand): Tensor => applyMap(mulOp, [a, b], undefined);
/** `a / b`. Integers are cut towards zero, and `a / 0` is `a` for them. */
export const div = (a: Operand, b: Operand): Tensor => applyMap(divOp, [a, b], undefined);
/** The larger of the two, NaN where one of them is; at a tie each gets half of the gradient. */
export const maximum = (a: Operand, b: Operand): Tensor => applyMap(maximumOp, [a, b], undefined);
/** The smaller of the two, NaN where one of them is; at a tie each gets half of the gradient. */
export const minimum = (a: Operand, b: Operand): Tensor => applyMap(minimumOp, [a, b], undefined);
/** `−a`. */
export const neg = (a: Tensor): Tensor => applyMap(negOp, [a], undefined);
/** `|a|`; the gradient at 0 is 0. */
export const abs = (a: Tensor): Tensor => applyMap(absOp, [a], undefined);
/** `eᵃ`. */
export const exp = (a: Tensor): Tensor => applyMap(expOp, [a], undefined);
/** Natural logarithm. */
export const log = (a: Tensor): Tensor => applyMap(logOp, [a], undefined);
/** Square root. */
export const sqrt = (a: Tensor): Tensor => applyMap(sqrtOp, [a], undefined);
/** `1/√a`. */
export const rsqrt = (a: Tensor): Tensor => applyMap(rsqrtOp, [a], undefined);
/** `a²`. */
export const square = (a: Tensor): Tensor => applyMap(squareOp, [a], undefined);
/** The largest whole number that is not above `a`. Its derivative is zero. */
export const floor = (a: Tensor): Tensor => applyMap(floorOp, [a], undefined);
/**
 * `a`, kept within `lo … hi`; the gradient passes between the two, and is 0 at both, as that of relu is at 0. Where `lo` is above `hi`, `hi`.
 *
 * @param lo lower bound; −∞ for none
 * @param hi upper bound; ∞ for none
 * @throws RangeError when a bound is NaN, or no number of the tensor's element type
 */
export function clamp(a: Tensor, lo: number, hi: number): Tensor {
  expectTensors("clamp", { a });
  expectNumber("clamp", 1, "lo", lo);
  expectNumber("clamp", 2, "hi", hi);
  const x = counted(a);
  for (const bound of [lo, hi]) {
    if (Number.isNaN(bound)) throw new RangeError(`clamp: bounds ${lo} and ${hi}`);
    if (Math.abs(bound) !== Infinity) elementOf("clamp", bound, x.dtype);
  }
  return applyMap(clampOp, [x], { lo, hi });
}
