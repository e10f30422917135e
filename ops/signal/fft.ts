/**
 * Discrete Fourier transforms, made of products: an extent of at most 64 is one product with a small matrix, a longer one is
 * split into factors (Cooley and Tukey, 1965), one without small factors becomes a convolution (Bluestein, 1970). Sines are
 * computed here in float64. Derivatives are those of products.
 */
import type { Tensor } from "../../tensor/tensor.ts";
import { expectNumber, expectTensors } from "../../tensor/arguments.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { wholeNumber } from "../../tensor/element.ts";
import { axisOf, ShapeError, show, sizeOf } from "../../tensor/shape.ts";
import { expand } from "../broadcast.ts";
import { concat } from "../concat.ts";
import { add, mul } from "../elementwise/arithmetic.ts";
import { cast } from "../elementwise/cast.ts";
import { axisTo } from "../index/take.ts";
import { literal, tensor } from "../leaf.ts";
import { matmul } from "../matmul.ts";
import { pad, permute, reshape, slice } from "../movement.ts";
import { flip } from "../shape/flip.ts";

/** The longest extent that is one product, where a longer one has a factor of at most that. */
const SMALL = 64;
/** The longest extent without such a factor that is one product. */
const DIRECT = 256;

/** Numbers on the unit circle, by their angles: `[…shape, 2]`. */
const circle = (shape: readonly number[], angle: (i: number) => number): Tensor =>
  tensor(
    Float64Array.from({ length: 2 * sizeOf(shape) }, (_, i) => {
      const a = angle(i >> 1);
      return i & 1 ? Math.sin(a) : Math.cos(a);
    }),
    [...shape, 2],
  );

/** Products of complex numbers: z `[…, 2]`, and w that broadcasts against it. */
function times(z: Tensor, w: Tensor): Tensor {
  const [re, im] = [0, 1].map((i) => slice(w, -1, i, i + 1));
  return add(mul(z, re), mul(mul(flip(z, [-1]), im), tensor([-1, 1])));
}

/** Σ z e^(sign · 2πi t k / n) of f32 `[R, n, 2]`. */
function transform(z: Tensor, sign: number): Tensor {
  const [r, n] = z.shape;
  const unit = sign * 2 * Math.PI / n;
  let a = Math.min(n, SMALL);
  while (a > 1 && n % a) a--;
  if (a === n || (a === 1 && n <= DIRECT)) {
    const table = new Float64Array(4 * n * n);
    for (let t = 0; t < n; t++) {
      for (let k = 0; k < n; k++) {
        const angle = unit * ((t * k) % n);
        const [c, s] = [Math.cos(angle), Math.sin(angle)];
        const at = 4 * n * t + 2 * k;
        table[at] = table[at + 2 * n + 1] = c;
        table[at + 1] = s;
        table[at + 2 * n] = -s;
      }
    }
    return reshape(matmul(reshape(z, [r, 2 * n]), tensor(table, [2 * n, 2 * n])), [r, n, 2]);
  }
  if (a === 1) return chirped(z, sign);
  // t = b·t₁ + t₂ and k = k₁ + a·k₂: transforms of length a, a turn of each, and transforms of length b.
  const b = n / a;
  const columns = permute(reshape(z, [r, a, b, 2]), [0, 2, 1, 3]);
  const first = reshape(transform(reshape(columns, [r * b, a, 2]), sign), [r, b, a, 2]);
  const turn = circle([b, a], (i) => unit * ((Math.floor(i / a) * (i % a)) % n));
  const turned = times(first, turn);
  const rows = reshape(permute(turned, [0, 2, 1, 3]), [r * a, b, 2]);
  const second = reshape(transform(rows, sign), [r, a, b, 2]);
  return reshape(permute(second, [0, 2, 1, 3]), [r, n, 2]);
}

/** The transform as a convolution with a chirp, e^(∓πi t² / n), of an extent that is a power of 2. */
function chirped(z: Tensor, sign: number): Tensor {
  const n = z.shape[1];
  const m = 2 ** Math.ceil(Math.log2(2 * n - 1));
  // t² modulo 2n: angles keep their digits.
  const chirp = (sign: number) => (t: number) => sign * Math.PI * ((t * t) % (2 * n)) / n;
  const there = circle([n], chirp(sign));
  // Both ways around a ring; what is far from 0 both ways meets nothing.
  const ring = circle([1, m], (t) => chirp(-sign)(Math.min(t, m - t, n)));
  const wide = pad(times(z, there), [[0, 0], [0, m - n], [0, 0]]);
  const product = times(transform(wide, -1), transform(ring, -1));
  return times(mul(slice(transform(product, 1), 1, 0, n), 1 / m), there);
}

/** A transform along one axis of complex numbers, `[…, 2]`, by way of rows. */
function along(z: Tensor, axis: number, f: (rows: Tensor) => Tensor): Tensor {
  const rank = z.shape.length - 1;
  const { to, back } = axisTo(rank, axis, "last");
  const t = permute(cast(z, "f32"), [...to, rank]);
  const lead = t.shape.slice(0, -2);
  const n = t.shape[rank - 1];
  const made = f(reshape(t, [sizeOf(lead), n, 2]));
  return permute(reshape(made, [...lead, ...made.shape.slice(1)]), [...back, rank]);
}

/** Looks at numbers that are complex, or real, and finds the axis. */
function axisIn(op: string, x: Tensor, axis: number, complex: boolean): number {
  expectTensors(op, { x });
  expectNumber(op, op === "irfft" ? 2 : 1, "axis", axis);
  const rank = x.shape.length - (complex ? 1 : 0);
  if (!isFloat(x.dtype) || (complex && x.shape.at(-1) !== 2)) {
    throw new ShapeError(
      op,
      `takes f32 and f16${complex ? " whose last axis is real part and imaginary part" : ""}, not ${
        show(x.spec)
      }`,
    );
  }
  const a = axisOf(op, axis, rank);
  if (!x.shape[a]) throw new ShapeError(op, `axis ${a} of ${show(x.spec)} has no numbers`);
  return a;
}

/**
 * The discrete Fourier transform along an axis: Xₖ = Σ xₜ e^(−2πi t k / n).
 *
 * Complex numbers have a last axis of their own, real part and imaginary part. The work is n times the sum of n's factors,
 * and n log n where n has none of at most 64.
 *
 * @param x `[…, n, …, 2]`, f32 or f16
 * @param axis among the axes but that of the parts. Default the last of them
 * @returns f32 of x's shape
 * @throws ShapeError when there are no two parts, or the axis has no numbers
 */
export function fft(x: Tensor, axis = -1): Tensor {
  return along(x, axisIn("fft", x, axis, true), (z) => transform(z, -1));
}

/**
 * What {@linkcode fft} undoes: xₜ = Σ Xₖ e^(2πi t k / n) / n.
 *
 * @param x `[…, n, …, 2]`, f32 or f16
 * @returns f32 of x's shape
 * @throws ShapeError when there are no two parts, or the axis has no numbers
 */
export function ifft(x: Tensor, axis = -1): Tensor {
  const a = axisIn("ifft", x, axis, true);
  return along(x, a, (z) => mul(transform(z, 1), 1 / z.shape[1]));
}

/** Real numbers as complex ones: `[…, 2]`. */
const complex = (x: Tensor): Tensor => {
  const z = reshape(cast(x, "f32"), [...x.shape, 1]);
  return concat([z, expand(literal(0, "f32"), z.shape)], x.shape.length);
};

/**
 * {@linkcode fft} of real numbers: the first n/2 + 1 of its results, of which the others are the conjugates.
 *
 * @param x `[…, n, …]`, f32 or f16
 * @returns f32 `[…, ⌊n/2⌋ + 1, …, 2]`
 * @throws ShapeError when the axis has no numbers
 */
export function rfft(x: Tensor, axis = -1): Tensor {
  const a = axisIn("rfft", x, axis, false);
  const half = (x.shape[a] >> 1) + 1;
  return along(complex(x), a, (z) => slice(transform(z, -1), 1, 0, half));
}

/**
 * The real numbers that {@linkcode rfft} came from. Imaginary parts of the first result, and of the last one for an even n,
 * count as 0.
 *
 * @param x `[…, m, …, 2]`, f32 or f16
 * @param n how many: 2(m − 1), the default, or 2m − 1
 * @returns f32 `[…, n, …]`
 * @throws ShapeError for another n
 */
export function irfft(x: Tensor, n?: number, axis = -1): Tensor {
  const op = "irfft";
  const a = axisIn(op, x, axis, true);
  const m = x.shape[a];
  if (n !== undefined) expectNumber(op, 1, "n", n);
  const count = wholeNumber(op, "n", n ?? Math.max(1, 2 * (m - 1)), 1);
  if ((count >> 1) + 1 !== m) throw new ShapeError(op, `${count} numbers of ${show(x.spec)}`);
  // The conjugates in their places: what stands for k and n − k has the same real and the opposite imaginary part.
  const y = along(x, a, (z) => {
    const rest = slice(flip(slice(z, 1, 1, m), [1]), 1, m - 1 - (count - m), m - 1);
    const all = concat([z, mul(rest, tensor([1, -1]))], 1);
    return mul(slice(transform(all, 1), 2, 0, 1), 1 / count);
  });
  return reshape(y, y.shape.slice(0, -1));
}
