/** Slices whose extents are fixed and whose places are data: reading one, and writing one, as into a cache. */
import { expectTensor, type Tensor } from "../../tensor/tensor.ts";
import { expectArray, expectList, expectTensors } from "../../tensor/arguments.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { wholeNumber } from "../../tensor/element.ts";
import { ShapeError, show } from "../../tensor/shape.ts";
import { add, clamp, sub } from "../elementwise/arithmetic.ts";
import { cast } from "../elementwise/cast.ts";
import { equal, less, where } from "../elementwise/compare.ts";
import { bitwiseAnd } from "../elementwise/logic.ts";
import { literal, tensor } from "../leaf.ts";
import { reshape } from "../movement.ts";
import { take } from "./take.ts";

/** Where a slice begins along one axis: a number, or i32 or u32 of one element; below 0 it counts from the end. */
export type Start = number | Tensor;

/** Beginnings as i32 of no axes, moved so that slices of those extents lie within x. */
function beginnings(
  op: string,
  at: number,
  x: Tensor,
  starts: readonly Start[],
  sizes: readonly number[],
): Tensor[] {
  expectArray(op, at, "starts", starts, "[0, i]");
  starts.forEach((start, i) => {
    if (typeof start !== "number") expectTensor(op, `start ${i}`, start, " or a number");
  });
  const rank = x.shape.length;
  if (starts.length !== rank || sizes.length !== rank || sizes.some((n, i) => n > x.shape[i])) {
    throw new ShapeError(
      op,
      `a slice of [${sizes}] from ${starts.length} starts in ${show(x.spec)}`,
    );
  }
  return starts.map((start, i) => {
    const n = x.shape[i], most = n - sizes[i];
    if (typeof start === "number") {
      if (!Number.isSafeInteger(start)) throw new ShapeError(op, `start ${start} is no place`);
      return literal(Math.min(Math.max(start < 0 ? start + n : start, 0), most), "i32");
    }
    if (start.size !== 1 || isFloat(start.dtype)) {
      throw new ShapeError(op, `start ${i} is ${show(start.spec)}, expected one integer`);
    }
    const one = reshape(start, []);
    // Of u32, what is too large for i32 lies behind every end.
    const s = one.dtype === "i32" ? one : cast(clamp(one, 0, n), "i32");
    return clamp(where(less(s, 0), add(s, n), s), 0, most);
  });
}

const numbers = (n: number): Tensor => tensor(Int32Array.from({ length: n }, (_, i) => i));

/**
 * A slice whose place is data, as JAX's `dynamic_slice`. A slice that would reach beyond the end is moved back.
 *
 * @param x `[…]` of any element type
 * @param starts one for each axis
 * @param sizes extents of the slice
 * @returns `[…sizes]`
 * @throws ShapeError when a size is larger than its axis, or there is not one for each
 */
export function dynamicSlice(
  x: Tensor,
  starts: readonly Start[],
  sizes: readonly number[],
): Tensor {
  const op = "dynamicSlice";
  expectTensors(op, { x });
  expectList(op, 2, "sizes", sizes, "[1, 4]");
  sizes.forEach((n) => wholeNumber(op, "an extent", n));
  const from = beginnings(op, 1, x, starts, sizes);
  return sizes.reduce(
    (y, n, i) => n === x.shape[i] ? y : take(y, add(numbers(n), from[i]), i),
    x,
  );
}

/**
 * `x` with a slice in another place of it overwritten, as JAX's `dynamic_update_slice`; a new tensor. A slice that would
 * reach beyond the end is moved back.
 *
 * @param x `[…]` of any element type
 * @param update of as many axes, none longer, and x's element type
 * @param starts one for each axis
 * @throws ShapeError when the update is longer than x, or of another element type
 */
export function dynamicUpdateSlice(
  x: Tensor,
  update: Tensor,
  starts: readonly Start[],
): Tensor {
  const op = "dynamicUpdateSlice";
  expectTensors(op, { x, update });
  if (update.dtype !== x.dtype) {
    throw new ShapeError(
      op,
      `the update is ${show(update.spec)} for ${show(x.spec)}; cast one of them first`,
    );
  }
  const from = beginnings(op, 2, x, starts, update.shape);
  if (!update.size) return x;
  let inside: Tensor | undefined;
  const moved = x.shape.reduce((u, n, i) => {
    const m = update.shape[i];
    if (m === n) return u;
    // Where along the update each place of x lies.
    const place = sub(numbers(n), from[i]);
    const nearest = clamp(place, 0, m - 1);
    const hit = reshape(equal(place, nearest), x.shape.map((_, j) => j === i ? n : 1));
    inside = inside ? bitwiseAnd(inside, hit) : hit;
    return take(u, nearest, i);
  }, update);
  return inside ? where(inside, moved, x) : moved;
}
