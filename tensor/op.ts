/**
 * Defining ops. What an op is — shape rule, derivative, float64 reference, kernel — is declared beside the tape
 * (`tensor.ts`), since nodes and ops refer to each other; TypeScript refuses a record that lacks a part.
 */
import type { Op } from "./tensor.ts";

export type { Attrs, Lowering, Op, Wgsl } from "./tensor.ts";

const names = new Set<string>();

/** The names of all ops: what a test of every op must have driven. */
export const opNames = (): readonly string[] => [...names];

/** Makes an op known by its name, under which common subexpressions and `explain` tell it apart; a second op of the same name is a programming error. */
export function defineOp<A>(op: Op<A>): Op<A> {
  if (names.has(op.name)) throw new Error(`op "${op.name}" is defined twice`);
  names.add(op.name);
  return op;
}
