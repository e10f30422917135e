/**
 * Defining ops. What an op is — shape rule, derivative, batch rule, float64 reference, kernel — is declared beside the tape
 * (`tensor.ts`), since nodes and ops refer to each other; TypeScript refuses a record that lacks a part.
 */
import type { Op } from "./tensor.ts";

export type { Attrs, Batch, Lowering, Node, Op, Tools, Wgsl } from "./tensor.ts";

const known = new Map<string, Op>();

/** Makes an op known by its name, under which common subexpressions and `explain` tell it apart; a second op of the same name is a programming error. */
export function defineOp<A>(op: Op<A>): Op<A> {
  if (known.has(op.name)) throw new Error(`op "${op.name}" is defined twice`);
  known.set(op.name, op as Op);
  return op;
}

const own = new Set<string>();

/**
 * The name of an op that a user defines: that of no op of the library, by which the compiler knows what may be simplified, and
 * each time another, since a notebook's cell is run again with a kernel that has changed.
 */
export function ownName(name: string): string {
  if (known.has(name)) {
    throw new TypeError(`an op of the library is called "${name}" already: take another name`);
  }
  let free = name;
  for (let i = 2; own.has(free); i++) free = `${name} (${i})`;
  own.add(free);
  return free;
}

/** Whether an op is a user's. */
export const isOwn = ({ name }: Op): boolean => own.has(name);

/** What an op of a user lacks, where something needs it. */
export class MissingRule extends TypeError {
  /** Always "MissingRule". */
  override name = "MissingRule";
}

/** Every op that there is, for tests that leave none out. */
export const registered = (): readonly Op[] => [...known.values()];
