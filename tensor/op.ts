/**
 * Defining ops. What an op is — shape rule, derivative, batch rule, float64 reference, kernel — is declared beside the tape
 * (`tensor.ts`), since nodes and ops refer to each other; TypeScript refuses a record that lacks a part.
 */
import type { Op } from "./tensor.ts";

export type { Attrs, Batch, Lowering, Op, Tools, Wgsl } from "./tensor.ts";

const known = new Map<string, Op>();

/** Makes an op known by its name, under which common subexpressions and `explain` tell it apart; a second op of the same name is a programming error. */
export function defineOp<A>(op: Op<A>): Op<A> {
  if (known.has(op.name)) throw new Error(`op "${op.name}" is defined twice`);
  known.set(op.name, op as Op);
  return op;
}

/** Every op that there is, for tests that leave none out. */
export const registered = (): readonly Op[] => [...known.values()];
