/** The geometry of a two-dimensional convolution, and the shapes that follow from it. */
import type { DType } from "../../tensor/dtype.ts";
import type { Shape } from "../../tensor/shape.ts";

/** Attributes of all three convolution ops: the whole geometry, so that each op knows the shapes of the others. */
export interface ConvAttrs {
  readonly stride: readonly [y: number, x: number];
  readonly dilation: readonly [y: number, x: number];
  readonly pad: readonly [top: number, bottom: number, left: number, right: number];
  /** Shape of the image, `[B, H, W, Cin]`. */
  readonly image: Shape;
  /** How often each of its pixels stands in a row and in a column of what windows move over; with a stride once. */
  readonly upsample: number;
  /** Shape of the weight, `[KH, KW, Cin, Cout]`. */
  readonly weight: Shape;
  /** How many convolutions of this form there are. More than one lie along an axis in front of all three tensors. */
  readonly batch: number;
  /** Element type of the op's result. */
  readonly dtype: DType;
}

/** Shape of one convolution's output, `[B, OH, OW, Cout]`. */
export function outputShape(
  { stride, dilation, pad, image, upsample, weight }: ConvAttrs,
): [number, number, number, number] {
  const extent = (i: number) => {
    const extent = image[1 + i] * upsample + pad[2 * i] + pad[2 * i + 1];
    const room = extent - (weight[i] - 1) * dilation[i] - 1;
    return Math.floor(room / stride[i]) + 1;
  };
  return [image[0], extent(0), extent(1), weight[3]];
}

/** The shape of a tensor of one convolution, for all that there are. */
export const forAll = ({ batch }: ConvAttrs, shape: Shape): Shape =>
  batch > 1 ? [batch, ...shape] : shape;
