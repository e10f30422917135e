/** Applying elementwise ops: numbers become literals, and operands are broadcast to a common shape. */
import { apply, expectTensor, type Tensor } from "../../tensor/tensor.ts";
import { broadcastShapes, ShapeError, show } from "../../tensor/shape.ts";
import { elementOf } from "../../tensor/element.ts";
import type { Op } from "../../tensor/op.ts";
import { expand } from "../broadcast.ts";
import { literal, literalValue } from "../leaf.ts";

/**
 * A tensor of any shape, or a number that becomes a literal of the other operand's dtype. Shapes are broadcast as NumPy does it;
 * functions of operands throw ShapeError where they do not broadcast or element types differ, and RangeError for a number that
 * the type can't hold.
 */
export type Operand = Tensor | number;

/** Refuses operands that are neither tensors nor numbers. */
export function expectOperands(op: string, operands: readonly unknown[]): void {
  operands.forEach((o, i) => {
    if (typeof o !== "number") expectTensor(op, `argument ${i + 1}`, o, " or a number");
  });
}

/** The same, and tensors of different element types, for functions that are made of several ops. */
export function expectAlike(op: string, operands: readonly Operand[]): void {
  expectOperands(op, operands);
  const typed = operands.filter((o) => typeof o !== "number" && literalValue(o) === undefined);
  const specs = typed.map((o) => (o as Tensor).spec);
  if (specs.every((s) => s.dtype === specs[0].dtype)) return;
  throw new ShapeError(op, `operands are ${specs.map(show).join(" and ")}; cast one of them first`);
}

/** Applies an elementwise op to operands, broadcasting them to a common shape. */
export function applyMap<A>(
  op: Op<A>,
  operands: readonly Operand[],
  attrs: A,
  like?: number,
): Tensor {
  expectOperands(op.name, operands);
  const model = operands.find((o, i) =>
    typeof o !== "number" && (like === undefined || i === like)
  );
  const dtype = (model as Tensor | undefined)?.dtype ?? "f32";
  // A number, and a literal, take the dtype of their partner, so that `x * 2` works for every dtype.
  const typed = operands.map((o, i) => {
    if (typeof o === "number") return literal(elementOf(op.name, o, dtype), dtype);
    const v = literalValue(o);
    if (v === undefined || o.dtype === dtype || (like !== undefined && i < like)) return o;
    return literal(elementOf(op.name, v, dtype), dtype);
  });
  const shape = typed.map((t) => t.shape).reduce((a, b) => broadcastShapes(op.name, a, b));
  return apply(op, typed.map((t) => expand(t, shape)), attrs)[0];
}
