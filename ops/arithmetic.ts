/** Arithmetic, elementwise: the ops that everything else is written with. All broadcast as NumPy does. */
import type { Tensor } from "../tensor/tensor.ts";
import { defineMap } from "./elementwise.ts";
import { applyMap, type Operand } from "./map.ts";
import type { Wgsl } from "../tensor/op.ts";
import { greaterEqual, less, where } from "./compare.ts";

const addOp = defineMap({
  name: "add",
  arity: 2,
  expression: ([a, b]) => `(${a} + ${b})`,
  reference: ([a, b]) => a + b,
  vjp: [(g) => g, (g) => g],
});
const subOp = defineMap({
  name: "sub",
  arity: 2,
  expression: ([a, b]) => `(${a} - ${b})`,
  reference: ([a, b]) => a - b,
  vjp: [(g) => g, (g) => neg(g)],
});
const mulOp = defineMap({
  name: "mul",
  arity: 2,
  expression: ([a, b]) => `(${a} * ${b})`,
  reference: ([a, b]) => a * b,
  vjp: [(g, [, b]) => mul(g, b), (g, [a]) => mul(g, a)],
});
const divOp = defineMap({
  name: "div",
  arity: 2,
  expression: ([a, b]) => `(${a} / ${b})`,
  reference: ([a, b]) => a / b,
  vjp: [(g, [, b]) => div(g, b), (g, [, b], y) => neg(div(mul(g, y), b))],
});
const maximumOp = defineMap({
  name: "maximum",
  arity: 2,
  expression: ([a, b]) => `max(${a}, ${b})`,
  reference: ([a, b]) => Math.max(a, b),
  vjp: [
    (g, [a, b]) => where(greaterEqual(a, b), g, 0),
    (g, [a, b]) => where(greaterEqual(a, b), 0, g),
  ],
});
const minimumOp = defineMap({
  name: "minimum",
  arity: 2,
  expression: ([a, b]) => `min(${a}, ${b})`,
  reference: ([a, b]) => Math.min(a, b),
  vjp: [
    (g, [a, b]) => where(greaterEqual(b, a), g, 0),
    (g, [a, b]) => where(greaterEqual(b, a), 0, g),
  ],
});
const negOp = defineMap({
  name: "neg",
  arity: 1,
  expression: ([a]) => `(-${a})`,
  reference: ([a]) => -a,
  vjp: [(g) => neg(g)],
});
const absOp = defineMap({
  name: "abs",
  arity: 1,
  expression: ([a]) => `abs(${a})`,
  reference: ([a]) => Math.abs(a),
  vjp: [(g, [a]) => where(greaterEqual(a, 0), g, neg(g))],
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
  arity: 1,
  expression: ([a]) => `(${a} * ${a})`,
  reference: ([a]) => a * a,
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
  arity: 1,
  expression: ([a], { lo, hi }, w) =>
    `clamp(${a}, ${w.type(w.out)}(${lo}), ${w.type(w.out)}(${hi}))`,
  reference: ([a], { lo, hi }) => Math.min(Math.max(a, lo), hi),
  vjp: [(g, [a], _y, { lo, hi }) => where(less(a, lo), 0, where(less(hi, a), 0, g))],
});
const powOp = defineMap<{ readonly exponent: number }>({
  name: "pow",
  arity: 1,
  expression: ([a], { exponent }, w) => power(a, exponent, w),
  reference: ([a], { exponent }) => Math.pow(a, exponent),
  vjp: [(g, [a], _y, { exponent: n }) => mul(g, n === 0 ? 0 : mul(pow(a, n - 1), n))],
});

/** Small whole powers as products, which WGSL's `pow` (undefined below zero) cannot do. */
function power(a: string, n: number, w: Wgsl): string {
  const type = w.type("f32");
  if (!Number.isInteger(n) || Math.abs(n) > 16) return `pow(${a}, ${type}(${n}))`;
  if (n < 0) return `(${type}(1.0) / ${power(a, -n, w)})`;
  if (n === 0) return `${type}(1.0)`;
  if (n % 2) return n === 1 ? a : `(${a} * ${power(a, n - 1, w)})`;
  const root = w.let(power(a, n / 2, w));
  return `(${root} * ${root})`;
}

/** `a + b`. */
export const add = (a: Operand, b: Operand): Tensor => applyMap(addOp, [a, b], undefined);
/** `a − b`. */
export const sub = (a: Operand, b: Operand): Tensor => applyMap(subOp, [a, b], undefined);
/** `a · b`, element by element. */
export const mul = (a: Operand, b: Operand): Tensor => applyMap(mulOp, [a, b], undefined);
/** `a / b`. */
export const div = (a: Operand, b: Operand): Tensor => applyMap(divOp, [a, b], undefined);
/** The larger of the two; at a tie the gradient goes to `a`. */
export const maximum = (a: Operand, b: Operand): Tensor => applyMap(maximumOp, [a, b], undefined);
/** The smaller of the two; at a tie the gradient goes to `a`. */
export const minimum = (a: Operand, b: Operand): Tensor => applyMap(minimumOp, [a, b], undefined);
/** `−a`. */
export const neg = (a: Tensor): Tensor => applyMap(negOp, [a], undefined);
/** `|a|`. */
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
/** `a`, kept within `lo … hi`; the gradient passes where nothing was cut off. */
export const clamp = (a: Tensor, lo: number, hi: number): Tensor =>
  applyMap(clampOp, [a], { lo, hi });
/** `aⁿ` for a fixed exponent. Exponents that are fractions or beyond ±16 need `a ≥ 0`. */
export const pow = (a: Tensor, exponent: number): Tensor => applyMap(powOp, [a], { exponent });
