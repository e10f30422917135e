/**
 * Trading time for memory: `checkpoint(fn)` keeps only what goes into `fn`; its inside is computed again when the
 * backward pass gets there. On the tape it is one node that repeats the results of `fn` and remembers how they were
 * made; its derivative clones that region behind a barrier, so that the copy is not merged with the original.
 */
import { apply, expectTensor, mark, type Tensor } from "../tensor/tensor.ts";
import { alike } from "../tensor/batch.ts";
import { expectFunction } from "../tensor/arguments.ts";
import { flatten, refill, type Tree } from "../tensor/tree.ts";
import { defineOp } from "../tensor/op.ts";
import { Region } from "../tensor/region.ts";
import { vjp } from "./grad.ts";

let barriers = 0;

/** An identity that no other computation equals: keeps recomputation apart from what it repeats. */
const barrierOp = defineOp<{ readonly id: number }>({
  name: "barrier",
  shape: ([x]) => [x],
  vjp: ([g]) => [g],
  batch: alike,
  jvp: (tangents) => tangents,
  reference: ([x]) => [x],
  lowering: { kind: "alias" },
});

const checkpointOp = defineOp<{ readonly region: Region }>({
  name: "checkpoint",
  shape: (inputs, { region }) => inputs.slice(0, region.results.length),
  vjp(g, node, wanted) {
    const { region } = node.attrs;
    const n = region.results.length;
    const id = barriers++;
    const inputs = node.inputs.slice(n).map((t) => apply(barrierOp, [t], { id })[0]);
    const again = region.clone(inputs);
    const seeds = again.flatMap((y, i) => g[i] ? [[y, g[i]] as const] : []);
    const asked = inputs.filter((_, i) => wanted[n + i]);
    const into = new Map(vjp(seeds, asked).map((c, i) => [asked[i], c]));
    // The region's own results get nothing: the gradient goes straight to what the region reads. Only where nothing of
    // that is wanted, what is wanted lies inside of the region, and has to be found by way of its results.
    const inside = asked.length === 0;
    return [
      ...region.results.map((_, i) => inside ? g[i] : undefined),
      ...inputs.map((t) => into.get(t)),
    ];
  },
  batch(b) {
    // The region once more, for all examples.
    const { region } = b.node.attrs;
    const since = mark();
    return again(b.through((xs) => region.clone(xs.slice(region.results.length))), since);
  },
  jvp: (tangents, { attrs: { region } }) => tangents.slice(0, region.results.length),
  reference: (inputs, _specs, { region }) => inputs.slice(0, region.results.length),
  lowering: { kind: "alias" },
});

/**
 * `fn`, recomputed in the backward pass instead of keeping its activations. Tensors that `fn` closes over count as
 * inputs too, so a block of a model can be wrapped as it stands.
 */
export function checkpoint<A extends unknown[], R extends Tree<Tensor>>(
  fn: (...args: A) => R,
): (...args: A) => R {
  expectFunction("checkpoint", 0, "fn", fn);
  return (...args) => {
    const since = mark();
    const out = fn(...args);
    const made = flatten<Tensor>(out).map(([path, t]) => {
      expectTensor("checkpoint", path ? `the result "${path}"` : "the result", t);
      return t;
    });
    return refill(out, again(made, since)) as R;
  };
}

/** The results, to be computed again in the backward pass from what lies before `since`. */
function again(results: readonly Tensor[], since: number): Tensor[] {
  const region = Region.since(results, since);
  return apply(checkpointOp, [...region.results, ...region.boundary], { region });
}
