/**
 * Functions of one number that WGSL lacks, or promises only to a few digits near their zeros, as text: each to a few units
 * in the last place of f32. What is defined with them stands in `exponential.ts` and `inverse.ts`.
 */
import { f32 } from "../../tensor/kernel.ts";
import type { Wgsl } from "../../tensor/op.ts";

/** One step of a number in f32. */
export const num = (v: number, w: Wgsl): string => `${w.type("f32")}(${f32(v)})`;

/** Σ cₖ·zᵏ, the highest power first. */
export const horner = (coefficients: readonly number[], z: string, w: Wgsl): string =>
  coefficients.slice(1).reduce((p, c) => `(${p} * ${z} + ${num(c, w)})`, num(coefficients[0], w));

/** `near` where |x| is below `bound`, else `far`. */
export const within = (x: string, bound: number, near: string, far: string, w: Wgsl): string =>
  w.let(`select(${far}, ${near}, abs(${x}) < ${num(bound, w)})`);

/** `size` with the sign of `x`. */
export const signed = (size: string, x: string, w: Wgsl): string =>
  w.let(`select(${size}, -${size}, ${x} < ${num(0, w)})`);

/** eˣ − 1: x·(1 + x/2·(1 + x/3·(…))) near 0. */
export function expm1Of(of: string, w: Wgsl): string {
  const x = w.let(of);
  let series = num(1, w);
  for (let k = 9; k >= 2; k--) series = `(${num(1, w)} + ${x} * ${num(1 / k, w)} * ${series})`;
  return within(x, 0.5, `${x} * ${series}`, `(exp(${x}) - ${num(1, w)})`, w);
}

/** log(1 + x): 2·artanh(x / (2 + x)) near 0. */
export function log1pOf(of: string, w: Wgsl): string {
  const x = w.let(of);
  const s = w.let(`${x} / (${num(2, w)} + ${x})`);
  const z = w.let(`${s} * ${s}`);
  const near = `${num(2, w)} * ${s} * ${
    horner([1 / 13, 1 / 11, 1 / 9, 1 / 7, 1 / 5, 1 / 3, 1], z, w)
  }`;
  return within(x, 0.4, near, `log(${num(1, w)} + ${x})`, w);
}

/** The arc tangent of a number between 0 and 1 (Cephes' coefficients). */
export function arcOf(t: string, w: Wgsl): string {
  const steep = w.let(`${t} > ${num(Math.SQRT2 - 1, w)}`);
  const z = w.let(`select(${t}, (${t} - ${num(1, w)}) / (${t} + ${num(1, w)}), ${steep})`);
  const s = w.let(`${z} * ${z}`);
  const p = horner(
    [8.05374449538e-2, -1.38776856032e-1, 1.99777106478e-1, -3.33329491539e-1],
    s,
    w,
  );
  return w.let(
    `select(${num(0, w)}, ${num(Math.PI / 4, w)}, ${steep}) + (${p} * ${s} * ${z} + ${z})`,
  );
}

/** The arc sine of a number between 0 and ½, whose square is `z` (Cephes' coefficients). */
export const arcSineOf = (x: string, z: string, w: Wgsl): string => {
  const p = horner(
    [4.2163199048e-2, 2.4181311049e-2, 4.5470025998e-2, 7.4953002686e-2, 1.6666752422e-1],
    z,
    w,
  );
  return w.let(`${p} * ${z} * ${x} + ${x}`);
};
