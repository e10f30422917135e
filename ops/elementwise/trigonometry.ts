/**
 * Sine and cosine, written out. WGSL promises its own only to 2⁻¹¹ and only between −π and π, and drivers make use of
 * that; a time embedding asks for the cosine of 999 radians to seven digits.
 */
import { apply, type Op, type Tensor } from "../../tensor/tensor.ts";
import { expectFloats } from "../../tensor/arguments.ts";
import { mul, neg } from "./arithmetic.ts";
import { defineMap } from "./define.ts";

/** 2π as a number that times any whole number below 2¹⁶ is exact in f32, and the rest. */
const [TURN, REST] = [6.28125, 0.0019353071795864769];

/** The angle between −π and π: x − 2π·round(x / 2π). */
const reduced = (x: string): string => {
  const turns = `round(${x} * 0.15915494)`;
  return `((${x} - ${turns} * ${TURN}) - ${turns} * ${REST})`;
};

const wrapOp: Op<undefined> = defineMap({
  name: "wrapAngle",
  arity: 1,
  expression: ([x]) => reduced(x),
  reference: ([x]) => x - 2 * Math.PI * Math.round(x / (2 * Math.PI)),
  vjp: [(g) => g],
});

/** sin r for |r| ≤ π/2 (Taylor to r¹¹: 6e-8 at the ends, where it is largest). */
const polynomial = (r: string): string => {
  const terms = [1 / 6, 1 / 20, 1 / 42, 1 / 72, 1 / 110];
  // sin r = r·(1 − r²/6·(1 − r²/20·(1 − …)))
  const factor = terms.reduceRight((inner, t) => `(1.0 - ${r} * ${r} * ${t} * ${inner})`, "1.0");
  return `(${r} * ${factor})`;
};

/** Folds an angle between −π and π to where the polynomial holds, keeping its sine. */
const folded = (r: string): string => `(sign(${r}) * (1.5707964 - abs(abs(${r}) - 1.5707964)))`;

/** WGSL for the sine and cosine of an angle between −π and π, for kernels that draw or rotate. */
export const sineOf = (r: string): string => polynomial(folded(r));
/** See {@linkcode sineOf}. */
export const cosineOf = (r: string): string => polynomial(`(1.5707964 - abs(${r}))`);

const sineOp: Op<undefined> = defineMap({
  name: "sineOfWrapped",
  arity: 1,
  expression: ([r]) => sineOf(r),
  reference: ([r]) => Math.sin(r),
  vjp: [(g, [r]) => mul(g, apply(cosineOp, [r], undefined)[0])],
});

const cosineOp: Op<undefined> = defineMap({
  name: "cosineOfWrapped",
  arity: 1,
  expression: ([r]) => cosineOf(r),
  reference: ([r]) => Math.cos(r),
  vjp: [(g, [r]) => neg(mul(g, apply(sineOp, [r], undefined)[0]))],
});

/** Sine, in radians; absolute error below 3e-7 for |a| ≤ 1000, and 2e-6 at 10⁵. */
export const sin = (a: Tensor): Tensor => apply(sineOp, [wrapped("sin", a)], undefined)[0];
/** Cosine, in radians; absolute error below 3e-7 for |a| ≤ 1000, and 2e-6 at 10⁵. */
export const cos = (a: Tensor): Tensor => apply(cosineOp, [wrapped("cos", a)], undefined)[0];

function wrapped(op: string, a: Tensor): Tensor {
  expectFloats(op, { a });
  return apply(wrapOp, [a], undefined)[0];
}
