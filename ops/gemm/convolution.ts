/** The three passes of a convolution as products: what plays m, n and k in each, and where operands and results lie. */
import { type KernelContext, type KernelPlan, size } from "../../tensor/kernel.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { type ConvAttrs, outputShape } from "./conv_shape.ts";
import { matrix, pixels, sliding } from "./operands.ts";
import { planWinograd } from "./cpu_winograd.ts";
import { planGemm } from "./plan.ts";
import type { Gemm } from "./problem.ts";

/** A window of one pixel moved by one pixel, without padding: a plain matrix product over all pixels. */
const isPointwise = ({ stride, pad, weight, upsample }: ConvAttrs): boolean =>
  [...stride, weight[0], weight[1], upsample].every((s) => s === 1) && pad.every((p) => p === 0);

/** Whether windows are 3×3 and move pixel by pixel. */
const isSmooth = ({ batch, stride, dilation, weight: [kh, kw] }: ConvAttrs): boolean =>
  batch === 1 && kh === 3 && kw === 3 && [...stride, ...dilation].every((s) => s === 1);

/** How far one product's numbers are from the next one's, where there are several. */
const each = (batch: number, size: number): number => batch > 1 ? size : 0;

/** Where the numbers of product z begin. */
const start = (batch: number, size: number, z: string): string =>
  batch > 1 ? `${z} * ${size}u + ` : "";

/** Forward: m = output pixel, n = output channel, k = (tap, input channel). */
export function planConv(ctx: KernelContext<ConvAttrs>): KernelPlan {
  const { attrs, inputs: [x, w] } = ctx;
  const { batch, stride, pad, image: [images, height, width, ci], weight: [kh, kw, , co] } = attrs;
  const [, oh, ow] = outputShape(attrs);
  const fast = ctx.profile.cpu && isSmooth(attrs) && planWinograd({
    label: "conv2d",
    image: x,
    upsample: attrs.upsample,
    output: [images, oh, ow, co],
    origin: [-pad[0], -pad[2]],
    weight: w,
    turned: false,
  }, ctx);
  if (fast) return fast;
  const m = images * oh * ow;
  const gemm: Gemm = {
    label: "conv2d",
    m,
    n: co,
    batch,
    segments: kh * kw,
    length: ci,
    a: isPointwise(attrs)
      ? matrix("lhs", 0, x, { batch: each(batch, m * ci), row: ci, k: 1 })
      : sliding("lhs", 0, x, {
        height,
        width,
        channels: ci,
        rows: [oh, ow],
        images,
        batch,
        step: stride,
        apart: attrs.dilation,
        origin: [-pad[0], -pad[2]],
        taps: `${kw}u`,
        direction: 1,
        upsample: attrs.upsample,
      }),
    b: matrix("rhs", 1, w, {
      batch: each(batch, kh * kw * ci * co),
      row: 1,
      k: co,
      segment: (s) => `(${s}) * ${size(ci * co)}`,
    }),
    row: (i, z) => `${start(batch, m, z)}${i}`,
  };
  return planGemm([gemm], batch * m * co, ctx);
}

/**
 * Input gradient: m = input pixel, n = input channel, k = (tap, output channel). With stride s only every s-th tap
 * (fewer, where taps lie apart) meets a given pixel, so the pixels are taken apart by their position modulo s into s × s
 * products, none of which multiplies by a zero that is known beforehand.
 */
export function planInputGrad(ctx: KernelContext<ConvAttrs>): KernelPlan {
  const { attrs, inputs: [g, w] } = ctx;
  const { image: [images, height, width, ci], upsample } = attrs;
  const fast = ctx.profile.cpu && isSmooth(attrs) && upsample <= 2 && planWinograd({
    label: "conv2dInputGrad",
    image: g,
    output: [images, height * upsample, width * upsample, ci],
    folded: upsample > 1,
    origin: [attrs.pad[0] - 2, attrs.pad[2] - 2],
    weight: w,
    turned: true,
  }, ctx);
  if (fast) return fast;
  if (upsample > 1) return planGemm([repeatedGrad(ctx)], attrs.batch * sizeOf(attrs.image), ctx);
  const gemms: Gemm[] = [];
  for (let y = 0; y < Math.min(attrs.stride[0], attrs.image[1]); y++) {
    for (let x = 0; x < Math.min(attrs.stride[1], attrs.image[2]); x++) {
      gemms.push(inputGradClass(ctx, y, x));
    }
  }
  return planGemm(gemms, attrs.batch * sizeOf(attrs.image), ctx);
}

const greatestCommonDivisor = (a: number, b: number): number =>
  b ? greatestCommonDivisor(b, a % b) : a;

/**
 * The taps that meet pixels `phase`, `phase + stride`, … of one axis: the first of them, how many taps further the next one is,
 * the output pixel that the first one came from, and how many pixels before it that of the next is.
 */
function meeting(phase: number, stride: number, dilation: number, pad: number, taps: number) {
  const common = greatestCommonDivisor(stride, dilation);
  const every = stride / common;
  let first = 0;
  while (first < every && (phase + pad - first * dilation) % stride) first++;
  const count = first < every && first < taps ? Math.ceil((taps - first) / every) : 0;
  return {
    first,
    every,
    count,
    origin: count ? (phase + pad - first * dilation) / stride : 0,
    apart: dilation / common,
  };
}

function inputGradClass(
  { attrs, inputs: [g, w] }: KernelContext<ConvAttrs>,
  y: number,
  x: number,
): Gemm {
  const { batch, stride, dilation, pad, image, weight: [kh, kw, , co] } = attrs;
  const [images, height, width, ci] = image;
  const [, oh, ow] = outputShape(attrs);
  const down = meeting(y, stride[0], dilation[0], pad[0], kh);
  const across = meeting(x, stride[1], dilation[1], pad[2], kw);
  const rows = [
    Math.ceil((height - y) / stride[0]),
    Math.ceil((width - x) / stride[1]),
  ] as const;
  const whole = stride[0] === 1 && stride[1] === 1;
  // Windows of another form in each class, of which one kernel does for all; those of one class are known.
  const taps = whole ? `${kw}u` : size(Math.max(1, across.count), "taps");
  const tap = (s: string) =>
    whole || across.count === 0
      ? s
      : `(((${s}) / ${taps}) * ${down.every}u + ${
        size(down.first, "firstY")
      }) * ${kw}u + ((${s}) % ${taps}) * ${across.every}u + ${size(across.first, "firstX")}`;
  return {
    label: "conv2dInputGrad",
    m: images * rows[0] * rows[1],
    n: ci,
    batch,
    segments: down.count * across.count,
    length: co,
    a: isPointwise(attrs)
      ? matrix("lhs", 0, g, { batch: each(batch, images * oh * ow * co), row: co, k: 1 })
      : sliding("lhs", 0, g, {
        height: oh,
        width: ow,
        channels: co,
        rows,
        images,
        batch,
        step: [1, 1],
        apart: [down.apart, across.apart],
        origin: [down.origin, across.origin],
        taps,
        direction: -1,
      }),
    b: matrix("rhs", 1, w, {
      batch: each(batch, kh * kw * ci * co),
      row: co,
      k: 1,
      segment: (s) => `(${tap(s)}) * ${size(ci * co, "tap")}`,
    }),
    row: (i, z) => {
      const first = start(batch, images * height * width, z);
      if (whole) return `${first}${i}`;
      const across = size(rows[1], "acrossOut");
      const line = `((${i} / ${size(rows[0] * rows[1])}) * ${
        size(height)
      } + ((${i} / ${across}) % ${size(rows[0])}) * ${stride[0]}u + ${size(y, "phaseY")})`;
      return `${first}${line} * ${size(width)} + (${i} % ${across}) * ${stride[1]}u + ${
        size(x, "phaseX")
      }`;
    },
  };
}

/** The input gradient where pixels are repeated: each adds up those of its repetitions, k = (repetition, tap, output channel). */
function repeatedGrad({ attrs, inputs: [g, w] }: KernelContext<ConvAttrs>): Gemm {
  const { batch, dilation, pad, image, weight: [kh, kw, , co], upsample } = attrs;
  const [images, height, width, ci] = image;
  const [, oh, ow] = outputShape(attrs);
  return {
    label: "conv2dInputGrad",
    m: images * height * width,
    n: ci,
    batch,
    segments: upsample * upsample * kh * kw,
    length: co,
    a: sliding("lhs", 0, g, {
      height: oh,
      width: ow,
      channels: co,
      rows: [height, width],
      images,
      batch,
      step: [upsample, upsample],
      apart: dilation,
      origin: [pad[0], pad[2]],
      taps: `${kw}u`,
      direction: -1,
      repeated: { times: upsample, window: kh * kw },
    }),
    b: matrix("rhs", 1, w, {
      batch: each(batch, kh * kw * ci * co),
      row: co,
      k: 1,
      segment: (s) => `((${s}) % ${kh * kw}u) * ${size(ci * co, "tap")}`,
    }),
    row: (i, z) => `${start(batch, images * height * width, z)}${i}`,
  };
}

/** Fewer channels than this fill no tile of a GPU: rows count taps, too. */
const FEW = 8;

/**
 * Weight gradient: z = tap, m = input channel, n = output channel, k = output pixel, line by line; on GPUs, of few channels,
 * m = (tap, input channel).
 */
export function planWeightGrad(ctx: KernelContext<ConvAttrs>): KernelPlan {
  const { attrs, inputs: [x, g] } = ctx;
  const { batch, pad, image: [images, height, width, ci], weight: [kh, kw, , co] } = attrs;
  const [, oh, ow] = outputShape(attrs);
  const flat = isPointwise(attrs);
  const window = kh * kw;
  const all = images * oh * ow * co;
  const tapsInRows = !flat && !ctx.profile.cpu && ci < FEW;
  const m = tapsInRows ? window * ci : ci;
  const products = tapsInRows ? 1 : window;
  const gemm: Gemm = {
    label: "conv2dWeightGrad",
    m,
    n: co,
    batch: batch * products,
    segments: flat ? 1 : images * oh,
    length: flat ? images * oh * ow : ow,
    a: flat
      ? matrix("lhs", 0, x, { batch: each(batch, images * height * width * ci), row: 1, k: ci })
      : pixels("lhs", 0, x, {
        height,
        width,
        channels: ci,
        lines: oh,
        images,
        window,
        tapsInRows,
        batch,
        step: attrs.stride,
        apart: attrs.dilation,
        pad: [pad[0], pad[2]],
        taps: `${kw}u`,
        upsample: attrs.upsample,
      }),
    b: matrix("rhs", 1, g, {
      batch: batch > 1 ? (z) => `${z} / ${products}u * ${all}u` : 0,
      row: 1,
      k: co,
      segment: (s) => `(${s}) * ${size(ow * co)}`,
    }),
    row: (i, z) => `${z} * ${size(m, "m")} + ${i}`,
  };
  return planGemm([gemm], batch * window * ci * co, ctx);
}
