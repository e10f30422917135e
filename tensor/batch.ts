/**
 * The walk of `vmap`, tape to tape: what was traced for one example becomes what computes all of them at once, each node by
 * its op's own batch rule. Nodes that are the same for every example stay as they are. Like `reverse.ts` it knows no op, so
 * that ops can use it, too; `autograd/vmap.ts` is what users call.
 */
import { sameShape, ShapeError, show } from "./shape.ts";
import { apply, type Batch, mark, type Node, tapeOf, type Tensor, type Tools } from "./tensor.ts";

/**
 * Extends `now` to every tensor on the tape of some results that differs from example to example.
 *
 * @param results what was traced for one example
 * @param since the `mark` before tracing: earlier nodes are the same for all examples
 * @param now tensors that differ, and what they are for all examples, with an axis of `size` in front
 */
export function batchTape(
  results: Iterable<Tensor>,
  since: number,
  now: Map<Tensor, Tensor>,
  size: number,
  tools: Tools,
): void {
  for (const node of tapeOf(results, since)) {
    const { inputs, outputs } = node;
    if (!inputs.some((t) => now.has(t)) || outputs.every((t) => now.has(t))) continue;
    const wide = size === 0
      ? outputs.map(({ shape, dtype }) => tools.zeros({ shape: [0, ...shape], dtype }))
      : node.op.batch(batchOf(node, now, size, tools));
    outputs.forEach((t, i) => {
      agree(node, wide[i], t, size);
      now.set(t, wide[i]);
    });
  }
}

function batchOf(
  node: Node,
  now: ReadonlyMap<Tensor, Tensor>,
  size: number,
  tools: Tools,
): Batch {
  const inputs = node.inputs.map((t) => now.get(t) ?? t);
  const batched = node.inputs.map((t) => now.has(t));
  const wide = (i: number) =>
    batched[i] ? inputs[i] : tools.expand(inputs[i], [size, ...inputs[i].shape]);
  return {
    node,
    size,
    inputs,
    batched,
    wide,
    all: () => inputs.map((_, i) => wide(i)),
    through(f) {
      const since = mark();
      const one = node.inputs.map((t, i) => batched[i] ? tools.hole(t.spec) : t);
      const results = f(one);
      const inner = new Map(one.flatMap((t, i) => batched[i] ? [[t, inputs[i]] as const] : []));
      batchTape(results, since, inner, size, tools);
      return results.map((t) => inner.get(t) ?? tools.expand(t, [size, ...t.shape]));
    },
  };
}

/** A rule that gave something else would be wrong without a word, since what follows broadcasts. */
function agree({ op }: Node, given: Tensor | undefined, t: Tensor, size: number): void {
  const shape = [size, ...t.shape];
  if (given && sameShape(given.shape, shape) && given.dtype === t.dtype) return;
  const is = given ? show(given.spec) : "nothing";
  throw new ShapeError(`batch rule of ${op.name}`, `${is} for ${show({ ...t.spec, shape })}`);
}

/** The batch rule of ops that treat leading axes alike, however many there are: the op itself. */
export const alike = <A>(b: Batch<A>): readonly Tensor[] => apply(b.node.op, b.all(), b.node.attrs);

/** The batch rule of leaves: they have no inputs, so that nothing about them differs from example to example. */
export function unbatched<A>({ node: { op } }: Batch<A>): never {
  throw new Error(`${op.name} is a leaf, the same for all examples`);
}
