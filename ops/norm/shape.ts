/** How a normalized tensor falls into groups, shared by the ops, their kernels and their definitions. */
import { type Shape, sizeOf } from "../../tensor/shape.ts";

/** Attributes of the normalization ops; layer norm has one group. */
export interface NormAttrs {
  readonly groups: number;
  readonly eps: number;
}

/** Extents of the view `[images, pixels, groups, channels]`; statistics run over pixels and channels. */
export interface NormShape {
  readonly images: number;
  readonly pixels: number;
  readonly groups: number;
  readonly channels: number;
}

/** Group norm's view of channels-last `[B, …, C]`. */
export function groupShape(shape: Shape, groups: number): NormShape {
  const c = shape.at(-1)!;
  return {
    images: shape[0],
    pixels: sizeOf(shape.slice(1, -1)),
    groups,
    channels: c / groups,
  };
}

/** Layer norm's view of `[…, C]`: every row is an image of one pixel. */
export function layerShape(shape: Shape): NormShape {
  return { images: sizeOf(shape.slice(0, -1)), pixels: 1, groups: 1, channels: shape.at(-1)! };
}
