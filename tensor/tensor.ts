/**
 * The tape. An op is a function; calling it appends a {@linkcode Node} and nothing runs. Nodes carry increasing ids, so
 * "the tape" of some results is simply every node they reach, sorted by id: the one program representation that
 * reverse mode walks, and that `compile/` simplifies, fuses, plans and replays.
 */
import type { DType } from "./dtype.ts";
import { type Shape, sizeOf, type Spec } from "./shape.ts";
import type { Op } from "./op.ts";

/** One application of an op. */
export interface Node<A = unknown> {
  readonly id: number;
  readonly op: Op<A>;
  readonly inputs: readonly Tensor[];
  readonly attrs: A;
  readonly outputs: readonly Tensor[];
}

/** A value of the program: output `index` of a node. Immutable; holds no memory of its own. */
export class Tensor {
  /** @internal What makes it. */
  readonly node: Node;
  /** @internal Ops make tensors. */
  constructor(
    node: Node,
    /** @internal Which of the node's outputs it is. */
    readonly index: number,
    /** Shape and element type. */
    readonly spec: Spec,
  ) {
    this.node = node;
  }
  /** Extents, outermost first. */
  get shape(): Shape {
    return this.spec.shape;
  }
  /** Element type. */
  get dtype(): DType {
    return this.spec.dtype;
  }
  /** Number of elements. */
  get size(): number {
    return sizeOf(this.spec.shape);
  }
}

let nextId = 0;

/** The id that the next node will get; nodes made later have ids at least this large. */
export const mark = (): number => nextId;

/** Applies an op: checks shapes by the op's own rule, and appends the node. */
export function apply<A>(op: Op<A>, inputs: readonly Tensor[], attrs: A): Tensor[] {
  const specs = op.shape(inputs.map((t) => t.spec), attrs);
  return append(op, inputs, attrs, specs);
}

/** Appends a node whose output specs are known already (clones, rewrites). */
export function append<A>(
  op: Op<A>,
  inputs: readonly Tensor[],
  attrs: A,
  specs: readonly Spec[],
): Tensor[] {
  const outputs: Tensor[] = [];
  const node: Node<A> = { id: nextId++, op, inputs, attrs, outputs };
  for (const [i, spec] of specs.entries()) outputs.push(new Tensor(node as Node, i, spec));
  return outputs;
}

/**
 * Every node that the results depend on, in the order in which they were made.
 * With `since`, only nodes made at or after that {@linkcode mark}.
 */
export function tapeOf(results: Iterable<Tensor>, since = 0): Node[] {
  const seen = new Set<Node>();
  const stack: Node[] = [];
  for (const t of results) stack.push(t.node);
  while (stack.length) {
    const node = stack.pop()!;
    if (seen.has(node) || node.id < since) continue;
    seen.add(node);
    for (const t of node.inputs) stack.push(t.node);
  }
  return [...seen].sort((a, b) => a.id - b.id);
}
