/**
 * Moving the examples' axis in and out of an op's own axes: most kernels have one that takes many examples as well as many
 * of what they were made for (images, rows, channels), so that a batch is one larger kernel and no op needs another.
 */
import { apply, type Batch, type Tensor } from "../../tensor/tensor.ts";
import { permute, reshape } from "../movement.ts";

/** The axes of a rank with `from` taken out and put before `to`. */
function moving(rank: number, from: number, to: number): number[] {
  const axes = [...Array(rank).keys()].filter((a) => a !== from);
  axes.splice(to, 0, from);
  return axes;
}

/** Moves an axis to another place, the others keeping their order. */
export const moveAxis = (x: Tensor, from: number, to: number): Tensor =>
  permute(x, moving(x.shape.length, from, to));

/**
 * Merges the leading axis into one behind it: `[n, …, d, …]` becomes `[…, n·d, …]`.
 *
 * @param axis which one, as it counts without the leading one
 */
export function foldInto(x: Tensor, axis: number): Tensor {
  const [n, ...rest] = x.shape;
  return reshape(moveAxis(x, 0, axis), rest.with(axis, n * rest[axis]));
}

/** The batch rule of ops whose first axis holds problems that do not see one another: examples are more of them. */
export function moreRows<A>(b: Batch<A>): Tensor[] {
  const { node: { op, attrs, outputs }, size } = b;
  const results = apply(op, b.all().map((t) => foldInto(t, 0)), attrs);
  return results.map((t, i) => reshape(t, [size, ...outputs[i].shape]));
}

/** The inverse of {@linkcode foldInto}: `[…, n·d, …]` becomes `[n, …, d, …]`. */
export function unfold(y: Tensor, axis: number, n: number): Tensor {
  const { shape } = y;
  const split = [...shape.slice(0, axis), n, shape[axis] / n, ...shape.slice(axis + 1)];
  return moveAxis(reshape(y, split), axis, 0);
}
