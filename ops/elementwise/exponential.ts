/** Exponentials, logarithms and roots beyond `exp` and `log`, each as exact near its zero as elsewhere. */
import { calledAs } from "../../tensor/called.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { expectFloats } from "../../tensor/arguments.ts";
import type { Wgsl } from "../../tensor/op.ts";
import { abs, add, div, exp, maximum, mul, neg, square, sub } from "./arithmetic.ts";
import { equal, where } from "./compare.ts";
import { defineMap } from "./define.ts";
import { applyMap, expectOperands, type Operand } from "./map.ts";
import { keepNan } from "./nan.ts";
import { expm1Of, log1pOf, num, signed } from "./series.ts";
import { sigmoid } from "./activation.ts";

const expm1Op = defineMap({
  name: "expm1",
  arity: 1,
  expression: ([x], _attrs, w) => keepNan(expm1Of(x, w), x, w),
  reference: ([x]) => Math.expm1(x),
  vjp: [(g, [x]) => mul(g, exp(x))],
});

const log1pOp = defineMap({
  name: "log1p",
  arity: 1,
  expression: ([x], _attrs, w) => keepNan(log1pOf(x, w), x, w),
  reference: ([x]) => Math.log1p(x),
  vjp: [(g, [x]) => div(g, add(x, 1))],
});

const exp2Op = defineMap({
  name: "exp2",
  arity: 1,
  expression: ([x]) => `exp2(${x})`,
  reference: ([x]) => 2 ** x,
  vjp: [(g, _x, y) => mul(mul(g, y), Math.LN2)],
});

/** A logarithm to another base: WGSL's, or the natural one times a number. */
const logarithm = (name: string, base: number, value: (x: string, w: Wgsl) => string) =>
  defineMap({
    name,
    arity: 1,
    expression: ([x], _attrs, w) => value(x, w),
    reference: ([x]) => base === 2 ? Math.log2(x) : Math.log10(x),
    vjp: [(g, [x]) => div(g, mul(x, Math.log(base)))],
  });
const log2Op = logarithm("log2", 2, (x) => `log2(${x})`);
const log10Op = logarithm("log10", 10, (x, w) => `(log(${x}) * ${num(Math.LOG10E, w)})`);

const cbrtOp = defineMap({
  name: "cbrt",
  arity: 1,
  expression([x], _attrs, w) {
    const size = w.let(`abs(${x})`);
    // A first guess from the exponent, and one step of Newton's.
    const y = w.let(`exp2(log2(${size}) * ${num(1 / 3, w)})`);
    const root = w.let(`${y} - (${y} - ${size} / (${y} * ${y})) * ${num(1 / 3, w)}`);
    const inside = `(${size} > ${num(0, w)}) & (${size} < ${num(Infinity, w)})`;
    return keepNan(signed(w.let(`select(${size}, ${root}, ${inside})`), x, w), x, w);
  },
  reference: ([x]) => Math.cbrt(x),
  vjp: [(g, _x, y) => div(g, mul(square(y), 3))],
});

/** Half of the sum (`+`) or difference (`-`) of eˣ and e⁻ˣ; of large numbers in two factors, since eˣ is beyond f32 first. */
const halves = (x: string, sign: "+" | "-", w: Wgsl): string => {
  const size = w.let(`abs(${x})`);
  const root = w.let(`exp(${size} * ${num(0.5, w)})`);
  return w.let(`(${num(0.5, w)} * ${root}) * ${root} ${sign} ${num(0.5, w)} * exp(-${size})`);
};

const sinhOp = defineMap({
  name: "sinh",
  arity: 1,
  expression([x], _attrs, w) {
    const size = w.let(`abs(${x})`);
    const e = expm1Of(`min(${size}, ${num(1, w)})`, w);
    const near = w.let(`${num(0.5, w)} * (${e} + ${e} / (${e} + ${num(1, w)}))`);
    const value = w.let(`select(${halves(x, "-", w)}, ${near}, ${size} < ${num(1, w)})`);
    return keepNan(signed(value, x, w), x, w);
  },
  reference: ([x]) => Math.sinh(x),
  vjp: [(g, [x]) => mul(g, cosh(x))],
});

const coshOp = defineMap({
  name: "cosh",
  arity: 1,
  expression: ([x], _attrs, w) => halves(x, "+", w),
  reference: ([x]) => Math.cosh(x),
  vjp: [(g, [x]) => mul(g, sinh(x))],
});

const softplusOp = defineMap({
  name: "softplus",
  arity: 1,
  expression([x], _attrs, w) {
    const tail = log1pOf(`exp(-abs(${x}))`, w);
    return keepNan(w.let(`max(${x}, ${num(0, w)}) + ${tail}`), x, w);
  },
  reference: ([x]) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
  vjp: [(g, [x]) => mul(g, sigmoid(x))],
});

/** eˣ − 1, exact near 0. */
export const expm1 = (x: Tensor): Tensor => applyMap(expm1Op, [x], undefined);
/** log(1 + x), exact near 0. */
export const log1p = (x: Tensor): Tensor => applyMap(log1pOp, [x], undefined);
/** 2ˣ. */
export const exp2 = (x: Tensor): Tensor => applyMap(exp2Op, [x], undefined);
/** Logarithm to base 2. */
export const log2 = (x: Tensor): Tensor => applyMap(log2Op, [x], undefined);
/** Logarithm to base 10. */
export const log10 = (x: Tensor): Tensor => applyMap(log10Op, [x], undefined);
/** Cube root, of numbers below zero, too. */
export const cbrt = (x: Tensor): Tensor => applyMap(cbrtOp, [x], undefined);
/** Hyperbolic sine. */
export const sinh = (x: Tensor): Tensor => applyMap(sinhOp, [x], undefined);
/** Hyperbolic cosine. */
export const cosh = (x: Tensor): Tensor => applyMap(coshOp, [x], undefined);
/** log(1 + eˣ), a smooth relu. */
export const softplus = (x: Tensor): Tensor => applyMap(softplusOp, [x], undefined);

/** log σ(x), without the cancellation of taking the logarithm afterwards. */
export function logSigmoid(x: Tensor): Tensor {
  expectFloats("logSigmoid", { x });
  return neg(softplus(neg(x)));
}

/** log(eᵃ + eᵇ), without leaving the range of f32 on the way. */
export function logAddExp(a: Operand, b: Operand): Tensor {
  expectOperands("logAddExp", [a, b]);
  for (const x of [a, b]) if (typeof x !== "number") expectFloats("logAddExp", { x });
  return calledAs("logAddExp", () => {
    // a − b is NaN where both are the same infinity: there the larger one is all.
    const far = sub(a, b);
    const distance = where(equal(far, far), far, 0);
    return add(maximum(a, b), log1p(exp(neg(abs(distance)))));
  });
}
