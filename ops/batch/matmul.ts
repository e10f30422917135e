/** The batch rule of products: examples become batches of the product, or rows or columns where one operand is shared. */
import { apply, type Batch, type Tensor } from "../../tensor/tensor.ts";
import { permute, reshape } from "../movement.ts";
import { foldInto, unfold } from "./fold.ts";

/** Of attributes, what the rule looks at. */
interface Turned {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

/** See {@linkcode Batch}. */
export function batchedMatmul<A extends Turned>(
  { node, inputs: [a, b], batched: [ofA, ofB], size }: Batch<A>,
): Tensor[] {
  const { attrs, inputs: [one, other], outputs: [y] } = node;
  const product = (a: Tensor, b: Tensor) => apply(node.op, [a, b], attrs)[0];
  const lead = one.shape.length - 2;
  const rows = lead + (attrs.transposeA ? 1 : 0);
  // All examples share b: a's columns stay where they are, its rows become rows of one product.
  if (!ofB && attrs.transposeA && other.shape.length === 2) return [product(a, b)];
  if (!ofB) return [unfold(product(foldInto(a, rows), b), lead, size)];
  if (!ofA) {
    const columns = other.shape.length - (attrs.transposeB ? 2 : 1);
    return [unfold(product(a, foldInto(b, columns)), lead + 1, size)];
  }
  if (other.shape.length > 2 || !lead) return [product(a, b)];
  // Each has a b of its own, which the example's own batches share: these become rows.
  const [m, k] = attrs.transposeA ? [a.shape.at(-1)!, a.shape.at(-2)!] : a.shape.slice(-2);
  const all = a.shape.slice(1, -2).reduce((n, d) => n * d, m);
  const tall = attrs.transposeA
    ? reshape(
      permute(a, [0, lead + 1, ...Array.from({ length: lead }, (_, i) => i + 1), lead + 2]),
      [
        size,
        k,
        all,
      ],
    )
    : reshape(a, [size, all, k]);
  return [reshape(product(tall, b), [size, ...y.shape])];
}
