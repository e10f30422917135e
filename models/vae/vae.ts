/**
 * The autoencoder of Stable Diffusion (`AutoencoderKL`): pictures to a Gaussian over latents, and latents back to
 * pictures. Always frozen when a concept is taught.
 */
import type { Tensor } from "../../tensor/tensor.ts";
import { ShapeError, show } from "../../tensor/shape.ts";
import { add, exp, maximum, minimum, mul } from "../../ops/elementwise/arithmetic.ts";
import { silu } from "../../ops/elementwise/activation.ts";
import { attention } from "../../ops/attention.ts";
import { cast } from "../../ops/elementwise/cast.ts";
import { input } from "../../ops/leaf.ts";
import { reshape, slice } from "../../ops/movement.ts";
import { convLayer, groupNormLayer, linearLayer } from "../layers.ts";
import { declare, Parameters, type ParameterSpecs, type ParameterTree } from "../params.ts";
import { downsample, resnet, upsample } from "../unet/resnet.ts";
import { type VaeConfig, vaeFactor } from "./config.ts";

export { type VaeConfig, vaeConfig, vaeFactor } from "./config.ts";

const EPS = 1e-6;

/** A Gaussian over latents: both NHWC `[B, h/f, w/f, latentChannels]`. */
export interface Posterior {
  /** `[B, h, w, c]`. */
  readonly mean: Tensor;
  /** Logarithm of the variance, in [−30, 20]. */
  readonly logvar: Tensor;
}

/**
 * @param x pictures, NHWC `[B, h, w, 3]` in [−1, 1]; h and w divisible by {@linkcode vaeFactor}
 * @throws ParameterError, ShapeError
 */
export function vaeEncode(
  config: VaeConfig,
  params: ParameterTree | Parameters,
  x: Tensor,
): Posterior {
  const f = vaeFactor(config);
  const [, h, w, c] = x.shape;
  if (x.shape.length !== 4 || c !== config.inChannels || h % f || w % f) {
    throw new ShapeError(
      "vaeEncode",
      `${show(x.spec)}; expected [B,h,w,${config.inChannels}] with h and w divisible by ${f}`,
    );
  }
  const root = Parameters.of(params, "vae");
  const p = root.at("encoder");
  const top = config.channels.length - 1;
  let y = convLayer(p.at("conv_in"), inside(config, x), config.channels[0]);
  for (let level = 0; level <= top; level++) {
    const at = p.at(`down_blocks.${level}`);
    for (let i = 0; i < config.layersPerBlock; i++) {
      y = resnet(at.at(`resnets.${i}`), y, undefined, config.channels[level], norm(config));
    }
    if (level < top) y = downsample(at, y, [0, 1, 0, 1]);
  }
  y = middle(config, p.at("mid_block"), y);
  y = silu(groupNormLayer(p.at("conv_norm_out"), y, config.groups, EPS));
  const z = config.latentChannels;
  y = convLayer(p.at("conv_out"), y, 2 * z, { dtype: "f32" });
  if (config.quantConv) y = convLayer(root.at("quant_conv"), y, 2 * z, { kernel: 1 });
  return {
    mean: slice(y, 3, 0, z),
    logvar: minimum(maximum(slice(y, 3, z, 2 * z), -30), 20),
  };
}

/**
 * @param z unscaled latents, NHWC `[B, h, w, latentChannels]`: see {@linkcode fromLatent}
 * @returns pictures, NHWC `[B, h·f, w·f, 3]`, about [−1, 1]
 * @throws ParameterError, ShapeError
 */
export function vaeDecode(
  config: VaeConfig,
  params: ParameterTree | Parameters,
  z: Tensor,
): Tensor {
  if (z.shape.length !== 4 || z.shape[3] !== config.latentChannels) {
    throw new ShapeError("vaeDecode", `${show(z.spec)}; expected [B,h,w,${config.latentChannels}]`);
  }
  const root = Parameters.of(params, "vae");
  const p = root.at("decoder");
  const channels = config.channels.toReversed();
  let y = z;
  if (config.postQuantConv) {
    y = convLayer(root.at("post_quant_conv"), y, config.latentChannels, { kernel: 1 });
  }
  y = convLayer(p.at("conv_in"), inside(config, y), channels[0]);
  y = middle(config, p.at("mid_block"), y);
  channels.forEach((width, i) => {
    const at = p.at(`up_blocks.${i}`);
    for (let j = 0; j <= config.layersPerBlock; j++) {
      y = resnet(at.at(`resnets.${j}`), y, undefined, width, norm(config));
    }
    if (i < channels.length - 1) y = upsample(at, y);
  });
  y = silu(groupNormLayer(p.at("conv_norm_out"), y, config.groups, EPS));
  return convLayer(p.at("conv_out"), y, config.outChannels, { dtype: "f32" });
}

/** What goes in, in the element type of activations: every layer gives the one that it is given. */
const inside = ({ activations = "f32", forceUpcast }: VaeConfig, x: Tensor): Tensor =>
  cast(x, forceUpcast ? "f32" : activations);

const norm = (config: VaeConfig) => ({ groups: config.groups, eps: EPS });

function middle(config: VaeConfig, p: Parameters, x: Tensor): Tensor {
  const c = x.shape[3];
  let y = resnet(p.at("resnets.0"), x, undefined, c, norm(config));
  if (config.midAttention) y = add(y, attend(config, p.at("attentions.0"), y));
  return resnet(p.at("resnets.1"), y, undefined, c, norm(config));
}

/** One head of attention among all cells. */
function attend(config: VaeConfig, p: Parameters, x: Tensor): Tensor {
  const [b, h, w, c] = x.shape;
  const tokens = reshape(groupNormLayer(p.at("group_norm"), x, config.groups, EPS), [b, h * w, c]);
  const [q, k, v] = ["to_q", "to_k", "to_v"].map((name) =>
    reshape(linearLayer(p.at(name), tokens, c), [b, h * w, 1, c])
  );
  const y = linearLayer(p.at("to_out.0"), reshape(attention(q, k, v), [b, h * w, c]), c);
  return reshape(y, [b, h, w, c]);
}

/** A draw from the posterior as the UNet sees it: scaling · (μ + σ·noise). Without noise, the scaled mean. */
export function toLatent(config: VaeConfig, posterior: Posterior, noise?: Tensor): Tensor {
  const { mean, logvar } = posterior;
  const drawn = noise ? add(mean, mul(exp(mul(logvar, 0.5)), noise)) : mean;
  return mul(drawn, config.scalingFactor);
}

/** What {@linkcode vaeDecode} takes, from latents as the UNet sees them. */
export const fromLatent = (config: VaeConfig, latent: Tensor): Tensor =>
  mul(latent, 1 / config.scalingFactor);

/** Names and PyTorch shapes of an autoencoder's parameters. */
export function vaeSpecs(config: VaeConfig): ParameterSpecs {
  const f = vaeFactor(config);
  return declare("vae", (p) => {
    vaeEncode(config, p, input({ shape: [1, f, f, config.inChannels], dtype: "f32" }, 0));
    vaeDecode(config, p, input({ shape: [1, 1, 1, config.latentChannels], dtype: "f32" }, 0));
  });
}
