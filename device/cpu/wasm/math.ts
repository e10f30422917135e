/**
 * Functions that WebAssembly has not, within two units in the last place. Those that kernels call most are here, by range
 * reduction and polynomials in f32. A scalar goes through the same instructions, so that it has the same bits as a lane.
 */
import { acos, asin, atan, atan2, cos, reduced, sin, tan } from "./angles.ts";
import type { Code } from "./code.ts";
import { acosh, asinh, atanh, cosh, pow, sinh } from "./doubles.ts";
import { and, binary, F32, I32, named, or, pick, signOf, unary, type V } from "./vectors.ts";

const { k, add, sub, mul, madd, div, size, less, equal, clamped, horner } = F32;
const { w, iadd, isub, alike, shl, sar, shr } = I32;

type Given = readonly V[];
type Call = (name: string) => void;

/** ln 2 in two parts; the first times any exponent is exact. */
const [LN2, LN2_REST] = [0.693359375, -2.12194440e-4];
const LOG2E = 1.44269504088896341;
/** eʳ for |r| ≤ ln 2 / 2, its relative error 3e-9. */
const EXP = [1.38144672e-3, 8.36878084e-3, 4.16683927e-2, 0.166665196, 0.49999994, 1, 1];

/** Added to a number of less than 2²² it leaves the nearest whole number in the low bits, and twice an exponent's bias. */
const WHOLE = 1.5 * 2 ** 23 + 2 * 127;

/** eʳ·2ⁿ by the low bits of n and {@linkcode WHOLE}: scaled in two steps, since 2ⁿ alone may be no f32. */
function scaled(c: Code, r: V, shifted: V): void {
  const half = named(c, sar(shifted, 1));
  const power = (e: V): V => shl(e, 23);
  mul(mul(horner(r, EXP), power(half)), power(isub(shifted, half)))(c);
}

function exp(c: Code, [x]: Given): void {
  const t = named(c, clamped(x, -104, 89));
  const shifted = named(c, madd(t, k(LOG2E), k(WHOLE)));
  const n = named(c, sub(shifted, k(WHOLE)));
  const r = named(c, madd(n, k(-LN2_REST), madd(n, k(-LN2), t)));
  scaled(c, r, shifted);
}

function exp2(c: Code, [x]: Given): void {
  const t = named(c, clamped(x, -151, 129));
  const shifted = named(c, add(t, k(WHOLE)));
  const r = named(c, mul(sub(t, sub(shifted, k(WHOLE))), k(Math.LN2)));
  scaled(c, r, shifted);
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
  const small = named(c, less(x, k(2 ** -126)));
  const normal = pick(mul(x, k(2 ** 25)), x, small);
  const bits = named(c, isub(normal, w(ROOT_HALF)));
  const e = named(
    c,
    unary("f32x4.convert_i32x4_s")(isub(sar(bits, 23), and(small, w(25)))),
  );
  const f = named(c, sub(iadd(and(bits, w(0x7fffff)), w(ROOT_HALF)), k(1)));
  const square = named(c, mul(f, f));
  const rest = named(c, sub(mul(mul(square, f), horner(f, LOG)), mul(square, k(0.5))));
  const finite = join(e, f, rest);
  const special = pick(
    k(-Infinity),
    pick(x, k(NaN), less(k(0), x)),
    equal(x, k(0)),
  );
  // Ordinary: above 0 and below infinity.
  pick(
    finite,
    special,
    and(less(k(0), x), less(x, k(Infinity))),
  )(c);
}

const log = (c: Code, [x]: Given): void =>
  logarithm(c, x, (e, f, rest) => add(add(f, add(rest, mul(e, k(LN2_REST)))), mul(e, k(LN2))));

const LOG2E_REST = LOG2E - 1;
const log2 = (c: Code, [x]: Given): void =>
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

function tanh(c: Code, [x]: Given, call: Call): void {
  const far = named(c, size(x));
  const square = named(c, mul(x, x));
  const near = add(x, mul(mul(x, square), horner(square, TANH)));
  const power: V = (c) => {
    add(far, far)(c);
    call("exp");
  };
  const signed = or(sub(k(1), div(k(2), add(power, k(1)))), signOf(x));
  pick(near, signed, less(far, k(0.625)))(c);
}

/**
 * f32 → the bits of an f16 in the low half of each lane. Added to a power of two whose last place is that of the f16, a
 * number is rounded there by the addition itself, and what the power's bits grow by are the f16's.
 */
function toHalf(c: Code, [x]: Given): void {
  const magnitude = named(c, and(x, w(0x7fffffff)));
  // From 2¹⁶ on all is ∞.
  const held = named(c, binary("i32x4.min_s")(magnitude, w(0x47800000)));
  // Below 2⁻¹⁴ places get no finer.
  const power = named(c, binary("i32x4.max_s")(and(held, w(0x7f800000)), w(113 << 23)));
  const rounded = add(held, iadd(power, w(13 << 23)));
  const bits = isub(iadd(isub(rounded, power), shr(power, 13)), w((13 << 23) + (113 << 10)));
  const nan = and(binary("i32x4.gt_s")(magnitude, w(0x7f800000)), w(0x200));
  or(or(bits, nan), and(shr(x, 16), w(0x8000)))(c);
}

/** Sign, exponent and mantissa where an f32 has them → the number. What is infinite or NaN has its exponent filled up. */
const widened = (placed: V, full: V): V =>
  or(mul(and(placed, w(0x8fffe000)), k(2 ** 112)), and(full, w(0x7f800000)));

/** The bits of an f16 in each lane, as a word with its sign → f32. */
const fromHalf = (c: Code, [h]: Given): void =>
  widened(shl(h, 13), alike(and(h, w(0x7c00)), w(0x7c00)))(c);

/** The same from the high half of each lane, whatever lies in the low one. */
const fromHighHalf = (c: Code, [h]: Given): void =>
  widened(sar(h, 3), alike(and(h, w(0x7c000000)), w(0x7c000000)))(c);

interface Body {
  /** Writes the function of what is given. `call` calls another of this file's with what is on the stack. */
  readonly write: (c: Code, given: Given, call: Call) => void;
  /** How many vectors it is given. Default 1. */
  readonly takes?: number;
  /** Whether it is too long to be written out where it is called. */
  readonly long?: boolean;
}

const long = (write: Body["write"], takes?: number): Body => ({ write, takes, long: true });

const BODIES: Readonly<Record<string, Body>> = {
  exp: { write: exp },
  exp2: { write: exp2 },
  log: { write: log },
  log2: { write: log2 },
  tanh: { write: tanh },
  sin: long(sin),
  cos: long(cos),
  tan: long(tan),
  asin: long(asin),
  acos: long(acos),
  atan: long(atan),
  atan2: long(atan2, 2),
  sinh: long(sinh),
  cosh: long(cosh),
  asinh: long(asinh),
  acosh: long(acosh),
  atanh: long(atanh),
  pow: long(pow, 2),
  reduced: long(reduced),
  toHalf: { write: toHalf },
  fromHalf: { write: fromHalf },
  fromHighHalf: { write: fromHighHalf },
};

/** Whether this file has the function. */
export const isHere = (name: string): boolean => Object.hasOwn(BODIES, name);
/** How many vectors a function is given. */
export const takes = (name: string): number => BODIES[name].takes ?? 1;
/** Whether a function is always called, and not written out in place. */
export const isLong = (name: string): boolean => BODIES[name].long ?? false;

/** Pushes the function of the vectors in locals. `call` calls another of this file's. */
export function mathOf(name: string, code: Code, given: readonly number[], call: Call): void {
  BODIES[name].write(code, given.map((x) => (c) => c.get(x)), call);
}
