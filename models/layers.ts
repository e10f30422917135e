/**
 * The layers that all models share: an op applied to parameters under the names that PyTorch gives them. Input
 * extents come from the activation, so a model states only what goes out.
 */
import type { DType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { add } from "../ops/elementwise/arithmetic.ts";
import { cast } from "../ops/elementwise/cast.ts";
import { conv2d } from "../ops/conv.ts";
import { linear } from "../ops/matmul.ts";
import { groupNorm, layerNorm } from "../ops/norm/norm.ts";
import type { Parameters } from "./params.ts";

/** `x·Wᵀ + b` over the last axis: `[…, in]` → `[…, out]`. */
export function linearLayer(
  p: Parameters,
  x: Tensor,
  out: number,
  options: { readonly bias?: boolean } = {},
): Tensor {
  const weight = p.take("weight", [out, x.shape.at(-1)!]);
  const bias = options.bias ?? true ? p.take("bias", [out]) : undefined;
  return linear(x, weight, bias);
}

/** Options of {@linkcode convLayer}. */
export interface ConvLayerOptions {
  /** Height and width of the kernel; 3 when left out. */
  readonly kernel?: number;
  readonly stride?: number;
  /** Zeros on every side, or [top, bottom, left, right]; half the kernel when left out. */
  readonly padding?: number | readonly [number, number, number, number];
  /** How often each pixel is repeated along height and width first; once when left out. */
  readonly upsample?: number;
  readonly bias?: boolean;
  /** Element type of the result; that of x when left out. */
  readonly dtype?: DType;
}

/** A square convolution: NHWC `[B, h, w, in]` → `[B, h', w', out]`. */
export function convLayer(
  p: Parameters,
  x: Tensor,
  out: number,
  options: ConvLayerOptions = {},
): Tensor {
  const { kernel = 3, stride = 1, padding = kernel >> 1, upsample, bias = true, dtype } = options;
  const weight = p.take("weight", [kernel, kernel, x.shape[3], out], "conv");
  const y = conv2d(x, weight, { stride, padding, upsample, dtype });
  return bias ? add(y, cast(p.take("bias", [out]), y.dtype)) : y;
}

/** Group normalization over NHWC with scale and shift. */
export function groupNormLayer(p: Parameters, x: Tensor, groups: number, eps: number): Tensor {
  const c = [x.shape.at(-1)!];
  return groupNorm(x, p.take("weight", c), p.take("bias", c), { groups, eps });
}

/** Layer normalization over the last axis with scale and shift. */
export function layerNormLayer(p: Parameters, x: Tensor, eps: number): Tensor {
  const c = [x.shape.at(-1)!];
  return layerNorm(x, p.take("weight", c), p.take("bias", c), { eps });
}
