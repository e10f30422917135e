/**
 * The denoiser of Stable Diffusion 1, 2 and XL (`UNet2DConditionModel`): a pure function of its parameters, a noisy
 * latent, a timestep and a prompt. Down to the coarsest level, a middle, and up again past what was kept on the way.
 */
import { Tensor } from "../../tensor/tensor.ts";
import { flatten, refill } from "../../tensor/tree.ts";
import { ShapeError, show } from "../../tensor/shape.ts";
import { silu } from "../../ops/elementwise/activation.ts";
import { add } from "../../ops/elementwise/arithmetic.ts";
import { cast } from "../../ops/elementwise/cast.ts";
import { input } from "../../ops/leaf.ts";
import { concat } from "../../ops/concat.ts";
import { reshape } from "../../ops/movement.ts";
import type { AttentionHook } from "./attention_hook.ts";
import { convLayer, groupNormLayer } from "../layers.ts";
import { declare, Parameters, type ParameterSpecs, type ParameterTree } from "../params.ts";
import { downsample, resnet, upsample } from "./resnet.ts";
import { embedded, sinusoids } from "./time_embedding.ts";
import {
  type KeysAndValues,
  type Prompt,
  type PromptKeys,
  spatialTransformer,
} from "./transformer.ts";
import { SIZE_NUMBERS, type UNetConfig } from "./config.ts";

export type { KeysAndValues, Prompt, PromptKeys } from "./transformer.ts";
export { type AddedConfig, SIZE_NUMBERS, type UNetConfig, unetConfig } from "./config.ts";

/** A part of a model that maps tensors to a tensor. */
export type Block = (...inputs: Tensor[]) => Tensor;

/** What Stable Diffusion XL is told besides the prompt's features (Podell et al. 2023, §2.2). */
export interface AddedConditions {
  /** The prompt in one vector, `[B, pooledWidth]`. */
  readonly pooled: Tensor;
  /**
   * Height and width of the picture before it was cut, top and left of the cut, height and width after, in pixels:
   * f32 `[B, 6]`.
   */
  readonly sizes: Tensor;
}

/** Options of {@linkcode unet}. */
export interface UNetOptions {
  /** Needed by models whose config has `added`, refused by others. */
  readonly added?: AddedConditions;
  /** Training: no gradient reaches the prompt's keys and values from position 0. The forward pass is unchanged. */
  readonly cutStartToken?: boolean;
  /** Called for each residual and transformer block, by its parameters' path: to checkpoint it, for one. */
  readonly wrap?: (name: string, block: Block) => Block;
  /** Sees and changes what is attended to. Layers that it does not concern are computed as without it. */
  readonly attention?: AttentionHook;
  /** @internal Told the keys and values that are computed of a prompt's features. */
  readonly onKeys?: (path: string, made: KeysAndValues) => void;
}

/**
 * What the model answers (ε or v, as it was trained to).
 *
 * @param params tree with the checkpoint's names
 * @param sample noisy latents, NHWC f32 `[B, h, w, inChannels]`; h and w divisible by 2^(levels − 1)
 * @param timesteps f32 `[B]`
 * @param context features of the prompt, `[B, T, contextWidth]`, or what {@linkcode promptKeys} makes of them
 * @returns `[B, h, w, outChannels]`
 * @throws ParameterError, ShapeError
 */
export function unet(
  config: UNetConfig,
  params: ParameterTree | Parameters,
  sample: Tensor,
  timesteps: Tensor,
  context: Prompt,
  options: UNetOptions = {},
): Tensor {
  checkInputs(config, sample, timesteps, context);
  checkAdded(config, sample.shape[0], options.added);
  const { channels, layersPerBlock } = config;
  const top = channels.length - 1;
  const p = Parameters.of(params, "unet");
  const time = silu(timeEmbedding(config, p, timesteps, options.added));
  // Every layer gives the element type that it is given.
  const given = (t: Tensor) => cast(t, config.activations ?? "f32");
  const [shown, prompt] = [given(sample), context instanceof Tensor ? given(context) : context];
  const { residual, transformer } = blocks(config, p, time, prompt, options);

  let x = convLayer(p.at("conv_in"), shown, channels[0]);
  const kept = [x];
  for (let level = 0; level <= top; level++) {
    const path = `down_blocks.${level}`;
    for (let i = 0; i < layersPerBlock; i++) {
      x = residual(`${path}.resnets.${i}`, x, channels[level]);
      if (config.downAttention[level]) x = transformer(`${path}.attentions.${i}`, x, level);
      kept.push(x);
    }
    if (level < top) kept.push(x = downsample(p.at(path), x, 1));
  }

  x = residual("mid_block.resnets.0", x, channels[top]);
  x = transformer("mid_block.attentions.0", x, top);
  x = residual("mid_block.resnets.1", x, channels[top]);

  for (let i = 0; i <= top; i++) {
    const path = `up_blocks.${i}`;
    const level = top - i;
    for (let j = 0; j <= layersPerBlock; j++) {
      x = residual(`${path}.resnets.${j}`, concat([x, kept.pop()!], 3), channels[level]);
      if (config.upAttention[i]) x = transformer(`${path}.attentions.${j}`, x, level);
    }
    if (i < top) x = upsample(p.at(path), x);
  }
  x = silu(groupNormLayer(p.at("conv_norm_out"), x, config.groups, config.eps));
  return convLayer(p.at("conv_out"), x, config.outChannels, { dtype: "f32" });
}

/**
 * What the model makes of a prompt alone: where it is asked many times about one prompt, this is computed once.
 *
 * @param context features of the prompt, `[B, T, contextWidth]`
 * @throws ParameterError, ShapeError
 */
export function promptKeys(
  config: UNetConfig,
  params: ParameterTree | Parameters,
  context: Tensor,
): PromptKeys {
  const keys: Record<string, KeysAndValues> = {};
  const { sample, timesteps, added } = nothing(config, context.shape[0]);
  const onKeys = (path: string, made: KeysAndValues) => keys[path] = made;
  // The rest of the model is no part of what is computed: nothing of it is reached from here.
  unet(config, params, sample, timesteps, context, { added, onKeys });
  return keys;
}

/** The embedding of timesteps and of what is added to them, `[B, 4·channels[0]]`. */
function timeEmbedding(
  config: UNetConfig,
  p: Parameters,
  timesteps: Tensor,
  added: AddedConditions | undefined,
): Tensor {
  const [width] = config.channels;
  const time = embedded(p.at("time_embedding"), sinusoids(timesteps, width), 4 * width);
  if (!config.added || !added) return time;
  const { sizeWidth } = config.added;
  const sizes = sinusoids(reshape(added.sizes, [-1]), sizeWidth);
  const rows = reshape(sizes, [timesteps.shape[0], SIZE_NUMBERS * sizeWidth]);
  return add(time, embedded(p.at("add_embedding"), concat([added.pooled, rows], 1), 4 * width));
}

/** The two kinds of block, wrapped as the caller wants. */
function blocks(
  config: UNetConfig,
  p: Parameters,
  time: Tensor,
  prompt: Prompt,
  { wrap = (_, block) => block, cutStartToken = false, attention, onKeys }: UNetOptions,
) {
  const { groups, eps, linearProjection } = config;
  const told = flatten<Tensor>(prompt).map(([, t]) => t);
  return {
    residual: (path: string, x: Tensor, out: number) =>
      wrap(path, (x, time) => resnet(p.at(path), x, time, out, { groups, eps }))(x, time),
    transformer: (path: string, x: Tensor, level: number) => {
      const heads = config.heads[level];
      const depth = config.depth[level];
      const shape = { heads, depth, groups, linearProjection, cutStartToken, attention, onKeys };
      const block: Block = (x, ...told) =>
        spatialTransformer(p.at(path), x, refill<Tensor>(prompt, told) as Prompt, shape);
      return wrap(path, block)(x, ...told);
    },
  };
}

function checkInputs(config: UNetConfig, sample: Tensor, timesteps: Tensor, context: Prompt): void {
  const [b, h, w, c] = sample.shape;
  const grain = 2 ** (config.channels.length - 1);
  if (sample.shape.length !== 4 || c !== config.inChannels || h % grain || w % grain) {
    throw new ShapeError(
      "unet",
      `the sample is ${
        show(sample.spec)
      }; expected [B,h,w,${config.inChannels}] with h and w divisible by ${grain}`,
    );
  }
  if (timesteps.shape.length !== 1 || timesteps.shape[0] !== b) {
    throw new ShapeError("unet", `the timesteps are ${show(timesteps.spec)}; expected f32[${b}]`);
  }
  if (!(context instanceof Tensor)) return;
  const [cb, , width] = context.shape;
  if (context.shape.length !== 3 || cb !== b || width !== config.contextWidth) {
    throw new ShapeError(
      "unet",
      `the context is ${show(context.spec)}; expected [${b},T,${config.contextWidth}]`,
    );
  }
}

function checkAdded(config: UNetConfig, b: number, added: AddedConditions | undefined): void {
  if (!config.added) {
    if (!added) return;
    throw new ShapeError("unet", "added conditions were given; the model's config has none");
  }
  const wanted = { pooled: config.added.pooledWidth, sizes: SIZE_NUMBERS };
  for (const [name, width] of Object.entries(wanted)) {
    const found = added?.[name as keyof AddedConditions];
    if (found && found.dtype !== "u32" && found.shape.join() === `${b},${width}`) continue;
    const is = found ? show(found.spec) : "missing";
    throw new ShapeError("unet", `added.${name} is ${is}; expected f32[${b},${width}]`);
  }
}

/** What a UNet is asked about, without values: enough to trace it. */
function nothing(config: UNetConfig, batch: number) {
  const side = 2 ** (config.channels.length - 1);
  const given = (...shape: number[]) => input({ shape, dtype: "f32" }, 0);
  return {
    sample: given(batch, side, side, config.inChannels),
    timesteps: given(batch),
    context: given(batch, 1, config.contextWidth),
    added: config.added && {
      pooled: given(batch, config.added.pooledWidth),
      sizes: given(batch, SIZE_NUMBERS),
    },
  };
}

/** Names and PyTorch shapes of a UNet's parameters. */
export function unetSpecs(config: UNetConfig): ParameterSpecs {
  const { sample, timesteps, context, added } = nothing(config, 1);
  return declare("unet", (p) => unet(config, p, sample, timesteps, context, { added }));
}
