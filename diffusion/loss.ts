/**
 * What training minimizes: how well the model tells the noise that was added to pictures whose caption it is given.
 * Ho et al. 2020, eq. 14, on latents, restricted to the valid region of each picture (Custom Diffusion, §3 and
 * appendix B).
 */
import { expectKinds, having, RECORD } from "../tensor/kinds.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Shape, ShapeError, show } from "../tensor/shape.ts";
import { add, div, maximum, mul, square, sub } from "../ops/elementwise/arithmetic.ts";
import { cast } from "../ops/elementwise/cast.ts";
import { embedding } from "../ops/embedding/embedding.ts";
import { tensor } from "../ops/leaf.ts";
import { reshape, slice } from "../ops/movement.ts";
import { randomNormal, randomUniform } from "../ops/random.ts";
import { sum } from "../ops/broadcast.ts";
import { mean } from "../ops/reduce.ts";
import type { PipelineConfig, PipelineParams } from "./pipeline.ts";
import { unet, type UNetOptions } from "../models/unet/unet.ts";
import { type Posterior, toLatent, vaeEncode, vaeFactor } from "../models/vae/vae.ts";
import { addedConditions, type PromptFeatures, promptFeatures, uncut } from "./conditions.ts";
import { type NoiseSchedule, noising, target } from "./samplers/schedule.ts";

/** The parts of a model that the loss reads. A `Pipeline` is one. */
export interface LossModel {
  /** Configs of the UNet, the text encoder and the autoencoder. */
  readonly config: PipelineConfig;
  /** How much noise there is at each timestep. */
  readonly schedule: NoiseSchedule;
}

/** One step's data. */
export interface LossBatch {
  /** Pictures, NHWC `[B, H, W, 3]` in [−1, 1]; or instead `posterior` or `latents`. */
  readonly pixels?: Tensor;
  /** What the autoencoder says of the pictures, where that was computed before. */
  readonly posterior?: Posterior;
  /** Latents as the UNet sees them, without noise, `[B, h, w, c]`. */
  readonly latents?: Tensor;
  /** Captions, u32 `[B, T]`; `[B, 2, T]` of models with two text encoders. Or instead `prompts`. */
  readonly ids?: Tensor;
  /** What the captions say, where that was computed before. */
  readonly prompts?: PromptFeatures;
  /** 1 in the valid region of each latent, else 0: `[B, h, w]`. All of it where left out. */
  readonly mask?: Tensor;
  /** Factor of each sample's loss, `[B]`. 1 where left out. */
  readonly weights?: Tensor;
  /** Key of all random draws of the step, u32 `[2]`; not needed where nothing is drawn. */
  readonly key?: Tensor;
  /** Noise of unit variance for the latents, `[B, h, w, c]`; drawn from the key where left out. */
  readonly noise?: Tensor;
  /** Timesteps, u32 `[B]`; drawn uniformly from the key where left out. */
  readonly timesteps?: Tensor;
  /** Set where this is a part of a batch: each sample draws what it would in the whole. */
  readonly part?: BatchPart;
}

/** Some samples of a whole of `of`: those from `first` on, or at the places that `rows` tells. */
export type BatchPart =
  | { readonly of: number; readonly first: number; readonly rows?: undefined }
  | { readonly of: number; readonly rows: Tensor };

/** Which draw of a step's key is which. */
export const STREAMS = { posterior: 0, noise: 1, timesteps: 2 } as const;

/**
 * The loss of a batch: the mean over samples of the mean squared error over each one's valid region.
 *
 * @param options as for {@linkcode unet}; `cutStartToken` is on by default
 * @returns a scalar
 * @throws ShapeError when the parts of the batch do not agree
 */
export function diffusionLoss(
  model: LossModel,
  params: PipelineParams,
  batch: LossBatch,
  options: UNetOptions = {},
): Tensor {
  expectKinds("diffusionLoss", {
    model: [model, having("a model: { config, schedule }", "config", "schedule")],
    params: [params, RECORD],
    batch: [batch, RECORD],
  });
  const { config, schedule } = model;
  const clean = latents(config, params, batch);
  const [b, h, w] = clean.shape;
  const t = batch.timesteps ?? drawTimesteps(schedule, batch, b);
  const noise = batch.noise ?? normal(batch, clean.shape, STREAMS.noise);
  if (noise.shape.join() !== clean.shape.join()) {
    const fault = `the noise is ${show(noise.spec)}, the latents are ${show(clean.spec)}`;
    throw new ShapeError("diffusionLoss", fault);
  }
  const noisy = noisedLatents(schedule, clean, noise, t);
  const [, , cleanInTarget, noiseInTarget] = coefficients(schedule, t);
  const wanted = schedule.prediction === "epsilon"
    ? noise
    : add(mul(cleanInTarget, clean), mul(noiseInTarget, noise));
  if (!batch.ids && !batch.prompts) {
    throw new TypeError("diffusionLoss: the batch has neither ids nor prompts");
  }
  const prompts = batch.prompts ?? promptFeatures(config, params, batch.ids!);
  const factor = vaeFactor(config.vae);
  const added = addedConditions(config.unet, prompts, uncut(h * factor, w * factor));
  const answer = unet(config.unet, params.unet, noisy, cast(t, "f32"), prompts.context, {
    cutStartToken: true,
    added,
    ...options,
  });
  const { mask } = batch;
  if (mask && (mask.shape.length !== 3 || mask.shape.join() !== [b, h, w].join())) {
    throw new ShapeError(
      "diffusionLoss",
      `the mask is ${show(mask.spec)}; expected [${b},${h},${w}]`,
    );
  }
  const each = maskedError(answer, wanted, mask);
  return mean(batch.weights ? mul(each, batch.weights) : each);
}

/**
 * Latents at timesteps: √ᾱ · clean + √(1−ᾱ) · noise (Ho et al. 2020, eq. 4).
 *
 * @param clean `[B, h, w, c]`
 * @param noise of unit variance, `[B, h, w, c]`
 * @param t timesteps, u32 `[B]`
 * @returns `[B, h, w, c]`
 */
export function noisedLatents(
  schedule: NoiseSchedule,
  clean: Tensor,
  noise: Tensor,
  t: Tensor,
): Tensor {
  const [signalOf, noiseOf] = coefficients(schedule, t);
  return add(mul(signalOf, clean), mul(noiseOf, noise));
}

/**
 * Mean squared error of each sample over the elements that its mask keeps.
 *
 * @param a NHWC `[B, h, w, c]`
 * @param mask `[B, h, w]` of 0 and 1, the same for all channels
 * @returns `[B]`; 0 for a sample whose mask keeps nothing
 */
export function maskedError(a: Tensor, b: Tensor, mask?: Tensor): Tensor {
  const error = square(sub(a, b));
  if (!mask) return mean(error, [1, 2, 3]);
  const [n, h, w, c] = a.shape;
  const kept = mul(sum(mask, [1, 2]), c);
  return div(sum(mul(error, reshape(mask, [n, h, w, 1])), [1, 2, 3]), maximum(kept, 1));
}

/** The pictures' latents, drawn from their posteriors. */
function latents(config: PipelineConfig, params: PipelineParams, batch: LossBatch): Tensor {
  const { pixels } = batch;
  if (batch.latents) return batch.latents;
  const posterior = batch.posterior ?? (pixels && vaeEncode(config.vae, params.vae, pixels));
  if (!posterior) {
    throw new TypeError("diffusionLoss: the batch has neither pixels, posterior nor latents");
  }
  const noise = normal(batch, posterior.mean.shape, STREAMS.posterior);
  return toLatent(config.vae, posterior, noise);
}

/** What is drawn by the step's key: of a part of a batch, its samples of what is drawn for the whole. */
function drawn(
  { key, part }: LossBatch,
  [b, ...rest]: Shape,
  draw: (key: Tensor, shape: Shape) => Tensor,
): Tensor {
  if (!key) throw new TypeError("diffusionLoss: something has to be drawn, and there is no key");
  if (!part) return draw(key, [b, ...rest]);
  const all = draw(key, [part.of, ...rest]);
  if (!part.rows) return slice(all, 0, part.first, part.first + b);
  return reshape(embedding(reshape(all, [part.of, -1]), part.rows), [b, ...rest]);
}

const normal = (batch: LossBatch, shape: Shape, stream: number): Tensor =>
  drawn(batch, shape, (key, all) => randomNormal(key, all, { stream }));

/** `b` timesteps, each as likely, u32 `[b]`. */
function drawTimesteps({ trainSteps }: NoiseSchedule, batch: LossBatch, b: number): Tensor {
  const stream = STREAMS.timesteps;
  const u = drawn(batch, [b], (key, all) => randomUniform(key, all, { stream }));
  // u < 1, and so is u·N < N in f32 for every N below 2^24: truncation stays in range.
  return cast(mul(u, trainSteps), "u32");
}

/** √ᾱ, √(1−ᾱ), and the factors of picture and noise in the target, at each timestep: four of `[B, 1, 1, 1]`. */
function coefficients(schedule: NoiseSchedule, t: Tensor): Tensor[] {
  const table = Array.from({ length: schedule.trainSteps }, (_, i) => {
    const { signal, noise } = noising(schedule, i);
    const wanted = target(schedule, i);
    return [signal, noise, wanted.clean, wanted.noise];
  });
  const rows = embedding(tensor(table.flat(), [schedule.trainSteps, 4]), t);
  return [0, 1, 2, 3].map((i) => reshape(slice(rows, 1, i, i + 1), [-1, 1, 1, 1]));
}
