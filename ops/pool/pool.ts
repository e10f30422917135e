/**
 * Pooling in any number of dimensions, from windows that slide: a fold over the places of a window, read through a view.
 * Of a maximum that several places attain, the gradient goes to the first, as in PyTorch.
 */
import { calledAs } from "../../tensor/called.ts";
import { apply, type Tensor } from "../../tensor/tensor.ts";
import { expectFloats, expectList, expectOptions, expectTensors } from "../../tensor/arguments.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { leastOf, wholeNumber } from "../../tensor/element.ts";
import { sameShape, ShapeError, show, sizeOf } from "../../tensor/shape.ts";
import { windowsAlong } from "../../tensor/view.ts";
import { defineOp } from "../../tensor/op.ts";
import { expand, fold, type ReduceAttrs, reducedShape, reduceEach, sum } from "../broadcast.ts";
import { div } from "../elementwise/arithmetic.ts";
import { cast } from "../elementwise/cast.ts";
import { equal, notEqual, where } from "../elementwise/compare.ts";
import { bitwiseOr, logicalAnd } from "../elementwise/logic.ts";
import { putAlongAxis } from "../index/scatter.ts";
import { literal, tensor } from "../leaf.ts";
import { reshape, slice, toFirst, toLast } from "../movement.ts";
import { norm } from "../order/fold.ts";
import { mean, min } from "../reduce.ts";
import { padWith } from "../shape/pad.ts";
import { perAxis, sides, windows } from "../shape/windows.ts";

/**
 * The first place of each fold that attains the maximum, NaN before all: true there.
 *
 * @param inside what is not 0 where places are none of padding, which is the least number that there is, and may be attained by others
 */
function firstHit(x: Tensor, y: Tensor, axes: readonly number[], inside?: Tensor): Tensor {
  const attained = equal(x, expand(y, x.shape));
  const any = isFloat(x.dtype) ? bitwiseOr(attained, notEqual(x, x)) : attained;
  const hit = inside ? logicalAnd(any, inside) : any;
  const extents = x.shape.map((d, i) => axes.includes(i) ? d : 1);
  const count = extents.reduce((n, d) => n * d, 1);
  const places = expand(
    reshape(tensor(Uint32Array.from({ length: count }, (_, i) => i)), extents),
    x.shape,
  );
  const first = min(where(hit, places, count), axes, { keep: true });
  return equal(places, expand(first, x.shape));
}

const firstMaxOp = defineOp<ReduceAttrs>({
  name: "firstMax",
  shape: ([x], { axes }) => [{ shape: reducedShape(x.shape, axes), dtype: x.dtype }],
  vjp: ([g], { inputs: [x], outputs: [y], attrs: { axes } }) => [
    g && where(firstHit(x, y, axes), expand(g, x.shape), 0),
  ],
  batch: reduceEach,
  reference: fold(leastOf, (a, x) => Math.max(a, x)),
  lowering: { kind: "reduce", join: "max" },
});

/** Options of the pooling functions. */
export interface PoolOptions {
  /** Extents of the window, for all dimensions or each. */
  readonly window: number | readonly number[];
  /** From one window to the next. Default: the window's extents. */
  readonly stride?: number | readonly number[];
  /**
   * What is added around the image, and takes no part in maxima and counts: one number, one for each dimension, or
   * `[before, after]` for each. Default 0.
   */
  readonly padding?: number | readonly (number | readonly [number, number])[];
  /** From one element of a window to the next. Default 1. */
  readonly dilation?: number | readonly number[];
  /** Whether a last window may reach beyond the padded image, if it begins in it or in the padding before it. Default false. */
  readonly ceilMode?: boolean;
  /** Whether channels come second, `[B, C, …]`, and not last. Default false. */
  readonly channelsFirst?: boolean;
}

const OPTIONS = {
  window: "a number or a list",
  stride: "a number or a list",
  padding: "a number or a list",
  dilation: "a number or a list",
  ceilMode: "true or false",
  channelsFirst: "true or false",
} as const;

/** The image with its windows: `[places…, B, windows…, C]`, and which axes are places. */
interface Pooled {
  readonly places: number[];
  /** The windows of the image padded with a number. */
  of(x: Tensor, fill: number): Tensor;
  /** For each window, whether each place is one that counts: `[places…, 1, windows…, 1]`. */
  count(padding: boolean): Tensor;
  /** Takes away the places and puts channels where they were. */
  readonly back: (y: Tensor) => Tensor;
}

function pooled(op: string, x: Tensor, options: PoolOptions): Pooled {
  expectTensors(op, { x });
  expectOptions(op, 1, options, OPTIONS);
  const n = x.shape.length - 2;
  if (n < 1) throw new ShapeError(op, `${show(x.spec)} is no image of [B, …, C]`);
  const size = perAxis(op, "window", options.window, n, 1, 1);
  const stride = options.stride === undefined
    ? size
    : perAxis(op, "stride", options.stride, n, 1, 1);
  const dilation = perAxis(op, "dilation", options.dilation, n, 1, 1);
  const pads = sides(op, options.padding, n);
  const first = options.channelsFirst ? 2 : 1;
  const extents = x.shape.slice(first, first + n);
  const spans = size.map((k, i) => (k - 1) * dilation[i] + 1);
  // How many windows, and how much is missing behind the padding for the last one.
  const counts = extents.map((d, i) => {
    const [before, after] = pads[i];
    const room = (d + before + after - spans[i]) / stride[i];
    if (room < 0) {
      throw new ShapeError(op, `a window of [${size}] does not fit into ${show(x.spec)}`);
    }
    const more = options.ceilMode ? Math.ceil(room) : Math.floor(room);
    return more * stride[i] >= d + before ? more : more + 1;
  });
  const widths = extents.map((d, i): [number, number] => {
    const [before, after] = pads[i];
    return [before, Math.max(after, (counts[i] - 1) * stride[i] + spans[i] - d - before)];
  });
  const w = { axes: extents.map((_, i) => 1 + i), size, stride, dilation };
  const windowed = (t: Tensor, sides: readonly (readonly [number, number])[], fill: number) => {
    const padded = padWith(t, [[0, 0], ...sides, [0, 0]], fill);
    const all = windows(padded, w);
    // Windows beyond those that are wanted are left out.
    const wanted = [...size, t.shape[0], ...counts, t.shape.at(-1)!];
    const along = windowsAlong(padded.shape, w);
    return along.every((d, i) => d === wanted[n + i]) ? all : clipped(all, wanted);
  };
  const places = size.map((_, i) => i);
  return {
    places,
    of: (t, fill) => windowed(toLast(t, options.channelsFirst), widths, fill),
    count(padding) {
      const one = expand(literal(1, "f32"), [1, ...extents, 1]);
      const own = padding ? padWith(one, [[0, 0], ...pads, [0, 0]], 1) : one;
      const rest = widths.map(([b, a], i): [number, number] =>
        padding ? [0, a - pads[i][1]] : [b, a]
      );
      return windowed(own, rest, 0);
    },
    back(y) {
      return toFirst(reshape(y, y.shape.slice(n)), options.channelsFirst);
    },
  };
}

const clipped = (t: Tensor, shape: readonly number[]): Tensor =>
  shape.reduce((y, d, i) => d === y.shape[i] ? y : slice(y, i, 0, d), t);

/**
 * The largest element under a window. Of several, the gradient goes to the first in row-major order.
 *
 * @param x `[B, …, C]`, or `[B, C, …]` with `channelsFirst`, of any element type
 * @throws ShapeError when a window does not fit into the padded image
 */
export function maxPool(x: Tensor, options: PoolOptions): Tensor {
  const p = pooled("maxPool", x, options);
  return p.back(apply(firstMaxOp, [p.of(x, leastOf(x.dtype))], { axes: p.places })[0]);
}

/**
 * {@linkcode maxPool}, and where in the image each element stood: its flat number among those of one channel.
 *
 * @returns `[values, places]`; places are u32
 */
export function maxPoolWithPlaces(
  x: Tensor,
  options: PoolOptions,
): [values: Tensor, places: Tensor] {
  const p = pooled("maxPoolWithPlaces", x, options);
  const all = p.of(x, leastOf(x.dtype));
  const [y] = apply(firstMaxOp, [all], { axes: p.places });
  const n = x.shape.length - 2;
  const extents = options.channelsFirst ? x.shape.slice(2) : x.shape.slice(1, -1);
  const numbers = reshape(
    tensor(Uint32Array.from({ length: extents.reduce((a, b) => a * b, 1) }, (_, i) => i)),
    options.channelsFirst ? [1, 1, ...extents] : [1, ...extents, 1],
  );
  const own = p.of(numbers, 0);
  const hit = firstHit(all, y, p.places, p.count(false));
  const places = sum(where(hit, expand(own, all.shape), 0), [...Array(n).keys()], { keep: true });
  return [p.back(y), p.back(places)];
}

/**
 * The mean of the elements under a window.
 *
 * @param x `[B, …, C]`, or `[B, C, …]` with `channelsFirst`, f32 or f16
 * @param options `countPadding`: whether padding counts as zeros (PyTorch's default), and not as nothing. Default false
 * @throws ShapeError when a window does not fit into the padded image
 */
export function avgPool(
  x: Tensor,
  options: PoolOptions & { readonly countPadding?: boolean },
): Tensor {
  expectTensors("avgPool", { x });
  expectOptions("avgPool", 1, options, { ...OPTIONS, countPadding: "true or false" });
  const { countPadding = false, ...rest } = options;
  const p = pooled("avgPool", x, rest);
  if (!isFloat(x.dtype)) throw new ShapeError("avgPool", `takes f32, f16, not ${show(x.spec)}`);
  const total = sum(p.of(x, 0), p.places, { keep: true });
  const count = sum(p.count(countPadding), p.places, { keep: true });
  return p.back(cast(div(total, count), x.dtype));
}

/**
 * (Σ |x|ᵖ)^(1/p) over the elements under a window.
 *
 * @param x `[B, …, C]`, or `[B, C, …]` with `channelsFirst`, f32 or f16
 * @param options `ord`: p, default 2; ∞ is the largest size
 * @throws ShapeError when a window does not fit into the padded image
 */
export function lpPool(
  x: Tensor,
  options: PoolOptions & { readonly ord?: number },
): Tensor {
  expectFloats("lpPool", { x });
  expectOptions("lpPool", 1, options, { ...OPTIONS, ord: "number" });
  const { ord = 2, ...rest } = options;
  if (!(ord > 0)) throw new RangeError(`lpPool: ord ${ord} is not above 0`);
  const p = pooled("lpPool", x, rest);
  const y = calledAs("lpPool", () => norm(p.of(x, 0), p.places, { ord, keep: true }));
  return p.back(cast(y, x.dtype));
}

/**
 * Elements put back where {@linkcode maxPoolWithPlaces} found them, and zeros elsewhere.
 *
 * @param x `[B, …, C]`, or `[B, C, …]` with `channelsFirst`: what was pooled, of any element type
 * @param places u32 of x's shape; of a place that is named twice the last stays
 * @param size extents of the image
 * @throws ShapeError when places are of another shape
 */
export function maxUnpool(
  x: Tensor,
  places: Tensor,
  size: readonly number[],
  options: { readonly channelsFirst?: boolean } = {},
): Tensor {
  const op = "maxUnpool";
  expectTensors(op, { x, places });
  expectList(op, 2, "size", size, "[32, 32]");
  expectOptions(op, 3, options, { channelsFirst: "true or false" });
  size.forEach((d) => wholeNumber(op, "an extent", d, 1));
  if (
    !sameShape(x.shape, places.shape) || size.length !== x.shape.length - 2 || isFloat(places.dtype)
  ) {
    throw new ShapeError(op, `places ${show(places.spec)} of [${size}] for ${show(x.spec)}`);
  }
  const first = options.channelsFirst;
  const count = sizeOf(size);
  const [b, c] = [x.shape[0], x.shape.at(first ? 1 : -1)!];
  const shape = (n: number) => first ? [b, c, n] : [b, n, c];
  const n = sizeOf(x.shape) / Math.max(1, b * c);
  const [values, ids] = [x, places].map((t) => reshape(t, shape(n)));
  const image = expand(literal(0, x.dtype), shape(count));
  const y = putAlongAxis(image, ids, values, first ? 2 : 1);
  return reshape(y, first ? [b, c, ...size] : [b, ...size, c]);
}

/** All dimensions of the image as one window. */
function spatial(op: string, x: Tensor, options: { readonly channelsFirst?: boolean }): number[] {
  expectTensors(op, { x });
  expectOptions(op, 1, options, { channelsFirst: "true or false" });
  if (x.shape.length < 3) throw new ShapeError(op, `${show(x.spec)} is no image of [B, …, C]`);
  return [...x.shape.keys()].slice(
    options.channelsFirst ? 2 : 1,
    options.channelsFirst ? undefined : -1,
  );
}

/**
 * The mean over the whole image, its dimensions kept at 1.
 *
 * @param x `[B, …, C]`, or `[B, C, …]` with `channelsFirst`
 * @returns `[B, 1, …, C]`
 * @throws ShapeError when there is no image
 */
export function globalAvgPool(
  x: Tensor,
  options: { readonly channelsFirst?: boolean } = {},
): Tensor {
  expectFloats("globalAvgPool", { x });
  return cast(mean(x, spatial("globalAvgPool", x, options), { keep: true }), x.dtype);
}

/**
 * The maximum over the whole image, its dimensions kept at 1; the gradient goes to the first place that attains it.
 *
 * @param x `[B, …, C]`, or `[B, C, …]` with `channelsFirst`
 * @returns `[B, 1, …, C]`
 * @throws ShapeError when there is no image
 */
export function globalMaxPool(
  x: Tensor,
  options: { readonly channelsFirst?: boolean } = {},
): Tensor {
  return apply(firstMaxOp, [x], { axes: spatial("globalMaxPool", x, options) })[0];
}
