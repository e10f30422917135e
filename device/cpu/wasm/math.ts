/**
 * Functions that neither WebAssembly nor its host has for vectors, by range reduction and polynomials in f32, within two
 * units in the last place. A scalar goes through the same instructions, so that it has the same bits as a lane.
 */
import type { Code } from "./code.ts";

/** Instructions that leave one vector on the stack. */
type V = (c: Code) => void;

const un = (name: string) => (a: V): V => (c) => {
  a(c);
  c.op(name);
};
const bin = (name: string) => (a: V, b: V): V => (c) => {
  a(c);
  b(c);
  c.op(name);
};
const k = (v: number): V => (c) => c.f32x4([v, v, v, v]);
const w = (v: number): V => (c) => c.i32x4([v, v, v, v]);
const by = (name: string) => (a: V, bits: number): V => (c) => {
  a(c);
  c.i32(bits);
  c.op(name);
};
const add = bin("f32x4.add");
const sub = bin("f32x4.sub");
const mul = bin("f32x4.mul");
const iadd = bin("i32x4.add");
const isub = bin("i32x4.sub");
const and = bin("v128.and");
const or = bin("v128.or");
const shl = by("i32x4.shl");
const sar = by("i32x4.shr_s");
const shr = by("i32x4.shr_u");
/** `yes` where the mask is set. */
const pick = (yes: V, no: V, mask: V): V => (c) => {
  yes(c);
  no(c);
  mask(c);
  c.op("v128.bitselect");
};
const horner = (x: V, coefficients: readonly number[]): V =>
  coefficients.slice(1).reduce((sum, q) => add(mul(sum, x), k(q)), k(coefficients[0]));

/** Names a value: computed once, read often. */
function named(c: Code, value: V): V {
  const local = c.local("v128");
  value(c);
  c.set(local);
  return (c) => c.get(local);
}

/** ln 2 in two parts; the first times any exponent is exact. */
const [LN2, LN2_REST] = [0.693359375, -2.12194440e-4];
const LOG2E = 1.44269504088896341;
/** (eʳ − 1 − r) / r² for |r| ≤ ln 2 / 2. */
const EXP = [
  1.9875691500e-4,
  1.3981999507e-3,
  8.3334519073e-3,
  4.1665795894e-2,
  1.6666665459e-1,
  5.0000001201e-1,
];

/** eʳ·2ⁿ: scaled in two steps, since 2ⁿ alone may be no f32. */
function scaled(c: Code, r: V, n: V): void {
  const p = named(c, add(add(mul(mul(r, r), horner(r, EXP)), r), k(1)));
  const whole = named(c, un("i32x4.trunc_sat_f32x4_s")(n));
  const half = named(c, sar(whole, 1));
  const power = (e: V): V => shl(iadd(e, w(127)), 23);
  mul(mul(p, power(half)), power(isub(whole, half)))(c);
}

// The pmin and pmax of WebAssembly give the first operand where the second is no better, and so hand NaN on.
const clamped = (x: V, lo: number, hi: number): V =>
  bin("f32x4.pmax")(bin("f32x4.pmin")(x, k(hi)), k(lo));

function exp(c: Code, x: V): void {
  const t = named(c, clamped(x, -104, 89));
  const n = named(c, un("f32x4.nearest")(mul(t, k(LOG2E))));
  const r = named(c, sub(sub(t, mul(n, k(LN2))), mul(n, k(LN2_REST))));
  scaled(c, r, n);
}

function exp2(c: Code, x: V): void {
  const t = named(c, clamped(x, -151, 129));
  const n = named(c, un("f32x4.nearest")(t));
  scaled(c, named(c, mul(sub(t, n), k(Math.LN2))), n);
}

/** (log(1 + f) − f + f²/2) / f³ for 1 + f between √½ and √2. */
const LOG = [
  7.0376836292e-2,
  -1.1514610310e-1,
  1.1676998740e-1,
  -1.2420140846e-1,
  1.4249322787e-1,
  -1.6668057665e-1,
  2.0000714765e-1,
  -2.4999993993e-1,
  3.3333331174e-1,
];
const ROOT_HALF = 0x3f3504f3;

/** Logarithms: `join` puts the exponent, f and the rest of log(1 + f) together. */
function logarithm(c: Code, x: V, join: (e: V, f: V, rest: V) => V): void {
  const small = named(c, bin("f32x4.lt")(x, k(2 ** -126)));
  const normal = pick(mul(x, k(2 ** 25)), x, small);
  const bits = named(c, isub(normal, w(ROOT_HALF)));
  const e = named(
    c,
    un("f32x4.convert_i32x4_s")(isub(sar(bits, 23), and(small, w(25)))),
  );
  const f = named(c, sub(iadd(and(bits, w(0x7fffff)), w(ROOT_HALF)), k(1)));
  const square = named(c, mul(f, f));
  const rest = named(c, sub(mul(mul(square, f), horner(f, LOG)), mul(square, k(0.5))));
  const finite = join(e, f, rest);
  const special = pick(
    k(-Infinity),
    pick(x, k(NaN), bin("f32x4.gt")(x, k(0))),
    bin("f32x4.eq")(x, k(0)),
  );
  // Ordinary: above 0 and below infinity.
  pick(
    finite,
    special,
    and(bin("f32x4.gt")(x, k(0)), bin("f32x4.lt")(x, k(Infinity))),
  )(c);
}

const log = (c: Code, x: V): void =>
  logarithm(c, x, (e, f, rest) => add(add(f, add(rest, mul(e, k(LN2_REST)))), mul(e, k(LN2))));

const LOG2E_REST = LOG2E - 1;
const log2 = (c: Code, x: V): void =>
  logarithm(
    c,
    x,
    (e, f, rest) => add(add(add(add(mul(rest, k(LOG2E_REST)), mul(f, k(LOG2E_REST))), rest), f), e),
  );

/** (tanh x − x) / x³ for |x| < 0.625. */
const TANH = [
  -5.70498872745e-3,
  2.06390887954e-2,
  -5.37397155531e-2,
  1.33314422036e-1,
  -3.33332819422e-1,
];

function tanh(c: Code, x: V, call: (name: string) => void): void {
  const size = named(c, un("f32x4.abs")(x));
  const square = named(c, mul(x, x));
  const near = add(x, mul(mul(x, square), horner(square, TANH)));
  const power: V = (c) => {
    add(size, size)(c);
    call("exp");
  };
  const far = sub(k(1), bin("f32x4.div")(k(2), add(power, k(1))));
  const signed = or(far, and(x, w(0x80000000)));
  pick(signed, near, bin("f32x4.ge")(size, k(0.625)))(c);
}

/** f32 → the bits of an f16, rounded to even, in the low half of each lane. */
function toHalf(c: Code, x: V): void {
  const sign = named(c, and(x, w(0x80000000)));
  const size = named(c, bin("v128.xor")(x, sign));
  // Below 2⁻¹⁴, adding ½ leaves the rounded number in the low bits; above, the exponent is rebased and rounded.
  const tiny = isub(add(size, k(0.5)), w(0x3f000000));
  const odd = and(shr(size, 13), w(1));
  const usual = shr(iadd(iadd(size, w(0xc8000fff)), odd), 13);
  const huge = bin("i32x4.gt_s")(size, w(0x477fefff));
  const nan = bin("i32x4.gt_s")(size, w(0x7f800000));
  const finite = pick(tiny, usual, bin("i32x4.lt_s")(size, w(0x38800000)));
  or(pick(pick(w(0x7e00), w(0x7c00), nan), finite, huge), shr(sign, 16))(c);
}

/** The bits of an f16 in each lane → f32. */
function fromHalf(c: Code, h: V): void {
  const size = named(c, shl(and(h, w(0x7fff)), 13));
  const special = bin("i32x4.ge_s")(size, w(0x7c00 << 13));
  const value = mul(size, k(2 ** 112));
  or(pick(or(size, w(0x7f800000)), value, special), shl(and(h, w(0x8000)), 16))(c);
}

const BODIES: Readonly<Record<string, (c: Code, x: V, call: (name: string) => void) => void>> = {
  exp,
  exp2,
  log,
  log2,
  tanh,
  toHalf,
  fromHalf,
};

/** Whether this file has the function. */
export const isHere = (name: string): boolean => Object.hasOwn(BODIES, name);

/** Functions that a body calls in turn. */
export const needs = (name: string): readonly string[] => name === "tanh" ? ["exp"] : [];

/** Pushes the function of the vector in local `x`. `call` calls another of this file's. */
export function mathOf(name: string, code: Code, x: number, call: (name: string) => void): void {
  BODIES[name](code, (c) => c.get(x), call);
}
