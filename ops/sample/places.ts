/**
 * Reading an image between its pixels, at places that are data. All neighbours of all places are one look-up, what is read of
 * them one weighted sum; derivatives, by the image and by the places, are those of the two.
 */
import type { Tensor } from "../../tensor/tensor.ts";
import { sizeOf, stridesOf } from "../../tensor/shape.ts";
import { expand, sum } from "../broadcast.ts";
import { abs, add, clamp, floor, mul, sub } from "../elementwise/arithmetic.ts";
import { cast } from "../elementwise/cast.ts";
import { equal, where } from "../elementwise/compare.ts";
import { remainder, round } from "../elementwise/rounding.ts";
import { gatherRows } from "../index/rows.ts";
import { tensor } from "../leaf.ts";
import { reshape } from "../movement.ts";

/** How a place between pixels is read: the nearest (of two the even one), or by a kernel. */
export type SampleMethod = "nearest" | "linear" | "cubic";

/** What lies beyond the image: zeros, its edge, or the image mirrored. */
export type SampleOutside = "zeros" | "edge" | "reflect";

/** How one dimension is read. */
export interface Reading {
  readonly method: SampleMethod;
  readonly outside: SampleOutside;
  /** Whether the image is mirrored at the middles of its last pixels, and not at their ends. */
  readonly corners: boolean;
}

/** The parameter of cubic kernels, as in PyTorch. */
const A = -0.75;
/** For each neighbour of a place, how far from the one before it; and its weight, a polynomial of the rest, power by power. */
const KERNELS: Readonly<Record<SampleMethod, readonly [number[], number[][]]>> = {
  nearest: [[0], [[1]]],
  linear: [[0, 1], [[1, 0], [-1, 1]]],
  cubic: [[-1, 0, 1, 2], [
    [0, 1, 0, 0],
    [A, 0, -A, 0],
    [-2 * A, -(A + 3), 2 * A + 3, A],
    [A, A + 2, -(A + 2), -A],
  ]],
};

/** Where a number beyond the image lies in it. */
function within(p: Tensor, n: number, { outside, corners }: Reading): Tensor {
  if (outside === "reflect") {
    const low = corners ? 0 : -0.5, span = corners ? n - 1 : n;
    const back = span ? sub(span, abs(sub(span, remainder(sub(p, low), 2 * span)))) : mul(p, 0);
    p = add(back, low);
  }
  return clamp(p, 0, n - 1);
}

/**
 * @internal What an image is at places.
 *
 * @param x `[R, …V, C]`
 * @param places for each dimension of V where: f32 `[R, N]`, whole numbers being the middles of pixels
 * @param how for each dimension
 * @returns f32 `[R, N, C]`
 */
export function sampled(x: Tensor, places: readonly Tensor[], how: readonly Reading[]): Tensor {
  const extents = x.shape.slice(1, -1);
  const [r, c] = [x.shape[0], x.shape.at(-1)!];
  const count = places[0].shape[1];
  // Every neighbour along one dimension with every one along the others: numbers of that shape from the start on, so that
  // all that is done to them is one kernel.
  const taps = how.map(({ method }) => KERNELS[method][0].length);
  const k = sizeOf(taps);
  const strides = stridesOf(extents);
  const each = places.map((place, i) => {
    const along = (row: readonly number[]) => tensor(row, taps.map((n, j) => j === i ? n : 1));
    const p = expand(reshape(place, [r, count, ...taps.map(() => 1)]), [r, count, ...taps]);
    const [id, weight] = neighbour(p, extents[i], how[i], along);
    return [mul(id, strides[i]), weight];
  });
  const [ids, weights] = [0, 1].map((part) =>
    each.map((e) => e[part]).reduce((a, b) => part ? mul(a, b) : add(a, b))
  );
  const rows = gatherRows(
    reshape(x, [r, sizeOf(extents), c]),
    reshape(ids, [r, count * k]),
  );
  const read = cast(reshape(rows, [r, count, k, c]), "f32");
  return sum(mul(read, reshape(weights, [r, count, k, 1])), [2]);
}

/**
 * A neighbour of each place along one dimension, and its weight.
 *
 * @param along numbers for the neighbours, as they broadcast against the places
 */
function neighbour(
  place: Tensor,
  n: number,
  how: Reading,
  along: (row: readonly number[]) => Tensor,
): [id: Tensor, weight: Tensor] {
  const [steps, powers] = KERNELS[how.method];
  const zeros = how.outside === "zeros";
  const p = zeros || how.method === "cubic" ? place : within(place, n, how);
  const base = how.method === "nearest" ? round(p) : floor(p);
  const rest = sub(p, base);
  const weight = powers.map(along).reduceRight((sum, row) => add(mul(sum, rest), row));
  const all = add(base, along(steps));
  const id = zeros ? clamp(all, 0, n - 1) : within(all, n, how);
  const kept = zeros ? where(equal(all, id), weight, 0) : weight;
  // NaN is no place, also where every neighbour is left out or weighs 1.
  return [cast(id, "u32"), where(equal(p, p), kept, p)];
}
