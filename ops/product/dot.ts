/** Products of vectors and of chosen axes, each a matrix product underneath. */
import { expectAlike } from "../elementwise/map.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import {
  axesOf,
  type AxisList,
  axisList,
  expectArray,
  expectFloats,
  expectTensors,
} from "../../tensor/arguments.ts";
import { ShapeError, show, sizeOf } from "../../tensor/shape.ts";
import { wholeNumber } from "../../tensor/element.ts";
import { mul } from "../elementwise/arithmetic.ts";
import { matmul } from "../matmul.ts";
import { permute, reshape } from "../movement.ts";

/**
 * Sum of products over axes of both: those of a that are named first, and those of b that they go with.
 *
 * @param axes a number n for the last n of a and the first n of b, or two entries: an axis of each, or as many in two lists
 * @returns the other axes of a, and then those of b
 * @throws ShapeError when the extents that are joined differ
 */
export function tensordot(
  a: Tensor,
  b: Tensor,
  axes: number | readonly [AxisList, AxisList] = 2,
): Tensor {
  expectFloats("tensordot", { a, b });
  return contracted("tensordot", a, b, axes);
}

function contracted(
  op: string,
  a: Tensor,
  b: Tensor,
  axes: number | readonly [AxisList, AxisList],
): Tensor {
  const counted = typeof axes === "number";
  if (!counted) {
    expectArray(op, 2, "axes", axes, "[[1], [0]]");
    axes.forEach((list, i) => axisList(op, 2, list, `axes[${i}]`));
    if (axes.length !== 2) throw new ShapeError(op, `axes has ${axes.length} entries, not 2`);
  }
  const [ra, rb] = [a.shape.length, b.shape.length];
  if (counted && wholeNumber(op, "axes", axes) > Math.min(ra, rb)) {
    throw new ShapeError(op, `${axes} axes of ${show(a.spec)} and of ${show(b.spec)}`);
  }
  const left = counted
    ? Array.from({ length: axes }, (_, i) => ra - axes + i)
    : axesOf(op, 2, axes[0], ra, "axes[0]");
  const right = counted
    ? Array.from({ length: axes }, (_, i) => i)
    : axesOf(op, 2, axes[1], rb, "axes[1]");
  if (left.length !== right.length || left.some((l, i) => a.shape[l] !== b.shape[right[i]])) {
    throw new ShapeError(
      op,
      `axes [${left}] of ${show(a.spec)} against [${right}] of ${show(b.spec)}`,
    );
  }
  const free = (rank: number, used: readonly number[]) =>
    Array.from({ length: rank }, (_, i) => i).filter((i) => !used.includes(i));
  const [fa, fb] = [free(ra, left), free(rb, right)];
  const k = sizeOf(left.map((i) => a.shape[i]));
  const [sa, sb] = [fa.map((i) => a.shape[i]), fb.map((i) => b.shape[i])];
  const y = matmul(
    reshape(permute(a, [...fa, ...left]), [sizeOf(sa), k]),
    reshape(permute(b, [...right, ...fb]), [k, sizeOf(sb)]),
  );
  return reshape(y, [...sa, ...sb]);
}

/**
 * NumPy's dot product: of vectors their inner product, of a tensor and another the sum over the last axis of a and the last but
 * one of b (its only one, of a vector); of a scalar the product.
 *
 * @param a `[…, k]`, or `[]`
 * @param b `[k]` or `[…, k, n]`, or `[]`
 * @returns the other axes of a, and then those of b
 * @throws ShapeError when the extents that are joined differ
 */
export function dot(a: Tensor, b: Tensor): Tensor {
  expectTensors("dot", { a, b });
  if (!a.shape.length || !b.shape.length) return mul(a, b);
  expectFloats("dot", { a, b });
  return contracted("dot", a, b, [[-1], [Math.max(0, b.shape.length - 2)]]);
}

/**
 * Every product of an element of a and one of b: `[a.size, b.size]`.
 *
 * @param a `[…]` of any element type
 * @param b of the same element type
 */
export function outer(a: Tensor, b: Tensor): Tensor {
  expectTensors("outer", { a, b });
  expectAlike("outer", [a, b]);
  return mul(reshape(a, [a.size, 1]), reshape(b, [1, b.size]));
}
