/**
 * A part of the tape as a function: nodes in order, what they read from outside, and which tensors they give. It can be
 * appended again with other inputs, which is how `checkpoint` computes twice, and how a loop's body is known once.
 */
import { append, type Node, tapeOf, type Tensor } from "./tensor.ts";

/** See above. */
export class Region {
  constructor(
    readonly nodes: readonly Node[],
    /** What the nodes, or the results, read from outside: inputs in order. */
    readonly boundary: readonly Tensor[],
    readonly results: readonly Tensor[],
  ) {}

  /** Everything on the way to some results that was made since a `mark`. */
  static since(results: readonly Tensor[], since: number): Region {
    return Region.#of(tapeOf(results, since), [], results);
  }

  /**
   * What some results compute from parameters: leaves that were made since a `mark`. What does not depend on these lies
   * outside, but for numbers, which are part of the kernels that use them.
   */
  static from(params: readonly Tensor[], results: readonly Tensor[], since: number): Region {
    const inside = new Set<Node>();
    const numbers = new Set<Node>();
    const own = new Set(params.map((t) => t.node));
    const tape = tapeOf(results, since);
    for (const node of tape) {
      const { op, inputs } = node;
      if (own.has(node)) continue;
      const { kind } = op.lowering;
      if (inputs.some((t) => own.has(t.node) || inside.has(t.node))) inside.add(node);
      else if (op.name === "literal") numbers.add(node);
      else if ((kind === "view" || kind === "alias") && inputs.every((t) => numbers.has(t.node))) {
        numbers.add(node);
      }
    }
    return Region.#of(tape.filter((n) => inside.has(n) || numbers.has(n)), params, results);
  }

  static #of(
    nodes: readonly Node[],
    params: readonly Tensor[],
    results: readonly Tensor[],
  ): Region {
    const inside = new Set(nodes);
    const read = [...nodes.flatMap((n) => n.inputs), ...results];
    const outside = read.filter((t) => !inside.has(t.node));
    return new Region(nodes, [...new Set([...params, ...outside])], results);
  }

  /** The region appended to the tape with other inputs. */
  clone(inputs: readonly Tensor[]): Tensor[] {
    const now = new Map(this.boundary.map((t, i) => [t, inputs[i]]));
    for (const node of this.nodes) {
      const outputs = append(
        node.op,
        node.inputs.map((t) => now.get(t)!),
        node.attrs,
        node.outputs.map((t) => t.spec),
      );
      node.outputs.forEach((t, i) => now.set(t, outputs[i]));
    }
    return this.results.map((t) => now.get(t)!);
  }

  /** Its values by definition, in float64, for those of its inputs. */
  run(inputs: readonly Float64Array[]): Float64Array[] {
    const values = new Map(this.boundary.map((t, i) => [t, inputs[i]]));
    for (const { op, attrs, inputs: read, outputs } of this.nodes) {
      const specs = (ts: readonly Tensor[]) => ts.map((t) => t.spec);
      const made = op.reference(
        read.map((t) => values.get(t)!),
        specs(read),
        attrs,
        specs(outputs),
      );
      outputs.forEach((t, i) => values.set(t, made[i]));
    }
    return this.results.map((t) => values.get(t)!);
  }
}
