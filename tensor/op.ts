/**
 * The op registry. What an op is — shape rule, derivative, float64 reference, kernel — is declared beside the tape
 * (`tensor.ts`), since nodes and ops refer to each other; TypeScript refuses a record that lacks a part.
 */
import type { Op } from "./tensor.ts";

export type { Attrs, Lowering, Op, Wgsl } from "./tensor.ts";

const registry = new Map<string, Op<unknown>>();

/** Registers an op under its name. There is one registry; a second op of the same name is a programming error. */
export function defineOp<A>(op: Op<A>): Op<A> {
  if (registry.has(op.name)) throw new Error(`op "${op.name}" is defined twice`);
  registry.set(op.name, op as Op<unknown>);
  return op;
}

/** Every op there is, by name: what the tests sweep over. */
export const ops = (): ReadonlyMap<string, Op<unknown>> => registry;
