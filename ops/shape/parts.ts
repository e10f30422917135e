/** Taking apart and putting together: split, stack, axes of extent 1, diagonals. */
import { calledAs } from "../../tensor/called.ts";
import { expectTensor, type Tensor } from "../../tensor/tensor.ts";
import {
  axesOf,
  type AxisList,
  axisList,
  expectArray,
  expectList,
  expectNumber,
  expectTensors,
} from "../../tensor/arguments.ts";
import { storedAs } from "../../tensor/dtype.ts";
import { wholeNumber } from "../../tensor/element.ts";
import { axisOf, ShapeError, show } from "../../tensor/shape.ts";
import { concat } from "../concat.ts";
import { permute, reshape, slice } from "../movement.ts";
import { strided } from "./flip.ts";

/**
 * Cuts an axis into parts.
 *
 * @param x `[…]` of any element type
 * @param parts how many of equal extent, or the places at which to cut
 * @throws ShapeError when the axis does not fall into equal parts, or places are not in order within it
 */
export function split(x: Tensor, parts: number | readonly number[], axis = 0): Tensor[] {
  expectTensors("split", { x });
  expectNumber("split", 2, "axis", axis);
  const a = axisOf("split", axis, x.shape.length);
  const n = x.shape[a];
  if (typeof parts === "number") {
    wholeNumber("split", "the number of parts", parts, 1);
    if (n % parts) throw new ShapeError("split", `axis ${a} of [${x.shape}] in ${parts} parts`);
  } else expectList("split", 1, "parts", parts, "[2, 5]");
  const cuts = typeof parts === "number"
    ? Array.from({ length: parts + 1 }, (_, i) => i * n / parts)
    : [0, ...parts, n];
  return calledAs("split", () => cuts.slice(1).map((end, i) => slice(x, a, cuts[i], end)));
}

/**
 * Joins tensors of one shape along a new axis.
 *
 * @param parts one or more of one shape and element type
 * @param axis where the new axis stands among those of the result
 * @throws ShapeError when there are none, or they differ
 */
export function stack(parts: readonly Tensor[], axis = 0): Tensor {
  expectArray("stack", 0, "parts", parts, "[a, b]");
  if (!parts.length) throw new ShapeError("stack", "no tensors are given to join");
  parts.forEach((p, i) => expectTensor("stack", `part ${i}`, p));
  expectNumber("stack", 1, "axis", axis);
  const a = axisOf("stack", axis, parts[0].shape.length + 1);
  for (const p of parts) {
    const alike = storedAs(p.dtype) === storedAs(parts[0].dtype);
    if (alike && p.shape.join() === parts[0].shape.join()) continue;
    throw new ShapeError(
      "stack",
      `${show(p.spec)} beside ${show(parts[0].spec)}${alike ? "" : "; cast one of them first"}`,
    );
  }
  return concat(parts.map((p) => reshape(p, p.shape.toSpliced(a, 0, 1))), a);
}

/**
 * Leaves out axes of extent 1: those named, or all that there are.
 *
 * @param x `[…]` of any element type
 * @throws ShapeError when an axis that is named has another extent
 */
export function squeeze(x: Tensor, axes?: AxisList): Tensor {
  expectTensors("squeeze", { x });
  const list = axesOf("squeeze", 1, axes, x.shape.length);
  const long = list.find((a) => x.shape[a] !== 1);
  if (axes !== undefined && long !== undefined) {
    throw new ShapeError("squeeze", `axis ${long} of [${x.shape}] is not of extent 1`);
  }
  return reshape(x, x.shape.filter((d, i) => d !== 1 || !list.includes(i)));
}

/**
 * Puts in axes of extent 1, at places among those of the result.
 *
 * @param x `[…]` of any element type
 * @throws ShapeError when a place lies outside of the result, or is named twice
 */
export const expandDims = (x: Tensor, axes: AxisList): Tensor => widened("expandDims", x, axes);

function widened(op: string, x: Tensor, axes: AxisList): Tensor {
  expectTensors(op, { x });
  const rank = x.shape.length + axisList(op, 1, axes).length;
  const list = axesOf(op, 1, axes, rank);
  const rest = [...x.shape];
  return reshape(
    x,
    Array.from({ length: rank }, (_, i) => list.includes(i) ? 1 : rest.shift()!),
  );
}

/** {@linkcode expandDims} by PyTorch's name. */
export const unsqueeze = (x: Tensor, axes: AxisList): Tensor => widened("unsqueeze", x, axes);

/**
 * Moves an axis to another place, the others keeping their order.
 *
 * @param x `[…]` of any element type
 * @throws ShapeError when there is no such axis
 */
export function moveAxis(x: Tensor, from: number, to: number): Tensor {
  expectTensors("moveAxis", { x });
  expectNumber("moveAxis", 1, "from", from);
  expectNumber("moveAxis", 2, "to", to);
  const rank = x.shape.length;
  const a = axisOf("moveAxis", from, rank), b = axisOf("moveAxis", to, rank);
  const order = [...x.shape.keys()].toSpliced(a, 1);
  return permute(x, order.toSpliced(b, 0, a));
}

/**
 * The diagonal of the last two axes.
 *
 * @param x `[…, n, m]`
 * @param offset 0 for the main one, above it when positive
 * @returns `[…, k]`
 * @throws ShapeError when there are no two axes
 */
export function diagonal(x: Tensor, offset = 0): Tensor {
  expectTensors("diagonal", { x });
  expectNumber("diagonal", 1, "offset", offset);
  if (!Number.isSafeInteger(offset)) {
    throw new ShapeError("diagonal", `offset ${offset} is no whole number`);
  }
  if (x.shape.length < 2) throw new ShapeError("diagonal", `[${x.shape}] has no two axes`);
  const lead = x.shape.slice(0, -2);
  const [n, m] = x.shape.slice(-2);
  const count = Math.max(0, Math.min(n - Math.max(0, -offset), m - Math.max(0, offset)));
  const start = offset < 0 ? -offset * m : offset;
  return strided(reshape(x, [...lead, n * m]), lead.length, count ? start : 0, count, m + 1);
}
