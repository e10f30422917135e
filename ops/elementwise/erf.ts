/** The error function: WGSL has none, and neither has JavaScript. */
import { f32 } from "../../tensor/kernel.ts";
import type { Wgsl } from "../../tensor/op.ts";
import { keepNan } from "./nan.ts";

// erf(x) ≈ x·P(x²)/Q(x²) on |x| ≤ 4, beyond which it is ±1 in f32; coefficients of Eigen's `perf` (a few ulp).
const ERF_P = [
  -2.72614225801306e-10,
  2.77068142495902e-8,
  -2.10102402082508e-6,
  -5.69250639462346e-5,
  -7.34990630326855e-4,
  -2.95459980854025e-3,
  -1.60960333262415e-2,
];
const ERF_Q = [
  -1.45660718464996e-5,
  -2.13374055278905e-4,
  -1.68282697438203e-3,
  -7.37332916720468e-3,
  -1.42647390514189e-2,
];

const wide = (v: number, w: Wgsl): string => `${w.type("f32")}(${f32(v)})`;

/** WGSL of erf, to a few units in the last place. `x` may be any expression. */
export function erfWgsl(x: string, w: Wgsl): string {
  const given = w.let(x);
  const c = w.let(`clamp(${given}, ${wide(-4, w)}, ${wide(4, w)})`);
  const s = w.let(`${c} * ${c}`);
  const horner = (p: readonly number[]) =>
    p.slice(1).reduce((acc, k) => `(${acc} * ${s} + ${wide(k, w)})`, wide(p[0], w));
  // Exactly ±1 at the ends, so that x·Φ(x) vanishes for large negative x.
  const value = w.let(
    `select(${c} * ${horner(ERF_P)} / ${horner(ERF_Q)}, sign(${c}), abs(${c}) == ${wide(4, w)})`,
  );
  return w.let(keepNan(value, given, w));
}

/** erf in float64: the Maclaurin series near zero, Lentz's continued fraction of erfc elsewhere. */
export function erfOf(x: number): number {
  const z = Math.abs(x);
  if (z > 6) return Math.sign(x);
  if (z < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
      term *= -x * x / n;
      sum += term / (2 * n + 1);
    }
    return sum * 2 / Math.sqrt(Math.PI);
  }
  let tail = z;
  for (let n = 120; n >= 1; n--) tail = z + n / 2 / tail;
  return Math.sign(x) * (1 - Math.exp(-z * z) / Math.sqrt(Math.PI) / tail);
}
