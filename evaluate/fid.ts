/**
 * The Fréchet distance of two sets of features, each taken as a normal distribution (Heusel et al., NeurIPS 2017): with
 * Inception's features it is the FID. Definition as in clean-fid: covariances divide by n − 1.
 */
import { FEATURES } from "./features.ts";
import { expectKinds } from "../tensor/kinds.ts";
import { addProductNT, type Matrix, zeros } from "../numerics/matrix.ts";
import { svd } from "../numerics/svd.ts";
import { bootstrap, type BootstrapOptions, type Estimate } from "./bootstrap.ts";
import type { Features } from "./features.ts";

/**
 * |μa − μb|² + tr(Σa + Σb − 2 (Σa Σb)^½) of two feature sets; 0 for equal ones. Biased upwards for few pictures, the more
 * the longer the features.
 *
 * With Σ = CᵀC/(n − 1) of centred rows C, the trace of (Σa Σb)^½ is the sum of the singular values of Ca Cbᵀ, over
 * √((na − 1)(nb − 1)). So no square root of a matrix that may be singular is ever taken.
 *
 * @throws RangeError for features of different lengths, or fewer than two on a side
 */
export function frechetDistance(a: Features, b: Features): number {
  expectKinds("frechetDistance", { a: [a, FEATURES], b: [b, FEATURES] });
  checkSides(a, b);
  return distance(a, b, ones(a.count), ones(b.count));
}

/** {@linkcode frechetDistance} with its interval; 100 draws by default, each of which takes a decomposition. */
export function frechetEstimate(
  a: Features,
  b: Features,
  options: BootstrapOptions = {},
): Estimate {
  expectKinds("frechetEstimate", { a: [a, FEATURES], b: [b, FEATURES] });
  checkSides(a, b);
  return bootstrap([a.count, b.count], ([s, t]) => distance(a, b, s, t), {
    resamples: 100,
    ...options,
  });
}

function checkSides(a: Features, b: Features): void {
  if (a.size !== b.size) {
    throw new RangeError(`features of length ${a.size} and ${b.size} cannot be compared`);
  }
  if (a.count < 2 || b.count < 2) {
    throw new RangeError("the Fréchet distance needs at least two pictures on each side");
  }
}

const ones = (n: number): Float64Array => new Float64Array(n).fill(1);

function distance(a: Features, b: Features, s: Float64Array, t: Float64Array): number {
  const x = centred(a, s), y = centred(b, t);
  let between = 0;
  for (let k = 0; k < a.size; k++) between += (x.mean[k] - y.mean[k]) ** 2;
  const p = shortened(x.rows), q = shortened(y.rows);
  const product = zeros(p.rows, q.rows);
  addProductNT(product, p, q);
  const common = svd(product, 0).s.reduce((sum, v) => sum + v, 0);
  return between + squares(x.rows) + squares(y.rows) - 2 * common;
}

/** The mean, and rows C whose CᵀC is the covariance; `times` says how often each row occurs. */
function centred({ count, size, data }: Features, times: Float64Array) {
  const n = times.reduce((s, v) => s + v, 0);
  const mean = new Float64Array(size);
  for (let i = 0; i < count; i++) {
    for (let k = 0; k < size; k++) mean[k] += times[i] * data[i * size + k] / n;
  }
  const used = Array.from(times.keys()).filter((i) => times[i] > 0);
  const rows = zeros(used.length, size);
  used.forEach((i, r) => {
    const scale = Math.sqrt(times[i] / (n - 1));
    for (let k = 0; k < size; k++) {
      rows.data[r * size + k] = scale * (data[i * size + k] - mean[k]);
    }
  });
  return { mean, rows };
}

/** At most `cols` rows with the same CᵀC. */
function shortened(C: Matrix): Matrix {
  if (C.rows <= C.cols) return C;
  const { s, V } = svd(C);
  return { ...V, data: V.data.map((v, i) => v * s[Math.floor(i / V.cols)]) };
}

const squares = ({ data }: Matrix): number => data.reduce((s, v) => s + v * v, 0);
