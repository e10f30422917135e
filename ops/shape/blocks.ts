/** Blocks of pixels as channels and back, and images cut or padded about their middle. */
import type { Tensor } from "../../tensor/tensor.ts";
import {
  expectChoice,
  expectList,
  expectNumber,
  expectOptions,
  expectTensors,
} from "../../tensor/arguments.ts";
import { wholeNumber } from "../../tensor/element.ts";
import { ShapeError, show } from "../../tensor/shape.ts";
import { permute, reshape, slice, toFirst, toLast } from "../movement.ts";
import { padWith } from "./pad.ts";

/** Options of {@linkcode depthToSpace} and {@linkcode spaceToDepth}. */
export interface BlockOptions {
  /**
   * What changes slowest among the channels of a block: its places ("places", TensorFlow's order, the default) or the
   * channels ("channels", PyTorch's `pixel_shuffle`).
   */
  readonly order?: "places" | "channels";
  /** Whether channels come second, `[B, C, H, W]`. Default false. */
  readonly channelsFirst?: boolean;
}

/** Looks at the arguments, and brings an image of either layout to `[B, H, W, C]` and back. */
function prepared(op: string, x: Tensor, block: number, options: BlockOptions) {
  expectTensors(op, { x });
  expectNumber(op, 1, "block", block);
  expectOptions(op, 2, options, { order: "any", channelsFirst: "true or false" });
  const { order = "places", channelsFirst } = options;
  expectChoice(op, "options.order", order, ["places", "channels"]);
  if (x.shape.length !== 4) throw new ShapeError(op, `${show(x.spec)} is no image of [B, H, W, C]`);
  return {
    s: wholeNumber(op, "the block", block, 1),
    byPlace: order === "places",
    image: toLast(x, channelsFirst),
    back: (y: Tensor) => toFirst(y, channelsFirst),
  };
}

/**
 * Channels spread over blocks of pixels: an image `block` times as high and as wide.
 *
 * @param x `[B, H, W, C]` of any element type
 * @returns `[B, H · block, W · block, C / block²]`
 * @throws ShapeError when C is no multiple of block²
 */
export function depthToSpace(x: Tensor, block: number, options: BlockOptions = {}): Tensor {
  const { s, byPlace, image, back } = prepared("depthToSpace", x, block, options);
  const [b, h, w, c] = image.shape;
  const rest = c / (s * s);
  if (!Number.isInteger(rest)) {
    throw new ShapeError("depthToSpace", `${c} channels of ${show(x.spec)} in blocks of ${s}²`);
  }
  const cells = byPlace
    ? permute(reshape(image, [b, h, w, s, s, rest]), [0, 1, 3, 2, 4, 5])
    : permute(reshape(image, [b, h, w, rest, s, s]), [0, 1, 4, 2, 5, 3]);
  return back(reshape(cells, [b, h * s, w * s, rest]));
}

/**
 * Blocks of pixels as channels: what {@linkcode depthToSpace} of the same options undoes.
 *
 * @param x `[B, H, W, C]` of any element type
 * @returns `[B, H / block, W / block, C · block²]`
 * @throws ShapeError when H or W is no multiple of the block
 */
export function spaceToDepth(x: Tensor, block: number, options: BlockOptions = {}): Tensor {
  const { s, byPlace, image, back } = prepared("spaceToDepth", x, block, options);
  const [b, h, w, c] = image.shape;
  if (h % s || w % s) {
    throw new ShapeError("spaceToDepth", `${show(x.spec)} does not fall into blocks of ${s}²`);
  }
  const cells = reshape(image, [b, h / s, s, w / s, s, c]);
  const order = byPlace ? [0, 1, 3, 2, 4, 5] : [0, 1, 3, 5, 2, 4];
  return back(reshape(permute(cells, order), [b, h / s, w / s, s * s * c]));
}

/**
 * The middle of a tensor, in other extents: longer axes are cut, shorter ones padded with zeros. An odd element is cut
 * or put on behind.
 *
 * @param x `[…]` of any element type
 * @param shape extents of the result, one for each axis
 */
export function centerCrop(x: Tensor, shape: readonly number[]): Tensor {
  expectTensors("centerCrop", { x });
  expectList("centerCrop", 1, "shape", shape, "[1, 224, 224, 3]");
  if (shape.length !== x.shape.length) {
    throw new ShapeError("centerCrop", `[${shape}] for ${show(x.spec)}`);
  }
  shape.forEach((d) => wholeNumber("centerCrop", "an extent", d));
  const cut = shape.reduce((y, d, i) => {
    const more = x.shape[i] - d;
    return more > 0 ? slice(y, i, more >> 1, (more >> 1) + d) : y;
  }, x);
  return padWith(
    cut,
    shape.map((d, i) => {
      const less = Math.max(0, d - x.shape[i]);
      return [less >> 1, less - (less >> 1)] as const;
    }),
    0,
  );
}
