/** Applying elementwise ops: numbers become literals, and operands are broadcast to a common shape. */
import { apply, expectTensor, type Lowering, type Tensor } from "../../tensor/tensor.ts";
import { type DType, storedAs } from "../../tensor/dtype.ts";
import { broadcastShapes, ShapeError, show } from "../../tensor/shape.ts";
import { elementOf } from "../../tensor/element.ts";
import type { Op } from "../../tensor/op.ts";
import { expand } from "../broadcast.ts";
import { counted } from "./cast.ts";
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
  if (specs.every((s) => storedAs(s.dtype) === storedAs(specs[0].dtype))) return;
  throw new ShapeError(op, `operands are ${specs.map(show).join(" and ")}; cast one of them first`);
}

/**
 * Truth values are counted, as 0 and 1 of u32, by ops that do not take them, and beside u32: the one place where a type becomes
 * another one by itself.
 */
function counting<A>(op: Op<A>, operands: readonly Operand[]): readonly Operand[] {
  const { takes } = op.lowering as Extract<Lowering<A>, { kind: "map" }>;
  const known = (o: Operand): o is number => typeof o === "number" || literalValue(o) !== undefined;
  const all = (...types: readonly DType[]) =>
    operands.every((o) => known(o) || types.includes(o.dtype));
  if (all(takes.includes("bool") ? "bool" : "u32") || !all("u32", "bool")) return operands;
  return takes.includes("u32") ? operands.map((o) => known(o) ? o : counted(o)) : operands;
}

/**
 * Applies an elementwise op to operands, broadcasting them to a common shape.
 *
 * @param free how many of them, from the first on, have a type that is not the others'
 */
export function applyMap<A>(
  op: Op<A>,
  operands: readonly Operand[],
  attrs: A,
  free = 0,
): Tensor {
  expectOperands(op.name, operands);
  const like = counting(op, operands.slice(free));
  const dtype = (like.find((o) => typeof o !== "number") as Tensor | undefined)?.dtype ?? "f32";
  // A number, and a literal, take the dtype of their partner, so that `x * 2` works for every dtype.
  const typed = [
    ...operands.slice(0, free) as Tensor[],
    ...like.map((o) => {
      const v = typeof o === "number" ? o : literalValue(o);
      if (v === undefined || (o as Tensor).dtype === dtype) return o as Tensor;
      return literal(elementOf(op.name, v, dtype), dtype);
    }),
  ];
  const shape = typed.map((t) => t.shape).reduce((a, b) => broadcastShapes(op.name, a, b));
  return apply(op, typed.map((t) => expand(t, shape)), attrs)[0];
}
