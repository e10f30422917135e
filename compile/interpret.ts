/**
 * The reference: runs a tape in float64 on the CPU by each op's own definition, with no fusion, planning or kernels.
 * Slow and plain; what everything else is compared with.
 */
import type { Node, Tensor } from "../tensor/tensor.ts";

/**
 * Values of `results`, row-major.
 *
 * @param feeds known values: of arguments and device arrays, and of any tensor behind which nothing shall be computed
 */
export function interpret(
  results: readonly Tensor[],
  feeds: ReadonlyMap<Tensor, Float64Array> = new Map(),
): Float64Array[] {
  const values = new Map<Tensor, Float64Array>(feeds);
  for (const node of neededBehind(results, feeds)) run(node, values);
  return results.map((t) => values.get(t)!);
}

/** The nodes to run, in order: those that the results reach without passing a value that is known. */
export function neededBehind(
  results: readonly Tensor[],
  known: ReadonlyMap<Tensor, unknown>,
): Node[] {
  const seen = new Set<Node>();
  const stack = [...results];
  while (stack.length) {
    const t = stack.pop()!;
    if (known.has(t) || seen.has(t.node)) continue;
    seen.add(t.node);
    for (const input of t.node.inputs) stack.push(input);
  }
  return [...seen].sort((a, b) => a.id - b.id);
}

function run(node: Node, values: Map<Tensor, Float64Array>): void {
  const inputs = node.inputs.map((t) => values.get(t)!);
  const outputs = node.op.reference(
    inputs,
    node.inputs.map((t) => t.spec),
    node.attrs,
    node.outputs.map((t) => t.spec),
  );
  node.outputs.forEach((t, i) => {
    if (!values.has(t)) values.set(t, outputs[i]);
  });
}
