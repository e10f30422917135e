/** The residual block of the UNet and of the autoencoder, and the two ways by which they change resolution. */
import type { Tensor } from "../../tensor/tensor.ts";
import { add } from "../../ops/elementwise/arithmetic.ts";
import { silu } from "../../ops/elementwise/activation.ts";
import { cast } from "../../ops/elementwise/cast.ts";
import { reshape } from "../../ops/movement.ts";
import { convLayer, groupNormLayer, linearLayer } from "../layers.ts";
import type { Parameters } from "../params.ts";

/** Normalization of a {@linkcode resnet}. */
export interface NormOptions {
  readonly groups: number;
  readonly eps: number;
}

/**
 * norm → SiLU → conv → (+ time) → norm → SiLU → conv, plus the input (through a 1×1 convolution where the number of
 * channels changes).
 *
 * @param x NHWC `[B, h, w, c]`
 * @param time SiLU of the time embedding `[B, e]`, or undefined in the autoencoder
 * @returns `[B, h, w, out]`
 */
export function resnet(
  p: Parameters,
  x: Tensor,
  time: Tensor | undefined,
  out: number,
  { groups, eps }: NormOptions,
): Tensor {
  let h = silu(groupNormLayer(p.at("norm1"), x, groups, eps));
  h = convLayer(p.at("conv1"), h, out);
  if (time) {
    const shift = linearLayer(p.at("time_emb_proj"), time, out);
    h = add(h, cast(reshape(shift, [shift.shape[0], 1, 1, out]), h.dtype));
  }
  h = silu(groupNormLayer(p.at("norm2"), h, groups, eps));
  h = convLayer(p.at("conv2"), h, out);
  const straight = x.shape[3] === out ? x : convLayer(p.at("conv_shortcut"), x, out, { kernel: 1 });
  return add(straight, h);
}

/** Doubles height and width: nearest neighbour, seen through a 3×3 convolution. */
export function upsample(p: Parameters, x: Tensor): Tensor {
  return convLayer(p.at("upsamplers.0.conv"), x, x.shape[3], { upsample: 2 });
}

/**
 * Halves height and width by a 3×3 convolution of stride 2.
 *
 * @param padding 1 in the UNet; [0, 1, 0, 1] (bottom and right only) in the autoencoder
 */
export function downsample(
  p: Parameters,
  x: Tensor,
  padding: number | readonly [number, number, number, number],
): Tensor {
  return convLayer(p.at("downsamplers.0.conv"), x, x.shape[3], { stride: 2, padding });
}
