/**
 * The batch rules of convolution and its two gradients. Where all examples share one operand, examples are images, or channels,
 * of one larger convolution; where they differ in both, they are convolutions side by side.
 */
import { apply, type Batch, type Op, type Tensor } from "../../tensor/tensor.ts";
import { reshape } from "../movement.ts";
import { foldInto, unfold } from "../batch/fold.ts";
import type { ConvAttrs } from "../gemm/conv_shape.ts";

/** Axes of an example's image, weight or output, of which more examples make more. */
const [IMAGES, IN, OUT] = [0, 2, 3];

/** Where examples of one operand go, where they come out, and what the geometry is then. */
interface Fold {
  readonly operand: number;
  readonly into: number;
  readonly outOf: number;
  readonly more: (attrs: ConvAttrs, n: number) => Partial<ConvAttrs>;
}

const times = (shape: readonly number[], axis: number, n: number): readonly number[] =>
  shape.with(axis, n * shape[axis]);
const images = ({ image }: ConvAttrs, n: number) => ({ image: times(image, IMAGES, n) });
const inputs = ({ image, weight }: ConvAttrs, n: number) => ({
  image: times(image, 3, n),
  weight: times(weight, IN, n),
});
const outputs = ({ weight }: ConvAttrs, n: number) => ({ weight: times(weight, OUT, n) });

/** A rule, from what becomes of examples in the first operand alone, and in the second. */
function rule(first: Fold, second: Fold) {
  return (b: Batch<ConvAttrs>): Tensor[] => {
    const { node: { op, attrs, outputs: [y] }, batched, size } = b;
    const run = (inputs: readonly Tensor[], more: Partial<ConvAttrs>) =>
      apply(op as Op<ConvAttrs>, inputs, { ...attrs, ...more })[0];
    if (batched[0] && batched[1]) {
      const batch = size * attrs.batch;
      if (batch === 1) {
        return [
          reshape(run(b.inputs.map((t, i) => reshape(t, b.node.inputs[i].shape)), {}), [
            1,
            ...y.shape,
          ]),
        ];
      }
      const beside = (t: Tensor, i: number) => {
        const one = attrs.batch > 1 ? b.node.inputs[i].shape.slice(1) : b.node.inputs[i].shape;
        return reshape(t, [batch, ...one]);
      };
      return [reshape(run(b.inputs.map(beside), { batch }), [size, ...y.shape])];
    }
    const { operand, into, outOf, more } = batched[0] ? first : second;
    // Convolutions side by side have their own axis in front.
    const behind = attrs.batch > 1 ? 1 : 0;
    const all = b.inputs.map((t, i) => i === operand ? foldInto(t, into + behind) : t);
    return [unfold(run(all, more(attrs, size)), outOf + behind, size)];
  };
}

/** y of x and w. */
export const batchedConv = rule(
  { operand: 0, into: IMAGES, outOf: IMAGES, more: images },
  { operand: 1, into: OUT, outOf: 3, more: outputs },
);

/** The image's gradient of g and w. */
export const batchedInputGrad = rule(
  { operand: 0, into: IMAGES, outOf: IMAGES, more: images },
  { operand: 1, into: IN, outOf: 3, more: inputs },
);

/** The weight's gradient of x and g. */
export const batchedWeightGrad = rule(
  { operand: 0, into: 3, outOf: IN, more: inputs },
  { operand: 1, into: 3, outOf: OUT, more: outputs },
);
