/**
 * Resizing as JAX has it: along each axis a product with a small matrix of weights, which is computed here in float64; the
 * nearest pixel is a look-up. Derivatives are those of products and look-ups.
 */
import type { Tensor } from "../../tensor/tensor.ts";
import {
  expectChoice,
  expectFloats,
  expectOptions,
  expectTensors,
} from "../../tensor/arguments.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { expectShape } from "../../tensor/host.ts";
import { type Shape, ShapeError, show, sizeOf } from "../../tensor/shape.ts";
import { cast } from "../elementwise/cast.ts";
import { take } from "../index/take.ts";
import { tensor } from "../leaf.ts";
import { matmul } from "../matmul.ts";
import { reshape, slice } from "../movement.ts";
import { concat } from "../concat.ts";
import { max } from "../reduce.ts";

/** How pixels are interpolated. */
export type ResizeMethod = "nearest" | "linear" | "cubic" | "lanczos3" | "lanczos5";

/** Where the middle of a pixel of the result lies in the image. */
export type ResizeCoordinates =
  | "halfPixel"
  | "halfPixelSymmetric"
  | "alignCorners"
  | "asymmetric"
  | "pytorchHalfPixel";

/** Options of {@linkcode resizeImage}. */
export interface ResizeOptions {
  /** Default "linear". */
  readonly method?: ResizeMethod;
  /** Whether a smaller result is of a smoothed image: kernels as wide as the step. Default true, as in JAX. */
  readonly antialias?: boolean;
  /** Default "halfPixel": both are as wide, and pixels have their middle at ½. */
  readonly coordinates?: ResizeCoordinates;
  /** Pixels of the result for one of the image, for each axis, where that is not the ratio of the extents. */
  readonly scales?: readonly number[];
  /** The cubic kernel's parameter: −0.5 by default (JAX), −0.75 in PyTorch and ONNX. */
  readonly cubic?: number;
  /** What a kernel meets beyond the edge: nothing, its weights then adding up to 1 without ("drop", as JAX), or the "edge". */
  readonly outside?: "drop" | "edge";
  /** Of the nearest pixel: how a place between two is rounded. Default "half up". */
  readonly rounding?: "half up" | "half down" | "floor" | "ceil";
}

const sinc = (x: number): number => x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
const lanczos = (r: number) => (x: number): number => Math.abs(x) < r ? sinc(x) * sinc(x / r) : 0;

/** Kernels of interpolation and how far they reach. */
function kernelOf(method: ResizeMethod, a: number): [radius: number, (x: number) => number] {
  if (method === "linear") return [1, (x) => Math.max(0, 1 - Math.abs(x))];
  if (method === "lanczos3") return [3, lanczos(3)];
  if (method === "lanczos5") return [5, lanczos(5)];
  return [2, (given) => {
    const x = Math.abs(given);
    if (x >= 2) return 0;
    return x <= 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  }];
}

/** Where the middle of pixel `i` lies, in pixels of the image whose middles are whole numbers. */
function placeOf(
  i: number,
  from: number,
  to: number,
  scale: number,
  how: ResizeCoordinates,
): number {
  // With scales of their own, corners are those of a result that is not cut to whole pixels.
  if (how === "alignCorners") return to === 1 ? 0 : i * (from - 1) / (from * scale - 1);
  if (how === "asymmetric") return i / scale;
  if (how === "pytorchHalfPixel" && to === 1) return -0.5;
  // Where the scale is not that of whole pixels, what is left over lies on both sides.
  const rest = how === "halfPixelSymmetric" ? (from - to / scale) / 2 : 0;
  return rest + (i + 0.5) / scale - 0.5;
}

const ROUND = {
  "half up": (x: number) => Math.floor(x + 0.5),
  "half down": (x: number) => Math.ceil(x - 0.5),
  floor: Math.floor,
  ceil: Math.ceil,
} as const;

/** Weights `[from, to]` of one axis. */
function weights(
  from: number,
  to: number,
  scale: number,
  options: ResizeOptions,
): Float64Array {
  const {
    method = "linear",
    antialias = true,
    coordinates = "halfPixel",
    cubic = -0.5,
    outside = "drop",
  } = options;
  const [radius, kernel] = kernelOf(method, cubic);
  const wide = antialias && scale < 1 ? 1 / scale : 1;
  const w = new Float64Array(from * to);
  for (let i = 0; i < to; i++) {
    const at = placeOf(i, from, to, scale, coordinates);
    const row = new Float64Array(from);
    let total = 0;
    for (let j = Math.floor(at - radius * wide); j <= Math.ceil(at + radius * wide); j++) {
      if (outside === "drop" && (j < 0 || j >= from)) continue;
      const v = kernel((j - at) / wide);
      row[Math.min(Math.max(j, 0), from - 1)] += v;
      total += v;
    }
    for (let j = 0; j < from; j++) w[j * to + i] = total ? row[j] / total : 0;
  }
  return w;
}

/** One axis made another length by a matrix `[from, to]`. */
function alongAxis(x: Tensor, axis: number, to: number, w: Float64Array): Tensor {
  const from = x.shape[axis];
  const [before, after] = [sizeOf(x.shape.slice(0, axis)), sizeOf(x.shape.slice(axis + 1))];
  const matrix = tensor(w, [from, to]);
  const y = after === 1
    ? matmul(reshape(x, [before, from]), matrix)
    : matmul(matrix, reshape(x, [before, from, after]), { transposeA: true });
  return reshape(y, x.shape.with(axis, to));
}

const CHOICES = {
  method: ["nearest", "linear", "cubic", "lanczos3", "lanczos5"],
  coordinates: [
    "halfPixel",
    "halfPixelSymmetric",
    "alignCorners",
    "asymmetric",
    "pytorchHalfPixel",
  ],
  outside: ["drop", "edge"],
  rounding: Object.keys(ROUND),
} as const;

/**
 * A tensor with other extents, interpolated along every axis whose extent changes.
 *
 * @param x `[…]` f32 or f16; of any element type for "nearest"
 * @param shape as many extents as x has
 * @throws ShapeError when the shape has another number of axes, or an extent is made of nothing
 */
export function resizeImage(x: Tensor, shape: Shape, options: ResizeOptions = {}): Tensor {
  const op = "resizeImage";
  expectTensors(op, { x });
  expectShape(op, 1, shape);
  expectOptions(op, 2, options, {
    method: "any",
    antialias: "true or false",
    coordinates: "any",
    scales: "a number or a list",
    cubic: "number",
    outside: "any",
    rounding: "any",
  });
  for (const [key, choices] of Object.entries(CHOICES)) {
    const given = options[key as keyof typeof CHOICES];
    if (given !== undefined) expectChoice(op, `options.${key}`, given, choices);
  }
  const { method = "linear", scales, coordinates = "halfPixel", rounding = "half up" } = options;
  if (shape.length !== x.shape.length || (scales && scales.length !== shape.length)) {
    throw new ShapeError(op, `[${shape}] with scales [${scales ?? []}] for ${show(x.spec)}`);
  }
  const axes = shape.flatMap((d, i) => d !== x.shape[i] || (scales && scales[i] !== 1) ? [i] : []);
  if (axes.some((a) => !x.shape[a] && shape[a])) {
    throw new ShapeError(op, `[${shape}] cannot be made of ${show(x.spec)}`);
  }
  if (method !== "nearest" && !isFloat(x.dtype)) {
    throw new ShapeError(op, `takes f32, f16, not ${show(x.spec)}; cast it to f32 first`);
  }
  return axes.reduce((y, a) => {
    const [from, to] = [x.shape[a], shape[a]];
    const scale = scales?.[a] ?? to / from;
    if (method !== "nearest") {
      return cast(alongAxis(y, a, to, weights(from, to, scale, options)), x.dtype);
    }
    const ids = Uint32Array.from({ length: to }, (_, i) => {
      const at = placeOf(i, from, to, scale, coordinates);
      return Math.min(Math.max(ROUND[rounding](at), 0), from - 1);
    });
    return take(y, tensor(ids), a);
  }, x);
}

/** Where the parts of an axis begin and end that become one place each: they may overlap by one. */
const partsOf = (from: number, to: number): [number, number][] =>
  Array.from({ length: to }, (_, i) => [Math.floor(i * from / to), Math.ceil((i + 1) * from / to)]);

/** The dimensions of an image whose extents are to be those. */
function adaptive(
  op: string,
  x: Tensor,
  size: readonly number[],
  options: { readonly channelsFirst?: boolean },
) {
  expectTensors(op, { x });
  expectShape(op, 1, size);
  expectOptions(op, 2, options, { channelsFirst: "true or false" });
  if (size.length !== x.shape.length - 2 || size.some((d) => d < 1)) {
    throw new ShapeError(op, `[${size}] is no size of the image ${show(x.spec)}`);
  }
  return size.map((to, i) => [i + (options.channelsFirst ? 2 : 1), to] as const);
}

/**
 * The means of parts of an image, as many as are asked for: PyTorch's adaptive pooling.
 *
 * @param x `[B, …, C]`, or `[B, C, …]` with `channelsFirst`
 * @param size extents of the result's image
 * @throws ShapeError when it has another number of dimensions
 */
export function adaptiveAvgPool(
  x: Tensor,
  size: readonly number[],
  options: { readonly channelsFirst?: boolean } = {},
): Tensor {
  expectFloats("adaptiveAvgPool", { x });
  return adaptive("adaptiveAvgPool", x, size, options).reduce((y, [axis, to]) => {
    const from = y.shape[axis];
    const w = new Float64Array(from * to);
    partsOf(from, to).forEach(([a, b], i) => {
      for (let j = a; j < b; j++) w[j * to + i] = 1 / (b - a);
    });
    return cast(alongAxis(y, axis, to, w), x.dtype);
  }, x);
}

/**
 * The maxima of parts of an image, as many as are asked for. See {@linkcode adaptiveAvgPool}.
 *
 * @param x `[B, …, C]`, or `[B, C, …]` with `channelsFirst`, of any element type
 * @param size extents of the result's image
 * @throws ShapeError when it has another number of dimensions
 */
export function adaptiveMaxPool(
  x: Tensor,
  size: readonly number[],
  options: { readonly channelsFirst?: boolean } = {},
): Tensor {
  return adaptive("adaptiveMaxPool", x, size, options).reduce((y, [axis, to]) =>
    concat(
      partsOf(y.shape[axis], to).map(([a, b]) => max(slice(y, axis, a, b), [axis], { keep: true })),
      axis,
    ), x);
}
