/** Patches of images as columns, and what columns add up to: PyTorch's `unfold` and `fold`, in any number of dimensions. */
import type { Tensor } from "../../tensor/tensor.ts";
import { expectFloats, expectList, expectOptions, expectTensors } from "../../tensor/arguments.ts";
import { ShapeError, show, sizeOf } from "../../tensor/shape.ts";
import { type Windows, windowsAlong } from "../../tensor/view.ts";
import { permute, reshape, slice, toFirst, toLast } from "../movement.ts";
import { padWith } from "./pad.ts";
import { fold as addUp, perAxis, sides, windows } from "./windows.ts";

/** Options of {@linkcode unfold} and {@linkcode fold}. */
export interface PatchOptions {
  /** From one patch to the next, for all dimensions or each. Default 1. */
  readonly stride?: number | readonly number[];
  /** Zeros around the image: one number, one or `[before, after]` for each dimension. Default 0. */
  readonly padding?: number | readonly (number | readonly [number, number])[];
  /** From one element of a patch to the next. Default 1. */
  readonly dilation?: number | readonly number[];
  /** Whether channels come second, as in PyTorch. Default false. */
  readonly channelsFirst?: boolean;
}

/** How patches lie in an image of those extents, padded. */
function geometry(
  op: string,
  extents: readonly number[],
  window: readonly number[],
  options: PatchOptions,
) {
  const n = extents.length;
  expectList(op, op === "fold" ? 2 : 1, "window", window, "[3, 3]");
  expectOptions(op, op === "fold" ? 3 : 2, options, {
    stride: "a number or a list",
    padding: "a number or a list",
    dilation: "a number or a list",
    channelsFirst: "true or false",
  });
  const pads = sides(op, options.padding, n);
  const w: Windows = {
    axes: window.map((_, i) => 1 + i),
    size: perAxis(op, "window", window, n, 1, 1),
    stride: perAxis(op, "stride", options.stride, n, 1, 1),
    dilation: perAxis(op, "dilation", options.dilation, n, 1, 1),
  };
  const padded = extents.map((d, i) => d + pads[i][0] + pads[i][1]);
  const counts = windowsAlong([1, ...padded, 1], w).slice(1, -1);
  if (counts.some((d) => d < 1)) {
    throw new ShapeError(op, `a window of [${window}] does not fit into [${padded}]`);
  }
  return { n, pads, w, padded, counts, places: sizeOf(window), patches: sizeOf(counts) };
}

/**
 * Every patch of an image as one row of numbers.
 *
 * @param x `[B, …, C]`, or `[B, C, …]` with `channelsFirst`, of any element type
 * @param window extents of a patch
 * @returns `[B, patches, places · C]`; with `channelsFirst` `[B, C · places, patches]`, as PyTorch has it
 * @throws ShapeError when a patch does not fit into the padded image
 */
export function unfold(
  x: Tensor,
  window: readonly number[],
  options: PatchOptions = {},
): Tensor {
  expectTensors("unfold", { x });
  const first = options?.channelsFirst;
  const extents = first ? x.shape.slice(2) : x.shape.slice(1, -1);
  const { n, pads, w, places, patches } = geometry("unfold", extents, window, options);
  const image = toLast(x, first);
  const all = windows(padWith(image, [[0, 0], ...pads, [0, 0]], 0), w);
  const [b, c] = [n, 2 * n + 1];
  const of = extents.map((_, i) => i), at = extents.map((_, i) => n + 1 + i);
  const [batch, channels] = [image.shape[0], image.shape.at(-1)!];
  return first
    ? reshape(permute(all, [b, c, ...of, ...at]), [batch, channels * places, patches])
    : reshape(permute(all, [b, ...at, ...of, c]), [batch, patches, places * channels]);
}

/**
 * The image that patches add up to: what {@linkcode unfold} with the same window and options hands back to its image.
 *
 * @param x `[B, patches, places · C]`; with `channelsFirst` `[B, C · places, patches]`; f32 or f16
 * @param size extents of the image
 * @param window extents of a patch
 * @returns `[B, …size, C]`, or `[B, C, …size]`
 * @throws ShapeError when the patches are others than those of such an image
 */
export function fold(
  x: Tensor,
  size: readonly number[],
  window: readonly number[],
  options: PatchOptions = {},
): Tensor {
  expectFloats("fold", { x });
  expectList("fold", 1, "size", size, "[32, 32]");
  const { n, pads, w, padded, counts, places, patches } = geometry("fold", size, window, options);
  const first = options.channelsFirst;
  const [batch, a, b] = x.shape;
  const [many, wide] = first ? [b, a] : [a, b];
  const c = wide / places;
  if (x.shape.length !== 3 || many !== patches || !Number.isInteger(c)) {
    throw new ShapeError("fold", `${show(x.spec)} for ${patches} patches of ${places} places`);
  }
  const count = counts.map((_, i) => i);
  const all = first
    ? permute(reshape(x, [batch, c, ...w.size, ...counts]), [
      ...count.map((i) => 2 + i),
      0,
      ...count.map((i) => 2 + n + i),
      1,
    ])
    : permute(reshape(x, [batch, ...counts, ...w.size, c]), [
      ...count.map((i) => 1 + n + i),
      0,
      ...count.map((i) => 1 + i),
      1 + 2 * n,
    ]);
  const whole = addUp(all, w, [batch, ...padded, c]);
  const y = size.reduce((t, d, i) => slice(t, 1 + i, pads[i][0], pads[i][0] + d), whole);
  return toFirst(y, first);
}
