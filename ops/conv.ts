/**
 * Convolutions as people call them, all made of the two-dimensional ones of `ops/convolution/passes.ts`. Groups are so many convolutions side
 * by side; one channel for each group is a sum under windows, which needs no product; a third dimension becomes channels;
 * a transposed convolution is what a convolution hands back to its image.
 */
import type { Tensor } from "../tensor/tensor.ts";
import { reverse } from "../tensor/reverse.ts";
import { expectChoice, expectOptions, expectTensors } from "../tensor/arguments.ts";
import { type DType, isFloat } from "../tensor/dtype.ts";
import { wholeNumber } from "../tensor/element.ts";
import { type Shape, ShapeError, show } from "../tensor/shape.ts";
import { expand, sum } from "./broadcast.ts";
import { upsampleNearest } from "./concat.ts";
import { convolved } from "./convolution/passes.ts";
import { add, mul } from "./elementwise/arithmetic.ts";
import { cast } from "./elementwise/cast.ts";
import { variable } from "./gradient.ts";
import { literal } from "./leaf.ts";
import { pad, permute, reshape, toFirst, toLast } from "./movement.ts";
import { perAxis, windows } from "./shape/windows.ts";

/** Padding in pixels: the same on all sides, or `[top, bottom, left, right]`. */
export type Padding = number | readonly [top: number, bottom: number, left: number, right: number];

/** Largest stride, dilation and padding: beyond any image, and within what kernels count with. */
const MOST = 2 ** 30;

/** Options that all convolutions have. */
export interface ConvCommon {
  /** Pixels between neighbouring windows, for all dimensions or each. Default 1. */
  readonly stride?: number | readonly number[];
  /** Pixels between neighbouring places of a window, for all dimensions or each. Default 1. */
  readonly dilation?: number | readonly number[];
  /** How many groups the channels fall into, each convolved by itself. Default 1. */
  readonly groups?: number;
  /** Element type of the result, which is rounded once. Default: that of x. */
  readonly dtype?: DType;
}

/** Options of {@linkcode conv2d}. */
export interface ConvOptions extends ConvCommon {
  /** Zeros around the image. Default 0. */
  readonly padding?: Padding;
  /**
   * How often each pixel stands in a row and in a column, as {@linkcode upsampleNearest} has it, before there are zeros
   * around. Windows read the image as it is: the larger one is never made. Default 1.
   */
  readonly upsample?: number;
}

/** Padding of {@linkcode conv}: one number, one or `[before, after]` for each dimension, or by name. */
export type ConvPadding =
  | number
  | readonly (number | readonly [before: number, after: number])[]
  | "valid"
  | "same";

/** Options of {@linkcode conv}. */
export interface ConvAnyOptions extends ConvCommon {
  /**
   * Zeros around the image. "valid" is none; "same" as many as make the result ⌈extent / stride⌉ long, the odd one behind.
   * Default 0.
   */
  readonly padding?: ConvPadding;
  /** Whether channels come first, as in PyTorch: `[B, C, …]` and `[Cout, Cin / groups, …]`. Default false. */
  readonly channelsFirst?: boolean;
}

/** Options of {@linkcode convTranspose}. */
export interface ConvTransposeOptions extends Omit<ConvAnyOptions, "padding"> {
  /** What is cut off at the ends of the result: one number, or one or `[before, after]` for each dimension. Default 0. */
  readonly padding?: number | readonly (number | readonly [before: number, after: number])[];
  /** What is put on behind the result, for all dimensions or each. Default 0. */
  readonly outputPadding?: number | readonly number[];
}

const KINDS = {
  stride: "a number or a list",
  dilation: "a number or a list",
  padding: "any",
  groups: "number",
  dtype: "f32 or f16",
} as const;

/** A convolution in any number of dimensions, channels last, with every number looked at. */
interface Geometry {
  readonly op: string;
  readonly stride: readonly number[];
  readonly dilation: readonly number[];
  readonly pads: readonly (readonly [number, number])[];
  readonly groups: number;
  readonly dtype: DType;
  /** How often each pixel stands in a row and in a column. Default 1. */
  readonly upsample?: number;
}

/** Looks at everything but the padding; `fail` says what x and w are. */
function numbers(op: string, x: Tensor, w: Tensor, n: number, options: ConvCommon) {
  const fail = (detail: string) =>
    new ShapeError(op, `image ${show(x.spec)}, weight ${show(w.spec)}: ${detail}`);
  const list = (name: "stride" | "dilation") => {
    const given = options[name];
    const bad = [given ?? 1].flat().find((s) =>
      typeof s !== "number" || !Number.isInteger(s) || s < 1
    );
    if (bad !== undefined) throw fail(`${name} ${bad} is no positive integer`);
    if ([given ?? 1].flat().some((s) => s > MOST)) throw tooLarge(fail);
    return perAxis(op, name, given, n, 1, 1);
  };
  const { groups = 1, dtype = x.dtype } = options;
  wholeNumber(op, "options.groups", groups, 1);
  return { fail, stride: list("stride"), dilation: list("dilation"), groups, dtype };
}

const tooLarge = (fail: (detail: string) => ShapeError) =>
  fail(
    `strides, dilations, padding and upsampled images are at most ${MOST}, kernels count in 32 bits`,
  );

/** Channels and windows that fit: x `[B, …, Cin]` and w `[…K, Cin / groups, Cout]`. */
function fits(x: Tensor, w: Tensor, g: Geometry, fail: (detail: string) => ShapeError): number[] {
  const [ci, co] = [x.shape.at(-1)!, w.shape.at(-1)!];
  const takes = w.shape.at(-2)! * g.groups;
  if (ci !== takes) {
    throw fail(
      `the image has ${ci} channels, the weight takes ${takes}${
        g.groups > 1 ? ` in ${g.groups} groups` : ""
      }`,
    );
  }
  if (co % g.groups) throw fail(`${co} channels do not fall into ${g.groups} groups`);
  const counts = g.stride.map((s, i) => {
    const span = (w.shape[i] - 1) * g.dilation[i] + 1;
    const extent = x.shape[1 + i] * (g.upsample ?? 1);
    return Math.floor((extent + g.pads[i][0] + g.pads[i][1] - span) / s) + 1;
  });
  if (counts.some((d) => d < 1)) {
    throw fail(`the window does not fit into the image padded by [${g.pads.flat()}]`);
  }
  return counts;
}

/** x `[B, …, Cin]`, w `[…K, Cin / groups, Cout]`, both of one, two or three dimensions. */
function channelsLast(x: Tensor, w: Tensor, g: Geometry): Tensor {
  const n = x.shape.length - 2;
  if (isDepthwise(w, g)) return depthwise(x, w, g);
  const split = (t: Tensor) => {
    if (g.groups === 1) return t;
    const c = t.shape.at(-1)!;
    const parts = reshape(t, [...t.shape.slice(0, -1), g.groups, c / g.groups]);
    const r = t.shape.length;
    return permute(parts, [r - 1, ...Array(r - 1).keys(), r]);
  };
  const y = sideBySide(split(x), split(w), g, n);
  if (g.groups === 1) return y;
  const r = y.shape.length;
  const back = permute(y, [...Array(r - 2).keys()].map((i) => i + 1).concat(0, r - 1));
  return reshape(back, [...y.shape.slice(1, -1), g.groups * y.shape.at(-1)!]);
}

/** Whether each channel has a window of its own. */
const isDepthwise = (w: Tensor, { groups }: Pick<Geometry, "groups">): boolean =>
  groups > 1 && w.shape.at(-2) === 1 && w.shape.at(-1) === groups;

/** Every channel by its own window: a sum over the places of windows. */
function depthwise(x: Tensor, w: Tensor, g: Geometry): Tensor {
  const n = x.shape.length - 2;
  const size = w.shape.slice(0, n);
  const framed = pad(cast(x, "f32"), [[0, 0], ...g.pads, [0, 0]]);
  const seen = windows(framed, {
    axes: size.map((_, i) => 1 + i),
    size,
    stride: g.stride,
    dilation: g.dilation,
  });
  const factors = reshape(cast(w, "f32"), [...size, ...Array(n + 1).fill(1), g.groups]);
  return cast(sum(mul(seen, factors), [...size.keys()]), g.dtype);
}

/** Convolutions side by side, of two dimensions; fewer are lines of one pixel, and the first of three becomes channels. */
function sideBySide(x: Tensor, w: Tensor, g: Geometry, n: number): Tensor {
  const lead = g.groups > 1 ? [g.groups] : [];
  const at = lead.length;
  const [b, ...image] = x.shape.slice(at);
  const size = w.shape.slice(at);
  if (n === 3) {
    const axis = at + 1;
    const framed = pad(
      x,
      x.shape.map((_, i): readonly [number, number] => i === axis ? g.pads[0] : [0, 0]),
    );
    const seen = windows(framed, {
      axes: [axis],
      size: [size[0]],
      stride: [g.stride[0]],
      dilation: [g.dilation[0]],
    });
    // [K, lead, B, D, H, W, C] → [lead, B·D, H, W, K·C]
    const r = seen.shape.length;
    const moved = permute(seen, [...Array(r - 2).keys()].map((i) => i + 1).concat(0, r - 1));
    const [d, h, wd] = seen.shape.slice(at + 2);
    const k = size[0] * image[3];
    const flat = reshape(moved, [...lead, b * d, h, wd, k]);
    // [lead, KD, KH, KW, C, O] → [lead, KH, KW, KD·C, O]
    const order = [0, 2, 3, 1, 4, 5].slice(1).map((i) => i - 1 + at);
    const weight = permute(w, lead.length ? [0, ...order] : order);
    const y = sideBySide(
      flat,
      reshape(weight, [...lead, size[1], size[2], k, size[4]]),
      { ...g, stride: g.stride.slice(1), dilation: g.dilation.slice(1), pads: g.pads.slice(1) },
      2,
    );
    return reshape(y, [...lead, b, d, ...y.shape.slice(at + 1)]);
  }
  if (n === 1) {
    const line = (t: Tensor, axis: number) => reshape(t, t.shape.toSpliced(axis, 0, 1));
    const y = sideBySide(line(x, at + 1), line(w, at), {
      ...g,
      stride: [1, ...g.stride],
      dilation: [1, ...g.dilation],
      pads: [[0, 0], ...g.pads],
    }, 2);
    return reshape(y, y.shape.toSpliced(at + 1, 1));
  }
  const [[top, bottom], [left, right]] = g.pads;
  return convolved(x, w, {
    stride: [g.stride[0], g.stride[1]],
    dilation: [g.dilation[0], g.dilation[1]],
    pad: [top, bottom, left, right],
    image: x.shape.slice(at),
    weight: w.shape.slice(at),
    upsample: g.upsample ?? 1,
    batch: g.groups,
    dtype: g.dtype,
  });
}

/**
 * Two-dimensional convolution (cross-correlation, as in PyTorch) without bias: add one with `add`, which costs nothing.
 *
 * @param x image `[B, H, W, Cin]`
 * @param w weight `[KH, KW, Cin / groups, Cout]`
 * @returns `[B, OH, OW, Cout]` with `OH = ⌊(H·upsample + top + bottom − (KH − 1)·dilation − 1) / stride⌋ + 1`
 * @throws ShapeError when the channels differ, or the window is larger than the padded image
 */
export function conv2d(x: Tensor, w: Tensor, options: ConvOptions = {}): Tensor {
  expectTensors("conv2d", { x, w });
  expectOptions("conv2d", 2, options, {
    ...KINDS,
    padding: "a number or a list",
    upsample: "number",
  });
  const { fail, ...g } = numbers("conv2d", x, w, 2, options);
  const { padding = 0 } = options;
  const sides = typeof padding === "number" ? [padding, padding, padding, padding] : padding;
  if (x.shape.length !== 4 || w.shape.length !== 4) {
    throw fail("expected [B, H, W, Cin] and [KH, KW, Cin, Cout]");
  }
  if (sides?.some?.((p) => p > MOST)) throw tooLarge(fail);
  if (sides?.length !== 4 || sides.some((p) => !Number.isInteger(p) || p < 0)) {
    throw fail(`padding [${sides}] is not allowed`);
  }
  const pads = [[sides[0], sides[1]], [sides[2], sides[3]]] as const;
  const { upsample = 1 } = options;
  wholeNumber("conv2d", "options.upsample", upsample, 1);
  if (upsample * Math.max(x.shape[1], x.shape[2]) > MOST) throw tooLarge(fail);
  const geometry = { op: "conv2d", ...g, pads, upsample };
  fits(x, w, geometry, fail);
  // Windows that skip pixels of the larger image, and sums under windows, are those of an image.
  return upsample > 1 && (g.stride.some((s) => s > 1) || isDepthwise(w, g))
    ? channelsLast(upsampleNearest(x, upsample), w, { ...geometry, upsample: 1 })
    : channelsLast(x, w, geometry);
}

function sidesOf(
  op: string,
  given: ConvPadding | undefined,
  n: number,
  fail: (detail: string) => ShapeError,
): (readonly [number, number])[] {
  const list = typeof given === "object" ? given : Array(n).fill(given ?? 0);
  if (list.length !== n) throw fail(`padding has ${list.length} entries for ${n} dimensions`);
  return list.map((p: number | readonly [number, number]) => {
    const [before, after] = perAxis(op, "padding", typeof p === "object" ? p : [p, p], 2, 0, 0);
    if (before > MOST || after > MOST) throw tooLarge(fail);
    return [before, after] as const;
  });
}

/** Looks at what both directions take; `image` and `weight` are channels last. */
function prepared(op: string, x: Tensor, w: Tensor, options: Omit<ConvAnyOptions, "padding">) {
  const n = x.shape.length - 2;
  if (n < 1 || n > 3 || w.shape.length !== n + 2) {
    throw new ShapeError(
      op,
      `image ${show(x.spec)}, weight ${
        show(w.spec)
      }: expected one to three dimensions beside batch and channels, and as many of both`,
    );
  }
  if (!isFloat(x.dtype) || !isFloat(w.dtype)) {
    throw new ShapeError(
      op,
      `operands are ${show(x.spec)} and ${show(w.spec)}; expected f32 or f16`,
    );
  }
  const first = options.channelsFirst;
  return {
    n,
    image: toLast(x, first),
    weight: first ? permute(w, [...w.shape.map((_, i) => i).slice(2), 1, 0]) : w,
    back: (y: Tensor) => toFirst(y, first),
    ...numbers(op, x, w, n, options),
  };
}

/**
 * Convolution (cross-correlation) in one, two or three dimensions, without bias.
 *
 * @param x `[B, …, Cin]`; with `channelsFirst` `[B, Cin, …]`
 * @param w `[…K, Cin / groups, Cout]`; with `channelsFirst` `[Cout, Cin / groups, …K]`
 * @returns `[B, …, Cout]`, or `[B, Cout, …]`
 * @throws ShapeError when the channels differ, or the window is larger than the padded image
 */
export function conv(x: Tensor, w: Tensor, options: ConvAnyOptions = {}): Tensor {
  expectTensors("conv", { x, w });
  expectOptions("conv", 2, options, { ...KINDS, channelsFirst: "true or false" });
  const { n, image, weight, back, fail, ...g } = prepared("conv", x, w, options);
  const { padding } = options;
  if (typeof padding === "string") {
    expectChoice("conv", "options.padding", padding, ["same", "valid"]);
  } else expectOptions("conv", 2, { padding }, { padding: "a number or a list" });
  const pads = padding === "same"
    ? g.stride.map((s, i) => {
      const extent = image.shape[1 + i];
      const span = (weight.shape[i] - 1) * g.dilation[i] + 1;
      const all = Math.max(0, (Math.ceil(extent / s) - 1) * s + span - extent);
      return [all >> 1, all - (all >> 1)] as const;
    })
    : sidesOf("conv", padding === "valid" ? 0 : padding, n, fail);
  const geometry = { op: "conv", ...g, pads };
  fits(image, weight, geometry, fail);
  return back(channelsLast(image, weight, geometry));
}

/**
 * Transposed convolution in one, two or three dimensions: what {@linkcode conv} with the same options hands back to its image.
 *
 * @param x `[B, …, Cin]`; with `channelsFirst` `[B, Cin, …]`
 * @param w `[…K, Cout / groups, Cin]`; with `channelsFirst` `[Cin, Cout / groups, …K]`, as in PyTorch
 * @returns `[B, …, Cout]` with extents `(extent − 1)·stride − before − after + (K − 1)·dilation + outputPadding + 1`
 * @throws ShapeError when the channels differ, or nothing is left between what is cut off
 */
export function convTranspose(x: Tensor, w: Tensor, options: ConvTransposeOptions = {}): Tensor {
  const op = "convTranspose";
  expectTensors(op, { x, w });
  expectOptions(op, 2, options, {
    ...KINDS,
    padding: "a number or a list",
    outputPadding: "a number or a list",
    channelsFirst: "true or false",
  });
  const { n, image, weight, back, fail, ...g } = prepared(op, x, w, options);
  const pads = sidesOf(op, options.padding, n, fail);
  const more = perAxis(op, "outputPadding", options.outputPadding, n, 0, 0);
  if (image.shape.at(-1) !== weight.shape.at(-1)) {
    throw fail(
      `the image has ${image.shape.at(-1)} channels, the weight takes ${weight.shape.at(-1)}`,
    );
  }
  const extents = g.stride.map((s, i) =>
    (image.shape[1 + i] - 1) * s - pads[i][0] - pads[i][1] + (weight.shape[i] - 1) * g.dilation[i] +
    more[i] + 1
  );
  const bad = more.find((m, i) => m >= Math.max(g.stride[i], g.dilation[i]));
  if (bad !== undefined) throw fail(`output padding ${bad} is not below stride or dilation`);
  if (extents.some((d) => d < 1)) throw fail(`nothing of [${extents}] is left`);
  const shape: Shape = [x.shape[0], ...extents, weight.shape.at(-2)! * g.groups];
  const geometry = { op, ...g, pads };
  const behind = variable(expand(literal(0, x.dtype), shape));
  const y = channelsLast(behind, weight, { ...geometry, dtype: x.dtype });
  // Output padding below the dilation, but not below the stride, would give windows that x has none for.
  if (y.shape.join() !== image.shape.join()) throw fail(`output padding [${more}] does not fit`);
  const [result] = reverse([[y, image]], [behind], add);
  return back(result ? cast(result, g.dtype) : cast(behind, g.dtype));
}
