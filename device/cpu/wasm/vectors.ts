/** Arithmetic on vectors as values of this language: each is a function that pushes one vector. */
import type { Code } from "./code.ts";

/** Instructions that leave one vector on the stack. */
export type V = (c: Code) => void;

/** One instruction on one vector, on two, and on one and a number of bits. */
export const unary = (name: string) => (a: V): V => (c) => {
  a(c);
  c.op(name);
};
export const binary = (name: string) => (a: V, b: V): V => (c) => {
  a(c);
  b(c);
  c.op(name);
};
const shift = (name: string) => (a: V, bits: number): V => (c) => {
  a(c);
  c.i32(bits);
  c.op(name);
};

/** Arithmetic on four f32 or two f64. */
function floats(lanes: "f32x4" | "f64x2") {
  const k = (v: number): V => (c) => c[lanes](Array(4).fill(v));
  const add = binary(`${lanes}.add`);
  const mul = binary(`${lanes}.mul`);
  /** a·b + sum, rounded once where the engine can. */
  const madd = (a: V, b: V, sum: V): V => (c) => {
    if (!c.fused) return add(mul(a, b), sum)(c);
    for (const v of [a, b, sum]) v(c);
    c.op(`${lanes}.relaxed_madd`);
  };
  return {
    /** The same number in every lane. */
    k,
    add,
    mul,
    madd,
    sub: binary(`${lanes}.sub`),
    div: binary(`${lanes}.div`),
    root: unary(`${lanes}.sqrt`),
    size: unary(`${lanes}.abs`),
    less: binary(`${lanes}.lt`),
    equal: binary(`${lanes}.eq`),
    /** Within bounds; NaN stays, since pmin and pmax give the first operand where the second is no better. */
    clamped: (x: V, lo: number, hi: number): V =>
      binary(`${lanes}.pmax`)(binary(`${lanes}.pmin`)(x, k(hi)), k(lo)),
    /** A polynomial, the coefficient of the highest power first. */
    horner: (x: V, coefficients: readonly number[]): V =>
      coefficients.slice(1).reduce((sum, q) => madd(sum, x, k(q)), k(coefficients[0])),
  };
}

/** Arithmetic on words of 32 or 64 bits. */
function words(lanes: "i32x4" | "i64x2") {
  return {
    /** The same word in every lane. */
    w: (v: number | bigint): V => (c) =>
      lanes === "i32x4" ? c.i32x4(Array(4).fill(v)) : c.i64x2(BigInt(v)),
    iadd: binary(`${lanes}.add`),
    isub: binary(`${lanes}.sub`),
    alike: binary(`${lanes}.eq`),
    shl: shift(`${lanes}.shl`),
    sar: shift(`${lanes}.shr_s`),
    shr: shift(`${lanes}.shr_u`),
  };
}

export const F32 = floats("f32x4");
export const F64 = floats("f64x2");
export const I32 = words("i32x4");
export const I64 = words("i64x2");

export const and = binary("v128.and");
export const or = binary("v128.or");
export const xor = binary("v128.xor");
export const not = unary("v128.not");
/** `yes` where the mask is set. */
export const pick = (yes: V, no: V, mask: V): V => (c) => {
  yes(c);
  no(c);
  mask(c);
  c.op("v128.bitselect");
};
/** The signs of four f32 alone. */
export const signOf = (x: V): V => and(x, I32.w(0x80000000));

/** Names a value: computed once, read often. */
export function named(c: Code, value: V): V {
  const local = c.local("v128");
  value(c);
  c.set(local);
  return (c) => c.get(local);
}
