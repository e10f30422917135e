/**
 * Sine, cosine and tangent of any f32, and their inverses, by arithmetic in f64. An angle is reduced to what it is beyond
 * a whole number of quarter turns: below 2²⁰ by π/2 in two parts, above by as many digits of 2/π as its exponent asks for.
 */
import type { Code } from "./code.ts";
import { halves, joined, promoted, ROUND, starts, upper } from "./doubles.ts";
import { and, F32, F64, I64, named, not, or, pick, signOf, type V, xor } from "./vectors.ts";

const { k, add, sub, mul, div, root, size, less, clamped, horner } = F64;
const { w, iadd, alike, shl } = I64;
type Given = readonly V[];
type Call = (name: string) => void;

/** π/2: what times a number below 2²⁰ is exact, and the rest. */
const [QUARTER, QUARTER_REST] = [1.5707963267341256, 6.077100506506192e-11];
/** Angles from here on are reduced digit by digit. */
const LARGE = 2 ** 20;

/** An angle: quarter turns in the two lowest bits of each f64, and what is beyond them. */
interface Angle {
  readonly quarters: V;
  readonly rest: V;
}

/** The angles of the halves of `a`, which has no signs. */
function angles(c: Code, a: V, call: Call): Angle[] {
  const parts = starts(c).map((from) => {
    const t = named(c, promoted(a, from));
    const [quarters, rest] = [c.local("v128"), c.local("v128")];
    add(mul(t, k(2 / Math.PI)), k(ROUND))(c);
    c.set(quarters);
    const turns = named(c, sub((c) => c.get(quarters), k(ROUND)));
    sub(sub(t, mul(turns, k(QUARTER))), mul(turns, k(QUARTER_REST)))(c);
    c.set(rest);
    return { from, t, quarters, rest };
  });
  const large = not(F32.less(a, F32.k(LARGE)));
  large(c);
  c.op("v128.any_true");
  c.open("if");
  for (const { from, t, quarters, rest } of parts) {
    upper(a, from)(c);
    call("reduced");
    const found = c.local("v128");
    c.set(found);
    const here = named(c, not(less(t, k(LARGE))));
    for (const local of [quarters, rest]) {
      pick((c) => c.get(found), (c) => c.get(local), here)(c);
      c.set(local);
    }
  }
  c.close();
  return parts.map(({ quarters, rest }) => ({
    quarters: (c) => c.get(quarters),
    rest: (c) => c.get(rest),
  }));
}

/** 2/π behind five zeros, so that the digits for 2²⁰ begin with the first. */
const DIGITS = [
  0x0517cc1b727220a9n,
  0x4fe13abe8fa9a6een,
  0x06db14acc9e21c82n,
  0x0ff28b1d5ef5de2bn,
] as const;

/**
 * The angles of lanes 0 and 1, which are at least 2²⁰, in two f64 whose lowest bits are the quarter turns. A mantissa
 * times the 64 digits of 2/π that stand for less than four quarter turns and a word more: what overflows is whole turns.
 */
export function reduced(c: Code, [a]: Given): void {
  const [word, start] = [c.local("i32"), c.local("i32")];
  const [mantissa, by, high, low, turns] = Array.from({ length: 5 }, () => c.local("i64"));
  /** The word of the digits at place `i`, or the next where the digits begin behind 64. */
  const digits = (i: number) => {
    c.i64(DIGITS[i + 1]);
    c.i64(DIGITS[i]);
    c.get(start);
    c.i32(64);
    c.op("i32.ge_s");
    c.op("select");
  };
  /** 64 digits from place `start` on, counted from word `i`. */
  const window = (i: number, to: number) => {
    digits(i);
    c.get(by);
    c.op("i64.shl");
    digits(i + 1);
    c.i64(1);
    c.op("i64.shr_u");
    c.i64(63);
    c.get(by);
    c.op("i64.sub");
    c.op("i64.shr_u");
    c.op("i64.or");
    c.set(to);
  };
  c.f64x2([]);
  for (const lane of [0, 1]) {
    a(c);
    c.lane("i32x4.extract_lane", lane);
    c.tee(word);
    c.i32(23);
    c.op("i32.shr_u");
    c.i32(147);
    c.op("i32.sub");
    c.tee(start);
    c.op("i64.extend_i32_u");
    c.i64(63);
    c.op("i64.and");
    c.set(by);
    c.get(word);
    c.i32(0x7fffff);
    c.op("i32.and");
    c.i32(0x800000);
    c.op("i32.or");
    c.op("i64.extend_i32_u");
    c.set(mantissa);
    window(0, high);
    window(1, low);
    c.get(mantissa);
    c.get(high);
    c.op("i64.mul");
    c.get(mantissa);
    c.get(low);
    c.i64(32);
    c.op("i64.shr_u");
    c.op("i64.mul");
    c.i64(32);
    c.op("i64.shr_u");
    c.op("i64.add");
    c.tee(turns);
    // Two bits of quarter turns go, and the rest is read with its sign: from half a quarter on it is below the next.
    c.i64(2);
    c.op("i64.shl");
    c.op("f64.convert_i64_s");
    c.f64(Math.PI / 2 ** 65);
    c.op("f64.mul");
    c.f64(NaN);
    c.get(word);
    c.i32(0x7f800000);
    c.op("i32.lt_u");
    c.op("select");
    c.op("i64.reinterpret_f64");
    c.i64(-4);
    c.op("i64.and");
    c.get(turns);
    c.i64(2n ** 61n);
    c.op("i64.add");
    c.i64(62);
    c.op("i64.shr_u");
    c.op("i64.or");
    c.lane("i64x2.replace_lane", lane);
  }
}

/** (sin r) / r and cos r by r², for |r| ≤ π/4, to 2⁻³⁷ and 2⁻⁴³. */
const SIN = [
  2.7173456841089953e-6,
  -1.98392022122311e-4,
  8.33332878245888e-3,
  -0.16666666631591165,
  0.9999999999956731,
];
const COS = [
  -2.717342984102282e-7,
  2.4798928755323667e-5,
  -1.3888880393776424e-3,
  4.166666654391119e-2,
  -0.49999999999351113,
  0.9999999999999444,
];

/** Where the quarter turns are odd. */
const isOdd = (quarters: V): V => alike(and(quarters, w(1)), w(1));
/** The sign of an f64 where the quarter turns are 2 or 3. */
const turned = (quarters: V): V => shl(and(quarters, w(2)), 62);

/** The sine of an angle, `ahead` quarter turns further. */
function sine(c: Code, { quarters, rest }: Angle, ahead: number): V {
  const q = ahead ? named(c, iadd(quarters, w(ahead))) : quarters;
  const square = named(c, mul(rest, rest));
  const value = pick(horner(square, COS), mul(rest, horner(square, SIN)), isOdd(q));
  return named(c, xor(value, turned(q)));
}

export function sin(c: Code, [x]: Given, call: Call): void {
  const parts = angles(c, named(c, F32.size(x)), call).map((a) => sine(c, a, 0));
  xor(joined(parts), signOf(x))(c);
}

export function cos(c: Code, [x]: Given, call: Call): void {
  const parts = angles(c, named(c, F32.size(x)), call).map((a) => sine(c, a, 1));
  joined(parts)(c);
}

export function tan(c: Code, [x]: Given, call: Call): void {
  const parts = angles(c, named(c, F32.size(x)), call).map(({ quarters, rest }) => {
    const square = named(c, mul(rest, rest));
    const s = named(c, mul(rest, horner(square, SIN)));
    const cosine = named(c, horner(square, COS));
    const odd = named(c, isOdd(quarters));
    const sign = and(odd, w(1n << 63n));
    return named(c, xor(div(pick(cosine, s, odd), pick(s, cosine, odd)), sign));
  });
  xor(joined(parts), signOf(x))(c);
}

/** (atan z) / z by z², for |z| ≤ tan π/8, to 2⁻⁴⁰. */
const ATAN = [
  -3.765510601291402e-2,
  6.974197686595265e-2,
  -8.992552906150912e-2,
  0.11103456908947464,
  -0.14285386553752139,
  0.19999993053555815,
  -0.33333333276922494,
  0.9999999999992447,
];

/** The angle of the point (x, y) in the first quarter: neither is below 0, x is above it, and both are not infinite. */
function slope(c: Code, y: V, x: V): V {
  const flat = named(c, not(less(mul(x, k(Math.SQRT2 - 1)), y)));
  const steep = named(c, less(mul(x, k(Math.SQRT2 + 1)), y));
  const either = (a: V, b: V, between: V) => pick(a, pick(b, between, steep), flat);
  const z = named(c, div(either(y, unaryMinus(x), sub(y, x)), either(x, y, add(x, y))));
  const offset = either(k(0), k(Math.PI / 2), k(Math.PI / 4));
  return add(offset, mul(z, horner(named(c, mul(z, z)), ATAN)));
}

const unaryMinus = (x: V): V => xor(x, w(1n << 63n));

/** What no f32 is, and what is left of a number beside it. */
const [NEXT_TO_NOTHING, BEYOND] = [2 ** -1000, 2 ** 1000];

/** The angle of (x, y) above the axis of x. */
function around(c: Code, y: V, x: V): V {
  const wide = named(c, clamped(size(x), NEXT_TO_NOTHING, BEYOND));
  const angle = named(c, slope(c, named(c, clamped(size(y), 0, BEYOND)), wide));
  const left = (c: Code) => {
    x(c);
    w(0)(c);
    c.op("i64x2.lt_s");
  };
  return pick(sub(k(Math.PI), angle), angle, left);
}

export function atan(c: Code, [x]: Given): void {
  or(halves(c, [F32.size(x)], (c, x) => slope(c, x, k(1))), signOf(x))(c);
}

export function atan2(c: Code, [y, x]: Given): void {
  or(halves(c, [y, x], around), signOf(y))(c);
}

/** The other side of a right triangle whose longest is 1; NaN where x is longer. */
const beside = (c: Code, x: V): V => named(c, root(mul(sub(k(1), x), add(k(1), x))));

export function asin(c: Code, [x]: Given): void {
  const value = halves(c, [F32.size(x)], (c, x) => around(c, x, beside(c, x)));
  or(value, signOf(x))(c);
}

export function acos(c: Code, [x]: Given): void {
  halves(c, [x], (c, x) => around(c, beside(c, x), x))(c);
}
