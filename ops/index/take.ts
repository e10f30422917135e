/** Look-ups by ids that are data, as NumPy has them: along an axis, element by element, and at coordinates. */
import type { Tensor } from "../../tensor/tensor.ts";
import { expectNumber, expectOptions, expectTensors } from "../../tensor/arguments.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { wholeNumber } from "../../tensor/element.ts";
import {
  axisOf,
  sameShape,
  type Shape,
  ShapeError,
  show,
  sizeOf,
  stridesOf,
} from "../../tensor/shape.ts";
import { expand } from "../broadcast.ts";
import { add, mul } from "../elementwise/arithmetic.ts";
import { cast, counted } from "../elementwise/cast.ts";
import { greaterEqual, less, where } from "../elementwise/compare.ts";
import { literal, tensor } from "../leaf.ts";
import { permute, reshape, slice } from "../movement.ts";
import { gatherRows } from "./rows.ts";

/** Ids as u32: those below 0 count from the end, and what lies outside even so is beyond every row. */
export function idsOf(op: string, ids: Tensor, extent: number): Tensor {
  if (isFloat(ids.dtype)) throw new ShapeError(op, `ids are i32 or u32, not ${show(ids.spec)}`);
  return ids.dtype === "i32"
    ? cast(where(less(ids, 0), add(ids, extent), ids), "u32")
    : counted(ids);
}

/** The order of axes that puts `axis` first or last, and back. */
export const axisTo = (rank: number, axis: number, end: "first" | "last") => {
  const others = [...Array(rank).keys()].filter((i) => i !== axis);
  const to = end === "first" ? [axis, ...others] : [...others, axis];
  return { to, back: to.map((_, i) => to.indexOf(i)) };
};

/**
 * Slices of an axis by id: row `ids[i]` for every i, as `x[ids]` of NumPy for axis 0.
 *
 * @param x `[…, V, …]` of any element type
 * @param ids `[…]` of i32 or u32; those of i32 below 0 count from the end. Ids beyond it read the last
 * @returns x's axes, with those of ids in place of `axis`
 * @throws ShapeError when ids are floats, or do not fit x
 */
export function take(x: Tensor, ids: Tensor, axis = 0): Tensor {
  expectTensors("take", { x, ids });
  expectNumber("take", 2, "axis", axis);
  const a = axisOf("take", axis, x.shape.length);
  const { to } = axisTo(x.shape.length, a, "first");
  const [v, ...others] = to.map((i) => x.shape[i]);
  const rows = reshape(permute(x, to), [1, v, sizeOf(others)]);
  const y = gatherRows(rows, reshape(idsOf("take", ids, v), [1, ids.size]));
  const r = ids.shape.length;
  // The axes of ids come out first; they go where the axis was.
  const order = [
    ...[...Array(a).keys()].map((i) => r + i),
    ...Array(r).keys(),
    ...[...Array(others.length - a).keys()].map((i) => r + a + i),
  ];
  return permute(reshape(y, [...ids.shape, ...others]), order);
}

/** Checks ids that name one element each along an axis. */
export function alongAxis(op: string, x: Tensor, ids: Tensor, axis: number): number {
  const a = axisOf(op, axis, x.shape.length);
  if (ids.shape.length !== x.shape.length || ids.shape.some((d, i) => i !== a && d > x.shape[i])) {
    throw new ShapeError(
      op,
      `ids are ${show(ids.spec)} for ${
        show(x.spec)
      }: they have its axes, and none but axis ${a} longer`,
    );
  }
  return a;
}

/**
 * One element along an axis for each id: `y[i, j] = x[i, ids[i, j]]`, as NumPy's `take_along_axis`.
 *
 * @param x `[…, V, …]` of any element type
 * @param ids i32 or u32, of as many axes as x, each but `axis` at most as long. Below 0 they count from the end; beyond it
 *   they read the last
 * @returns of the shape of ids
 * @throws ShapeError when ids are floats, or do not fit x
 */
export function takeAlongAxis(x: Tensor, ids: Tensor, axis: number): Tensor {
  expectTensors("takeAlongAxis", { x, ids });
  expectNumber("takeAlongAxis", 2, "axis", axis);
  const a = alongAxis("takeAlongAxis", x, ids, axis);
  return takeAlong(x, idsOf("takeAlongAxis", ids, x.shape[a]), a);
}

/** @internal The same of u32 ids. `unique`: no id comes twice. */
export function takeAlong(x: Tensor, ids: Tensor, axis: number, unique = false): Tensor {
  const part = ids.shape.reduce(
    (t, d, i) => i === axis || d === x.shape[i] ? t : slice(t, i, 0, d),
    x,
  );
  const { to, back } = axisTo(x.shape.length, axis, "last");
  const [t, i] = [permute(part, to), permute(ids, to)];
  const rows = sizeOf(t.shape.slice(0, -1));
  const y = gatherRows(
    reshape(t, [rows, t.shape.at(-1)!, 1]),
    reshape(i, [rows, i.shape.at(-1)!]),
    unique,
  );
  return permute(reshape(y, i.shape), back);
}

/** How coordinates are laid out: `[batch…, n…, k]` in `[batch…, V₁…Vₖ, D…]`. */
export interface Coordinates {
  readonly batch: Shape;
  readonly places: Shape;
  readonly lead: Shape;
  readonly rest: Shape;
  /** Flat u32 ids `[R, n]`. */
  readonly flat: Tensor;
}

/** Looks at coordinates, and makes one id of each. */
export function coordinatesOf(op: string, x: Tensor, ids: Tensor, batchDims: number): Coordinates {
  wholeNumber(op, "options.batchDims", batchDims);
  const k = ids.shape.at(-1) ?? 0;
  const batch = x.shape.slice(0, batchDims);
  if (
    !ids.shape.length || batchDims >= ids.shape.length || batchDims + k > x.shape.length ||
    !sameShape(batch, ids.shape.slice(0, batchDims))
  ) {
    throw new ShapeError(
      op,
      `coordinates ${show(ids.spec)} in ${
        show(x.spec)
      }: their last axis has one number for each axis that they name`,
    );
  }
  const lead = x.shape.slice(batchDims, batchDims + k);
  const rest = x.shape.slice(batchDims + k);
  const places = ids.shape.slice(batchDims, -1);
  const r = sizeOf(batch), n = sizeOf(places);
  const rows = sizeOf(lead);
  const strides = stridesOf(lead);
  const list = reshape(ids, [r, n, k]);
  let flat: Tensor = expand(literal(0, "u32"), [r, n]);
  let inside: Tensor | undefined;
  for (let i = 0; i < k; i++) {
    const one = idsOf(op, reshape(slice(list, 2, i, i + 1), [r, n]), lead[i]);
    const out = greaterEqual(one, lead[i]);
    inside = inside ? add(inside, out) : out;
    flat = add(flat, mul(one, strides[i]));
  }
  // One coordinate outside puts the whole of it beyond the end, and not into another row.
  return { batch, places, lead, rest, flat: inside ? where(inside, rows, flat) : flat };
}

/**
 * Elements, or slices, at coordinates: `y[i] = x[ids[i, 0], ids[i, 1], …]`.
 *
 * @param x `[batch…, V₁, …, Vₖ, D…]` of any element type
 * @param ids `[batch…, n…, k]` of i32 or u32: the first k axes after the batch. Below 0 they count from the end
 * @param options `batchDims`: leading axes that both have. Default 0
 * @returns `[batch…, n…, D…]`; coordinates outside read the last slice
 * @throws ShapeError when ids are floats, or do not fit x
 */
export function gather(
  x: Tensor,
  ids: Tensor,
  options: { readonly batchDims?: number } = {},
): Tensor {
  expectTensors("gather", { x, ids });
  expectOptions("gather", 2, options, { batchDims: "number" });
  const { batch, places, lead, rest, flat } = coordinatesOf(
    "gather",
    x,
    ids,
    options.batchDims ?? 0,
  );
  const y = gatherRows(reshape(x, [sizeOf(batch), sizeOf(lead), sizeOf(rest)]), flat);
  return reshape(y, [...batch, ...places, ...rest]);
}

/** @internal Whole numbers along one axis, broadcast to a shape. */
export function along(shape: Shape, axis: number, dtype: "i32" | "u32" = "u32"): Tensor {
  const n = shape[axis];
  const values = Float64Array.from({ length: n }, (_, i) => i);
  return expand(tensor(values, shape.map((_, i) => i === axis ? n : 1), dtype), shape);
}
