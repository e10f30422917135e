/**
 * NaN in WGSL. The language lets `min`, `max` and `clamp` drop a NaN, and lets compilers assume that there is none, so
 * tests are made on the bits, and what must hand a NaN on says so.
 */
import { f32 } from "../../tensor/kernel.ts";
import type { Wgsl } from "../../tensor/op.ts";

/** A value with a sign bit, all exponent bits and any of the others: what is above it is no number. */
export const INFINITY_BITS = 0x7f800000;

/** Whether `x` (f32, or a vector of them) is NaN, as a (vector of) bool. `words` is the u32 type of the same width. */
export const isNan = (x: string, words: string): string =>
  `((bitcast<${words}>(${x}) & ${words}(0x7fffffffu)) > ${words}(${INFINITY_BITS}u))`;

/** Whether `x` is NaN or infinite. */
export const isNotFinite = (x: string, words: string): string =>
  `((bitcast<${words}>(${x}) & ${words}(0x7fffffffu)) >= ${words}(${INFINITY_BITS}u))`;

/** The larger (smaller) of two f32 values, or NaN where one of them is. */
export const joinExtreme = (f: "max" | "min", a: string, b: string, words: string): string =>
  `select(${f}(${a}, ${b}), ${a} + ${b}, ${isNan(a, words)} | ${isNan(b, words)})`;

/** The larger (smaller) of two values as {@linkcode joinExtreme}, for maps; integers need no test. */
export const extreme = (f: "max" | "min", a: string, b: string, w: Wgsl): string =>
  w.out === "f32" ? joinExtreme(f, a, b, w.type("u32")) : `${f}(${a}, ${b})`;

/** `value`, computed from `x` in a way that may lose a NaN; where `x` is NaN, that. */
export const keepNan = (value: string, x: string, w: Wgsl): string =>
  `select(${value}, ${x}, ${isNan(x, w.type("u32"))})`;

/** WGSL for infinity. */
export const INFINITE = f32(Infinity);
/** WGSL for minus infinity. */
export const MINUS_INFINITE = f32(-Infinity);
/** WGSL for NaN. */
export const NOT_A_NUMBER = f32(NaN);
