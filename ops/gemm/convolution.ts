/** The three passes of a convolution as products: what plays m, n and k in each, and where operands and results lie. */
import { type KernelContext, type KernelPlan, size } from "../../tensor/kernel.ts";
import type { DType } from "../../tensor/dtype.ts";
import { type Shape, sizeOf } from "../../tensor/shape.ts";
import { matrix, pixels, sliding } from "./operands.ts";
import { planWinograd } from "./cpu_winograd.ts";
import { planGemm } from "./plan.ts";
import type { Gemm } from "./problem.ts";

/** Attributes of all three convolution ops: the whole geometry, so that each op knows the shapes of the others. */
export interface ConvAttrs {
  readonly stride: number;
  readonly pad: readonly [top: number, bottom: number, left: number, right: number];
  /** Shape of the image, `[B, H, W, Cin]`. */
  readonly image: Shape;
  /** Shape of the weight, `[KH, KW, Cin, Cout]`. */
  readonly weight: Shape;
  /** Element type of the op's result. */
  readonly dtype: DType;
}

/** Shape of the convolution's output, `[B, OH, OW, Cout]`. */
export function outputShape(
  { stride, pad, image, weight }: ConvAttrs,
): [number, number, number, number] {
  const extent = (i: number) =>
    Math.floor((image[1 + i] + pad[2 * i] + pad[2 * i + 1] - weight[i]) / stride) + 1;
  return [image[0], extent(0), extent(1), weight[3]];
}

/** A window of one pixel moved by one pixel, without padding: a plain matrix product over all pixels. */
const isPointwise = ({ stride, pad, weight }: ConvAttrs): boolean =>
  stride === 1 && weight[0] === 1 && weight[1] === 1 && pad.every((p) => p === 0);

/** Whether windows are 3×3 and move pixel by pixel. */
const isSmooth = ({ stride, weight: [kh, kw] }: ConvAttrs): boolean =>
  stride === 1 && kh === 3 && kw === 3;

/** Forward: m = output pixel, n = output channel, k = (tap, input channel). */
export function planConv(ctx: KernelContext<ConvAttrs>): KernelPlan {
  const { attrs, inputs: [x, w] } = ctx;
  const { stride, pad, image: [, height, width, ci], weight: [kh, kw, , co] } = attrs;
  const [batch, oh, ow] = outputShape(attrs);
  const fast = ctx.profile.cpu && isSmooth(attrs) && planWinograd({
    label: "conv2d",
    image: x,
    output: [batch, oh, ow, co],
    origin: [-pad[0], -pad[2]],
    weight: w,
    turned: false,
  }, ctx);
  if (fast) return fast;
  const m = batch * oh * ow;
  const gemm: Gemm = {
    label: "conv2d",
    m,
    n: co,
    batch: 1,
    segments: kh * kw,
    length: ci,
    a: isPointwise(attrs)
      ? matrix("lhs", 0, x, { batch: 0, row: ci, k: 1 })
      : sliding("lhs", 0, x, {
        height,
        width,
        channels: ci,
        rows: [oh, ow],
        step: stride,
        origin: [-pad[0], -pad[2]],
        taps: `${kw}u`,
        direction: 1,
      }),
    b: matrix("rhs", 1, w, {
      batch: 0,
      row: 1,
      k: co,
      segment: (s) => `(${s}) * ${size(ci * co)}`,
    }),
    row: (i) => i,
  };
  return planGemm([gemm], m * co, ctx);
}

/**
 * Input gradient: m = input pixel, n = input channel, k = (tap, output channel). With stride s only every s-th tap
 * meets a given pixel, and which ones depends on the pixel's coordinates modulo s: one product per such class, none of
 * which multiplies by a zero that is known beforehand.
 */
export function planInputGrad(ctx: KernelContext<ConvAttrs>): KernelPlan {
  const { attrs, inputs: [g, w] } = ctx;
  const fast = ctx.profile.cpu && isSmooth(attrs) && planWinograd({
    label: "conv2dInputGrad",
    image: g,
    output: attrs.image,
    origin: [attrs.pad[0] - 2, attrs.pad[2] - 2],
    weight: w,
    turned: true,
  }, ctx);
  if (fast) return fast;
  const gemms: Gemm[] = [];
  for (let y = 0; y < Math.min(attrs.stride, attrs.image[1]); y++) {
    for (let x = 0; x < Math.min(attrs.stride, attrs.image[2]); x++) {
      gemms.push(inputGradClass(ctx, y, x));
    }
  }
  return planGemm(gemms, sizeOf(attrs.image), ctx);
}

/** The taps that meet pixels `phase`, `phase + stride`, … of one axis, and the output pixel that the first one came from. */
function meeting(phase: number, stride: number, pad: number, taps: number) {
  const first = (phase + pad) % stride;
  return {
    first,
    count: first < taps ? Math.ceil((taps - first) / stride) : 0,
    origin: (phase + pad - first) / stride,
  };
}

function inputGradClass(
  { attrs, inputs: [g, w] }: KernelContext<ConvAttrs>,
  y: number,
  x: number,
): Gemm {
  const { stride, pad, image: [batch, height, width, ci], weight: [kh, kw, , co] } = attrs;
  const [, oh, ow] = outputShape(attrs);
  const down = meeting(y, stride, pad[0], kh);
  const across = meeting(x, stride, pad[2], kw);
  const rows = [Math.ceil((height - y) / stride), Math.ceil((width - x) / stride)] as const;
  // Windows of another form in each class, of which one kernel does for all; those of one class are known.
  const taps = stride === 1 ? `${kw}u` : size(Math.max(1, across.count), "taps");
  const tap = (s: string) =>
    stride === 1 || across.count === 0
      ? s
      : `(((${s}) / ${taps}) * ${stride}u + ${
        size(down.first, "firstY")
      }) * ${kw}u + ((${s}) % ${taps}) * ${stride}u + ${size(across.first, "firstX")}`;
  return {
    label: "conv2dInputGrad",
    m: batch * rows[0] * rows[1],
    n: ci,
    batch: 1,
    segments: down.count * across.count,
    length: co,
    a: isPointwise(attrs)
      ? matrix("lhs", 0, g, { batch: 0, row: co, k: 1 })
      : sliding("lhs", 0, g, {
        height: oh,
        width: ow,
        channels: co,
        rows,
        step: 1,
        origin: [down.origin, across.origin],
        taps,
        direction: -1,
      }),
    b: matrix("rhs", 1, w, {
      batch: 0,
      row: co,
      k: 1,
      segment: (s) => `(${tap(s)}) * ${size(ci * co, "tap")}`,
    }),
    row: (i) => {
      if (stride === 1) return i;
      const across = size(rows[1], "acrossOut");
      const line = `((${i} / ${size(rows[0] * rows[1])}) * ${
        size(height)
      } + ((${i} / ${across}) % ${size(rows[0])}) * ${stride}u + ${size(y, "phaseY")})`;
      return `${line} * ${size(width)} + (${i} % ${across}) * ${stride}u + ${size(x, "phaseX")}`;
    },
  };
}

/** Weight gradient: z = tap, m = input channel, n = output channel, k = output pixel, line by line. */
export function planWeightGrad(ctx: KernelContext<ConvAttrs>): KernelPlan {
  const { attrs, inputs: [x, g] } = ctx;
  const { stride, pad, image: [, height, width, ci], weight: [kh, kw, , co] } = attrs;
  const [batch, oh, ow] = outputShape(attrs);
  const flat = isPointwise(attrs);
  const gemm: Gemm = {
    label: "conv2dWeightGrad",
    m: ci,
    n: co,
    batch: kh * kw,
    segments: flat ? 1 : batch * oh,
    length: flat ? batch * oh * ow : ow,
    a: flat ? matrix("lhs", 0, x, { batch: 0, row: 1, k: ci }) : pixels("lhs", 0, x, {
      height,
      width,
      channels: ci,
      lines: oh,
      step: stride,
      pad: [pad[0], pad[2]],
      taps: `${kw}u`,
    }),
    b: matrix("rhs", 1, g, {
      batch: 0,
      row: 1,
      k: co,
      segment: (s) => `(${s}) * ${size(ow * co)}`,
    }),
    row: (i, z) => `${z} * ${size(ci, "m")} + ${i}`,
  };
  return planGemm([gemm], kh * kw * ci * co, ctx);
}
