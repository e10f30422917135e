/**
 * Winograd's minimal filtering of three taps along one axis, as WGSL (Lavin and Gray, "Fast Algorithms for Convolutional
 * Neural Networks", 2016): `outputs` sums of three products each are had from `side` = `outputs` + 2 products, as
 * Aᵀ (G g ⊙ Bᵀ d). It is the product of two polynomials, known by their values at `side` − 1 points and at infinity.
 *
 * Points decide how much is rounded. For four outputs the literature's 0, ±1, ±2 lose two bits on sums in order; 0, ±5/8,
 * ±3/2 lose one (both are measured by `tests/cpu_winograd_test.ts`), and all coefficients but those of the weights are
 * exact in f32 (Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural
 * Networks", 2020, on such points).
 */
import { f32 } from "../../tensor/kernel.ts";

/** Statements, and the expressions that they make ready. */
export interface Filtered {
  readonly code: string;
  readonly values: readonly string[];
}

/** Filtering of one axis. Operands are names or other short expressions, `id` tells several calls in one scope apart. */
export interface Filter {
  readonly outputs: 2 | 4;
  readonly side: 4 | 6;
  /** Bᵀ d of `side` pixels. */
  input(d: readonly string[], id: string): Filtered;
  /** G g of three taps. */
  weights(g: readonly string[], id: string): Filtered;
  /** Aᵀ m of `side` products. */
  sums(m: readonly string[], id: string): Filtered;
}

/** Two outputs of four products: points 0, ±1. */
export const TWO: Filter = {
  outputs: 2,
  side: 4,
  input: (d) => ({
    code: "",
    values: [`${d[0]} - ${d[2]}`, `${d[1]} + ${d[2]}`, `${d[2]} - ${d[1]}`, `${d[1]} - ${d[3]}`],
  }),
  weights: ([a, b, c], id) => ({
    code: `let ${id}e = 0.5 * (${a} + ${c});`,
    values: [a, `${id}e + 0.5 * ${b}`, `${id}e - 0.5 * ${b}`, c],
  }),
  sums: (m) => ({
    code: "",
    values: [`${m[0]} + ${m[1]} + ${m[2]}`, `${m[1]} - ${m[2]} - ${m[3]}`],
  }),
};

/** The points of {@linkcode FOUR} beside 0: ±a, ±b. */
const [a, b] = [5 / 8, 3 / 2];
const [p, q] = [a * a, b * b];

/** Four outputs of six products. */
export const FOUR: Filter = {
  outputs: 4,
  side: 6,
  input: (d, id) => ({
    code: `let ${id}e = ${d[4]} - ${f32(q)} * ${d[2]}; let ${id}o = ${d[3]} - ${f32(q)} * ${d[1]};
let ${id}f = ${d[4]} - ${f32(p)} * ${d[2]}; let ${id}p = ${d[3]} - ${f32(p)} * ${d[1]};`,
    values: [
      `${f32(p * q)} * ${d[0]} + (${d[4]} - ${f32(p + q)} * ${d[2]})`,
      `${id}e + ${f32(a)} * ${id}o`,
      `${id}e - ${f32(a)} * ${id}o`,
      `${id}f + ${f32(b)} * ${id}p`,
      `${id}f - ${f32(b)} * ${id}p`,
      `${f32(p * q)} * ${d[1]} + (${d[5]} - ${f32(p + q)} * ${d[3]})`,
    ],
  }),
  weights: ([g0, g1, g2], id) => {
    const [ofA, ofB] = [f32(1 / (2 * p * (p - q))), f32(1 / (2 * q * (q - p)))];
    return {
      code: `let ${id}e = ${g0} + ${f32(p)} * ${g2}; let ${id}f = ${g0} + ${f32(q)} * ${g2};`,
      values: [
        `${f32(1 / (p * q))} * ${g0}`,
        `${ofA} * (${id}e + ${f32(a)} * ${g1})`,
        `${ofA} * (${id}e - ${f32(a)} * ${g1})`,
        `${ofB} * (${id}f + ${f32(b)} * ${g1})`,
        `${ofB} * (${id}f - ${f32(b)} * ${g1})`,
        g2,
      ],
    };
  },
  sums: (m, id) => ({
    code: `let ${id}s = ${m[1]} + ${m[2]}; let ${id}d = ${m[1]} - ${m[2]};
let ${id}t = ${m[3]} + ${m[4]}; let ${id}e = ${m[3]} - ${m[4]};`,
    values: [
      `${m[0]} + ${id}s + ${id}t`,
      `${f32(a)} * ${id}d + ${f32(b)} * ${id}e`,
      `${f32(p)} * ${id}s + ${f32(q)} * ${id}t`,
      `${f32(a * p)} * ${id}d + (${f32(b * q)} * ${id}e + ${m[5]})`,
    ],
  }),
};
