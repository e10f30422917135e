/** Applying elementwise ops: numbers become literals, and operands are broadcast to a common shape. */
import { apply, expectTensor, type Lowering, type Tensor } from "../../tensor/tensor.ts";
import { storedAs } from "../../tensor/dtype.ts";
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

/** A number, or a tensor that is one: a literal, which has a partner's type as a number has. */
const numberOf = (o: Operand): number | undefined => typeof o === "number" ? o : literalValue(o);

/** Refuses tensors of different element types; numbers and literals have their partner's, and truth values count beside u32. */
export function expectAlike(op: string, operands: readonly Operand[]): void {
  const specs = operands.filter((o) => numberOf(o) === undefined).map((o) => (o as Tensor).spec);
  const other = specs.find((s) => storedAs(s.dtype) !== storedAs(specs[0].dtype));
  if (!other) return;
  throw new ShapeError(
    op,
    `operands are ${show(specs[0])} and ${show(other)}; cast one of them first`,
  );
}

/**
 * Operands in one type, that of the tensors among them whose values are not known, or else of those that are; f32 of numbers alone.
 * Truth values are counted, as 0 and 1 of u32, by ops that do not take them, and beside u32: the one place where a type becomes
 * another one by itself.
 */
function alike<A>(op: Op<A>, operands: readonly Operand[]): Tensor[] {
  const { takes } = op.lowering as Extract<Lowering<A>, { kind: "map" }>;
  const tensors = operands.filter((o) => typeof o !== "number");
  const unknown = tensors.filter((t) => literalValue(t) === undefined);
  const types = (unknown.length ? unknown : tensors).map((t) => t.dtype);
  // Where a cast would help, that is what is said, and not that an op does not take one of them.
  const counts = takes.includes("u32");
  if (types.every((t) => takes.includes(t) || (counts && t === "bool"))) {
    expectAlike(op.name, operands);
  }
  let dtype = types.find((t) => t !== "bool") ?? types[0] ?? "f32";
  const beside = tensors.some((t) => t.dtype === "u32");
  if (dtype === "bool" && counts && (beside || !takes.includes("bool"))) dtype = "u32";
  return operands.map((o) => {
    const v = numberOf(o);
    if (v !== undefined && (o as Tensor).dtype !== dtype) {
      return literal(elementOf(op.name, v, dtype), dtype);
    }
    return dtype === "u32" ? counted(o as Tensor) : o as Tensor;
  });
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
  const typed = [...operands.slice(0, free) as Tensor[], ...alike(op, operands.slice(free))];
  const shape = typed.map((t) => t.shape).reduce((a, b) => broadcastShapes(op.name, a, b));
  return apply(op, typed.map((t) => expand(t, shape)), attrs)[0];
}
