/** Images warped by a grid of places, and the grid of an affine map. */
import type { Tensor } from "../../tensor/tensor.ts";
import {
  expectChoice,
  expectFloats,
  expectList,
  expectOptions,
  expectTensors,
} from "../../tensor/arguments.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { wholeNumber } from "../../tensor/element.ts";
import { ShapeError, show, sizeOf } from "../../tensor/shape.ts";
import { cast } from "../elementwise/cast.ts";
import { add, mul } from "../elementwise/arithmetic.ts";
import { tensor } from "../leaf.ts";
import { matmul } from "../matmul.ts";
import { reshape, slice, toFirst, toLast } from "../movement.ts";
import { sampled, type SampleMethod, type SampleOutside } from "./places.ts";

/** Options of {@linkcode gridSample}. */
export interface GridSampleOptions {
  /** Default "linear". Cubic kernels have a = −0.75. */
  readonly method?: SampleMethod;
  /** Default "zeros". */
  readonly outside?: SampleOutside;
  /** Whether −1 and 1 are the middles of the first and last pixel, and not their outer ends. Default false. */
  readonly alignCorners?: boolean;
  /** Whether channels come second, `[B, C, …]`. Default false. */
  readonly channelsFirst?: boolean;
}

/**
 * An image read at the places of a grid, between pixels too: PyTorch's `grid_sample`, in any number of dimensions.
 *
 * @param x `[B, …, C]`, or `[B, C, …]` with `channelsFirst`; f32 or f16, of n dimensions
 * @param grid `[B, …, n]`: places, the innermost dimension first (x, y, z), from −1 to 1 across the image
 * @returns the grid's extents with x's channels, in x's element type
 * @throws ShapeError when the grid has other batches or dimensions
 */
export function gridSample(x: Tensor, grid: Tensor, options: GridSampleOptions = {}): Tensor {
  const op = "gridSample";
  expectTensors(op, { x, grid });
  expectOptions(op, 2, options, {
    method: "any",
    outside: "any",
    alignCorners: "true or false",
    channelsFirst: "true or false",
  });
  const { method = "linear", outside = "zeros", alignCorners = false, channelsFirst } = options;
  expectChoice(op, "options.method", method, ["nearest", "linear", "cubic"]);
  expectChoice(op, "options.outside", outside, ["zeros", "edge", "reflect"]);
  const n = x.shape.length - 2;
  if (
    n < 1 || grid.shape.length < 2 || grid.shape.at(-1) !== n || grid.shape[0] !== x.shape[0] ||
    !isFloat(x.dtype) || !isFloat(grid.dtype)
  ) {
    throw new ShapeError(
      op,
      `grid ${show(grid.spec)} for ${
        show(x.spec)
      }; expected floats [B,…,n] for an image [B,…,C] of n dimensions`,
    );
  }
  const image = toLast(x, channelsFirst);
  const out = grid.shape.slice(1, -1);
  const [b, c] = [image.shape[0], image.shape.at(-1)!];
  const extents = image.shape.slice(1, -1);
  if (extents.includes(0)) throw new ShapeError(op, `${show(x.spec)} has no pixels`);
  const list = cast(reshape(grid, [b, sizeOf(out), n]), "f32");
  const places = extents.map((d, i) => {
    const g = reshape(slice(list, 2, n - 1 - i, n - i), list.shape.slice(0, 2));
    return alignCorners ? mul(add(g, 1), (d - 1) / 2) : add(mul(g, d / 2), (d - 1) / 2);
  });
  const how = { method, outside, corners: alignCorners };
  const y = reshape(sampled(image, places, extents.map(() => how)), [b, ...out, c]);
  return cast(toFirst(y, channelsFirst), x.dtype);
}

/**
 * The grid of an affine map for {@linkcode gridSample}: where each pixel of a picture of extents `size` lies in another one.
 *
 * @param theta `[B, n, n + 1]`: of (x, y, z, 1), the innermost dimension first
 * @param size extents of the n dimensions, outermost first
 * @returns `[B, …size, n]`
 * @throws ShapeError when theta does not fit the number of extents
 */
export function affineGrid(
  theta: Tensor,
  size: readonly number[],
  options: { readonly alignCorners?: boolean } = {},
): Tensor {
  const op = "affineGrid";
  expectFloats(op, { theta });
  expectList(op, 1, "size", size, "[32, 32]");
  expectOptions(op, 2, options, { alignCorners: "true or false" });
  const n = size.length;
  size.forEach((d) => wholeNumber(op, "an extent", d, 1));
  if (theta.shape.length !== 3 || theta.shape[1] !== n || theta.shape[2] !== n + 1) {
    throw new ShapeError(op, `theta ${show(theta.spec)} for [${size}]; expected [B,${n},${n + 1}]`);
  }
  const at = (i: number, d: number) =>
    options.alignCorners ? (d > 1 ? 2 * i / (d - 1) - 1 : 0) : (2 * i + 1) / d - 1;
  const count = sizeOf(size);
  const points = new Float64Array(count * (n + 1)).fill(1);
  for (let p = 0; p < count; p++) {
    for (let i = n - 1, rest = p; i >= 0; rest = Math.floor(rest / size[i--])) {
      points[p * (n + 1) + n - 1 - i] = at(rest % size[i], size[i]);
    }
  }
  const grid = matmul(tensor(points, [1, count, n + 1]), theta, {
    transposeB: true,
    dtype: theta.dtype === "f16" ? "f16" : "f32",
  });
  return reshape(grid, [theta.shape[0], ...size, n]);
}
