/**
 * Functions of f32 by arithmetic in f64, two lanes at a time: what is lost when a logarithm is multiplied, or what is
 * alike is subtracted, is lost far behind an f32's last place, so that results are as good as rounded once.
 */
import type { Code } from "./code.ts";
import { and, F32, F64, I64, named, not, or, pick, signOf, unary, type V, xor } from "./vectors.ts";

const { k, add, sub, mul, div, madd, root, size, less, clamped, horner } = F64;
const { w, iadd, isub, shl, shr } = I64;
type Given = readonly V[];

/** Two f32 of a vector, from lane 0 or lane 2 on, as f64. */
export const promoted = (x: V, from: number): V => (c) => {
  upper(x, from)(c);
  c.op("f64x2.promote_low_f32x4");
};

/** A vector with two of its f32 in the first two lanes. */
export const upper = (x: V, from: number): V => (c) => {
  x(c);
  if (!from) return;
  x(c);
  c.shuffle([2, 3, 2, 3]);
};

/** The lanes at which the halves of a vector begin that count. */
export const starts = (c: Code): readonly number[] => c.narrow ? [0] : [0, 2];

/** Vectors of f64 for its halves → one of f32. */
export const joined = (parts: readonly V[]): V => (c) => {
  for (const half of parts) unary("f32x4.demote_f64x2_zero")(half)(c);
  if (parts.length > 1) c.shuffle([0, 1, 4, 5]);
};

/** Applies a function of f64 to the halves of vectors of f32. */
export function halves(c: Code, given: Given, f: (c: Code, ...x: V[]) => V): V {
  return joined(
    starts(c).map((from) => named(c, f(c, ...given.map((x) => named(c, promoted(x, from)))))),
  );
}

/** Added to a number below 2⁵¹ and taken away again, it leaves the nearest whole number, whose bits then lie lowest. */
export const ROUND = 1.5 * 2 ** 52;

/** 2ᶠ for |f| ≤ ½, to 2⁻³⁹. */
const EXP2 = [
  1.3255224878668817e-6,
  1.5310079402249296e-5,
  1.5403455852453838e-4,
  1.3333450568000645e-3,
  9.618129159402558e-3,
  5.550410941205933e-2,
  0.2402265069581299,
  0.6931471805459335,
  1,
];

/** 2ᵗ for |t| < 1022. */
function exp2(c: Code, t: V): V {
  const whole = named(c, add(t, k(ROUND)));
  const f = named(c, sub(t, sub(whole, k(ROUND))));
  return iadd(horner(f, EXP2), shl(whole, 52));
}

/** log((1 + s) / (1 − s)) / s by s², for numbers between √½ and √2, to 2⁻³⁷. */
const LOG = [
  0.23616359099145984,
  0.2853505103781631,
  0.4000038467237519,
  0.6666666524748752,
  2.0000000000083595,
];
const ROOT_HALF = 0x3fe6a09e667f3bcdn;
const ONE = 0x3ff0000000000000n;

/**
 * Exponent and logarithm of the rest of x, a finite number above 0.
 *
 * @param over x − 1, where that is known better than x: it counts where x is below √2
 */
function logarithm(c: Code, x: V, over?: V): [exponent: V, rest: V] {
  const biased = named(c, shr(iadd(x, w(ONE - ROOT_HALF)), 52));
  const e = named(c, sub(or(biased, w(0x4330000000000000n)), k(2 ** 52 + 1023)));
  const scaled = sub(isub(x, shl(isub(biased, w(1023)), 52)), k(1));
  const f = named(c, over ? pick(over, scaled, F64.equal(e, k(0))) : scaled);
  const s = named(c, div(f, add(f, k(2))));
  return [e, mul(s, horner(named(c, mul(s, s)), LOG))];
}

/** log(1 + u) for u ≥ 0. */
function log1p(c: Code, u: V): V {
  const [e, rest] = logarithm(c, named(c, add(u, k(1))), u);
  return madd(e, k(Math.LN2), rest);
}

/** |x|ʸ, with 0 and ∞ for bases that are, NaN where an operand is. */
function power(c: Code, x: V, y: V): V {
  const base = named(c, size(x));
  const [e, rest] = logarithm(c, base);
  const ordinary = and(less(k(0), base), less(base, k(Infinity)));
  const special = pick(k(-Infinity), base, F64.equal(base, k(0)));
  const log2 = pick(madd(rest, k(Math.LOG2E), e), special, ordinary);
  return exp2(c, named(c, clamped(mul(y, log2), -160, 130)));
}

/** IEEE 754's pow: 1 for a power of 0 and a base of 1, NaN for a fraction of a number below 0. */
export function pow(c: Code, [x, y]: Given): void {
  const { k, mul, less, equal, size } = F32;
  const value = named(c, halves(c, [x, y], power));
  const whole = (v: V) => equal(unary("f32x4.trunc")(v), v);
  const even = named(c, whole(mul(y, k(0.5))));
  const odd = and(whole(y), not(even));
  const signed = xor(value, and(signOf(x), odd));
  const outside = and(and(less(x, k(0)), less(k(-Infinity), x)), not(whole(y)));
  const endless = and(equal(size(x), k(1)), equal(size(y), k(Infinity)));
  const one = or(or(equal(y, k(0)), equal(x, k(1))), endless);
  pick(k(1), pick(k(NaN), signed, outside), one)(c);
}

/** (sinh x) / x by x², for |x| ≤ 1, to 2⁻⁴³. */
const SINH = [
  2.5538205221156536e-8,
  2.755183485237489e-6,
  1.9841298317149254e-4,
  8.333333266545869e-3,
  0.16666666667239327,
  0.9999999999999205,
];

/** eᵃ for a ≥ 0, where an f32 ends at the latest. */
const exp = (c: Code, a: V): V =>
  named(c, exp2(c, named(c, mul(clamped(a, 0, 100), k(Math.LOG2E)))));

export function sinh(c: Code, [x]: Given): void {
  halves(c, [x], (c, x) => {
    const a = named(c, size(x));
    const power = exp(c, a);
    const square = named(c, mul(x, x));
    const far = mul(sub(power, div(k(1), power)), k(0.5));
    const near = mul(a, horner(square, SINH));
    return or(pick(near, far, less(a, k(1))), and(x, w(1n << 63n)));
  })(c);
}

export function cosh(c: Code, [x]: Given): void {
  halves(c, [x], (c, x) => {
    const power = exp(c, named(c, size(x)));
    return mul(add(power, div(k(1), power)), k(0.5));
  })(c);
}

/** sign(x)·asinh |x| by log(1 + u): a + √(a² + 1) = 1 + a + a² / (1 + √(a² + 1)). */
export function asinh(c: Code, [x]: Given): void {
  const a = named(c, F32.size(x));
  const value = halves(c, [a], (c, a) => {
    const square = named(c, mul(a, a));
    const more = div(square, add(root(add(square, k(1))), k(1)));
    return log1p(c, named(c, add(a, more)));
  });
  or(pick(value, a, F32.less(a, F32.k(Infinity))), signOf(x))(c);
}

export function acosh(c: Code, [x]: Given): void {
  const { k: k32, less: less32, equal: equal32 } = F32;
  const value = halves(c, [x], (c, x) => {
    const over = named(c, sub(x, k(1)));
    return log1p(c, named(c, add(over, root(mul(over, add(x, k(1)))))));
  });
  const special = pick(x, k32(NaN), equal32(x, k32(Infinity)));
  pick(value, special, and(not(less32(x, k32(1))), less32(x, k32(Infinity))))(c);
}

/** sign(x)·atanh |x|: half the logarithm of 1 + 2a / (1 − a). */
export function atanh(c: Code, [x]: Given): void {
  const { k: k32, less: less32, equal: equal32 } = F32;
  const a = named(c, F32.size(x));
  const value = halves(c, [a], (c, a) => {
    const u = named(c, div(add(a, a), sub(k(1), a)));
    return mul(log1p(c, u), k(0.5));
  });
  const special = pick(k32(Infinity), k32(NaN), equal32(a, k32(1)));
  or(pick(value, special, less32(a, k32(1))), signOf(x))(c);
}
