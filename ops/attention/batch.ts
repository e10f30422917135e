/** The batch rules of attention and its gradient: examples become samples; queries that share keys become more queries. */
import { apply, type Batch, type Tensor } from "../../tensor/tensor.ts";
import { foldInto, unfold } from "../batch/fold.ts";
import type { AttentionAttrs, AttentionGradAttrs } from "./problem.ts";

/** Applies the op with all inputs' examples in axis `axis`, those of `shared` being the same for all. */
function folded<A>(b: Batch<A>, axis: number, shared: readonly number[] = []): Tensor[] {
  const inputs = b.inputs.map((t, i) => shared.includes(i) ? t : foldInto(b.wide(i), axis));
  return apply(b.node.op, inputs, b.node.attrs).map((y) => unfold(y, axis, b.size));
}

/** y and log-sum-exp of q, k and v. */
export function batchedAttention(b: Batch<AttentionAttrs>): Tensor[] {
  const [, ofKeys, ofValues] = b.batched;
  // Queries do not see one another, but for how far each may look.
  return ofKeys || ofValues || b.node.attrs.causal ? folded(b, 0) : folded(b, 1, [1, 2]);
}

/** The wanted gradients: those of keys and values are sums over the queries of an example alone. */
export function batchedAttentionGrad(b: Batch<AttentionGradAttrs>): Tensor[] {
  const [, ofKeys, ofValues] = b.batched;
  const { causal, wanted } = b.node.attrs;
  const queriesOnly = wanted.every((w) => w === "q") && !ofKeys && !ofValues && !causal;
  return queriesOnly ? folded(b, 1, [1, 2]) : folded(b, 0);
}
