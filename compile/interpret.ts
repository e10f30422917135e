/**
 * The reference: runs a tape in float64 on the CPU by each op's own definition, with no fusion, planning or kernels.
 * Slow and plain; what everything else is compared with.
 */
import { type Node, tapeOf, type Tensor } from "../tensor/tensor.ts";

/** Values of `results`, row-major. `feeds` gives values for arguments and device arrays. */
export function interpret(
  results: readonly Tensor[],
  feeds: ReadonlyMap<Tensor, Float64Array> = new Map(),
): Float64Array[] {
  const values = new Map<Tensor, Float64Array>(feeds);
  for (const node of tapeOf(results)) {
    if (node.outputs.every((t) => values.has(t))) continue;
    run(node, values);
  }
  return results.map((t) => values.get(t)!);
}

function run(node: Node, values: Map<Tensor, Float64Array>): void {
  const inputs = node.inputs.map((t) => values.get(t)!);
  const outputs = node.op.reference(
    inputs,
    node.inputs.map((t) => t.spec),
    node.attrs,
    node.outputs.map((t) => t.spec),
  );
  node.outputs.forEach((t, i) => values.set(t, outputs[i]));
}
