/**
 * The walk of reverse mode, tape to tape: before the GPU sees anything, the derivative of a loss becomes more nodes on the
 * same tape. Only nodes on a path from a wanted leaf to the loss are visited, so what is frozen costs nothing: no gradient,
 * no kernel, no activation kept for it. It knows no op, so that ops can use it, too; `autograd/grad.ts` is what users call.
 */
import { isFloat } from "./dtype.ts";
import { sameShape, ShapeError, show } from "./shape.ts";
import { type Node, tapeOf, type Tensor } from "./tensor.ts";

/**
 * Cotangents of `wanted` given cotangents of `outputs`: vᵀJ, recorded on the tape.
 *
 * @param outputs tensors and their cotangents (same shapes)
 * @param wanted leaves or intermediate tensors
 * @param add how cotangents that meet are added
 * @returns for each wanted tensor its cotangent, or undefined where it is zero (nothing depends on it)
 */
export function reverse(
  outputs: readonly (readonly [y: Tensor, g: Tensor])[],
  wanted: readonly Tensor[],
  add: (a: Tensor, b: Tensor) => Tensor,
): (Tensor | undefined)[] {
  // What was made before everything that is wanted cannot depend on it.
  const first = wanted.reduce((id, t) => Math.min(id, t.node.id), Infinity);
  const tape = tapeOf(outputs.map(([y]) => y), first);
  const reaches = reachedFrom(tape, wanted);
  const cotangents = new Map<Tensor, Tensor>();
  const accumulate = (t: Tensor, g: Tensor) => {
    const sum = cotangents.get(t);
    cotangents.set(t, sum ? add(sum, g) : g);
  };
  for (const [y, g] of outputs) if (reaches.has(y)) accumulate(y, g);
  const targets = new Set(wanted);
  for (const node of tape.toReversed()) {
    const g = node.outputs.map((t) => cotangents.get(t));
    if (g.every((x) => x === undefined)) continue;
    const need = node.inputs.map((t) => reaches.has(t));
    if (need.some((n) => n)) {
      const into = node.op.vjp(g, node, need);
      node.inputs.forEach((t, i) => {
        const gi = into[i];
        if (!need[i] || !gi) return;
        agree(node, gi, t);
        accumulate(t, gi);
      });
    }
    // A cotangent is complete once its node is reached; dropping it keeps the walk's own memory small.
    for (const t of node.outputs) if (!targets.has(t)) cotangents.delete(t);
  }
  return wanted.map((t) => cotangents.get(t));
}

/** A cotangent is what it belongs to in shape and element type; another would broadcast, and be wrong without a word. */
function agree({ op }: Node, g: Tensor, t: Tensor): void {
  if (sameShape(g.shape, t.shape) && g.dtype === t.dtype) return;
  throw new ShapeError(`vjp of ${op.name}`, `cotangent ${show(g.spec)} for ${show(t.spec)}`);
}

/** Tensors on the tape that depend on a wanted one and can carry a gradient. */
function reachedFrom(tape: readonly Node[], wanted: readonly Tensor[]): Set<Tensor> {
  const reached = new Set<Tensor>(wanted);
  for (const node of tape) {
    if (node.op.name === "stopGradient") continue;
    if (node.inputs.some((t) => reached.has(t))) {
      for (const t of node.outputs) if (isFloat(t.dtype)) reached.add(t);
    }
  }
  return reached;
}
