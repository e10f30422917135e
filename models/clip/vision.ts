/**
 * CLIP's image encoder, the two halves together, and heads on the image encoder that name what a picture shows: what
 * samples are scored with.
 */
import type { Tensor } from "../../tensor/tensor.ts";
import { input } from "../../ops/leaf.ts";
import { reshape, slice } from "../../ops/movement.ts";
import { clipEncoder, type ClipEncoderConfig, clipEncoderConfig } from "./encoder.ts";
import {
  clipText,
  type ClipTextConfig,
  clipTextConfig,
  clipTextSpecs,
  projectText,
} from "./text.ts";
import { ConfigReader } from "../config.ts";
import { layerNormLayer, linearLayer } from "../layers.ts";
import { embedPatches, patchTokens } from "../patches.ts";
import { declare, Parameters, type ParameterSpecs, type ParameterTree } from "../params.ts";

/** A CLIP image encoder. */
export interface ClipVisionConfig extends ClipEncoderConfig {
  /** Tells configs apart. */
  readonly kind: "clip_vision";
  /** Height and width of the pictures. */
  readonly imageSize: number;
  /** Height and width of a patch, in pixels. */
  readonly patchSize: number;
  /** Channels of the pictures: 3. */
  readonly inChannels: number;
  /** Width of the space that is shared with prompts. */
  readonly projection: number;
  /** Labels of each classification head, where there are any. */
  readonly labels: Readonly<Record<string, readonly string[]>>;
}

/** Text and image encoder with projections into one space. */
export interface ClipConfig {
  /** Tells configs apart. */
  readonly kind: "clip";
  /** The text encoder. */
  readonly text: ClipTextConfig;
  /** The image encoder. */
  readonly vision: ClipVisionConfig;
}

/**
 * Reads the `config.json` of an image encoder. `heads: {name: {labels: […]}}`, an addition of this project, gives it
 * linear heads on the pooled feature.
 *
 * @throws FileError naming the field that is wrong or asks for what is not supported
 */
export function clipVisionConfig(config: unknown, file = "config.json"): ClipVisionConfig {
  const c = new ConfigReader(config, file);
  c.only("model_type", "clip_vision_model");
  const read: ClipVisionConfig = {
    ...clipEncoderConfig(c, { width: 768, mlpWidth: 3072, heads: 12 }),
    kind: "clip_vision",
    imageSize: c.count("image_size", 224),
    patchSize: c.count("patch_size", 32),
    inChannels: c.count("num_channels", 3),
    projection: c.count("projection_dim", 512),
    labels: labelsOf(c),
  };
  c.demand(
    read.imageSize % read.patchSize === 0,
    `has an image_size of ${read.imageSize}, no multiple of its patch_size ${read.patchSize}`,
  );
  return read;
}

function labelsOf(c: ConfigReader): Record<string, string[]> {
  const heads = (c.raw("heads") ?? {}) as Record<string, { labels?: unknown }>;
  return Object.fromEntries(
    Object.entries(heads).map(([name, { labels }]) => {
      const fine = Array.isArray(labels) && labels.every((l) => typeof l === "string");
      return [name, fine ? labels as string[] : c.refuse("heads", "labels: a list of words")];
    }),
  );
}

/**
 * Reads the `config.json` of a whole CLIP.
 *
 * @throws FileError naming the field that is wrong or asks for what is not supported
 */
export function clipConfig(config: unknown, file = "config.json"): ClipConfig {
  const c = new ConfigReader(config, file);
  c.only("model_type", "clip");
  const projection = c.count("projection_dim", 512);
  return {
    kind: "clip",
    text: { ...clipTextConfig(c.raw("text_config") ?? {}, file), projection },
    vision: { ...clipVisionConfig(c.raw("vision_config") ?? {}, file), projection },
  };
}

/** Features of pictures. */
export interface VisionFeatures {
  /** Before the last layer norm: `[B, 1 + patches, width]`, the class token first. */
  readonly hidden: Tensor;
  /** The class token after the last layer norm: `[B, width]`. */
  readonly pooled: Tensor;
}

/**
 * @param pixels NHWC `[B, imageSize, imageSize, 3]`, normalized as the preprocessor config says
 * @throws ParameterError, ShapeError
 */
export function clipVision(
  config: ClipVisionConfig,
  params: ParameterTree | Parameters,
  pixels: Tensor,
): VisionFeatures {
  const { width } = config, count = patchTokens(config);
  const p = Parameters.of(params, "clip").at("vision_model");
  const tokens = embedPatches("clipVision", config, p.at("embeddings"), {
    ...{ projection: "patch_embedding", bias: false },
    ...{ start: "class_embedding", startShape: [width] },
    ...{ places: "position_embedding.weight", placesShape: [count, width] },
  }, pixels);
  const placed = layerNormLayer(p.at("pre_layrnorm"), tokens, config.eps);
  const hidden = clipEncoder(p.at("encoder"), placed, config, { causal: false }).at(-1)!;
  const first = reshape(slice(hidden, 1, 0, 1), [pixels.shape[0], width]);
  return { hidden, pooled: layerNormLayer(p.at("post_layernorm"), first, config.eps) };
}

/** The vector of each picture that CLIP compares with prompts, not normalized: `[B, projection]`. */
export function embedImages(
  config: ClipConfig,
  params: ParameterTree | Parameters,
  pixels: Tensor,
): Tensor {
  const { pooled } = clipVision(config.vision, params, pixels);
  const p = Parameters.of(params, "clip").at("visual_projection");
  return linearLayer(p, pooled, config.vision.projection, { bias: false });
}

/** The vector of each prompt that CLIP compares with pictures, not normalized: `[B, projection]`. */
export function embedPrompts(
  config: ClipConfig,
  params: ParameterTree | Parameters,
  ids: Tensor,
): Tensor {
  return projectText(config.text, params, clipText(config.text, params, ids).pooled);
}

/** Logits of every head, `[B, labels]`, by the head's name. */
export function classify(
  config: ClipVisionConfig,
  params: ParameterTree | Parameters,
  pixels: Tensor,
): Record<string, Tensor> {
  const { pooled } = clipVision(config, params, pixels);
  const p = Parameters.of(params, "classifier").at("heads");
  return Object.fromEntries(
    Object.entries(config.labels).map(([name, { length }]) => [
      name,
      linearLayer(p.at(name), pooled, length),
    ]),
  );
}

const onePicture = ({ imageSize, inChannels }: ClipVisionConfig): Tensor =>
  input({ shape: [1, imageSize, imageSize, inChannels], dtype: "f32" }, 0);

/** Names and PyTorch shapes of an image encoder's parameters and those of its heads. */
export function clipVisionSpecs(config: ClipVisionConfig): ParameterSpecs {
  return declare("classifier", (p) => classify(config, p, onePicture(config)));
}

/** Names and PyTorch shapes of a whole CLIP's parameters. The temperature of its training is not among them. */
export function clipSpecs(config: ClipConfig): ParameterSpecs {
  const rest = declare("clip", (p) => {
    embedImages(config, p, onePicture(config.vision));
    const pooled = input({ shape: [1, config.text.width], dtype: "f32" }, 0);
    projectText(config.text, p, pooled);
  });
  return new Map([...clipTextSpecs(config.text), ...rest]);
}
