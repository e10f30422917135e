/** Pictures as a transformer reads them: CLIP's image encoder and DINO begin alike, under other names. */
import { add } from "../ops/elementwise/arithmetic.ts";
import { cast } from "../ops/elementwise/cast.ts";
import { expand } from "../ops/broadcast.ts";
import { concat } from "../ops/concat.ts";
import { reshape } from "../ops/movement.ts";
import { ShapeError, show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { convLayer } from "./layers.ts";
import type { Parameters } from "./params.ts";

/** Sizes of pictures and patches. */
export interface PatchConfig {
  /** Height and width of the pictures. */
  readonly imageSize: number;
  /** Height and width of a patch, in pixels. */
  readonly patchSize: number;
  /** Channels of the pictures. */
  readonly inChannels: number;
  /** Features of a token. */
  readonly width: number;
}

/** Where a checkpoint has the parts, and how it stores them. */
export interface PatchNames {
  /** The convolution that cuts the patches, and whether it has a bias. */
  readonly projection: string;
  readonly bias: boolean;
  /** The class token. */
  readonly start: string;
  readonly startShape: readonly number[];
  /** The places' vectors, class token first. */
  readonly places: string;
  readonly placesShape: readonly number[];
}

/** How many tokens a picture becomes, class token and all. */
export const patchTokens = ({ imageSize, patchSize }: PatchConfig): number =>
  (imageSize / patchSize) ** 2 + 1;

/**
 * Patches in reading order behind a class token, each with its place's vector added.
 *
 * @param model what to call the model in errors
 * @param pixels NHWC `[B, imageSize, imageSize, inChannels]`
 * @returns `[B, 1 + patches, width]`
 * @throws ParameterError, ShapeError
 */
export function embedPatches(
  model: string,
  config: PatchConfig,
  p: Parameters,
  names: PatchNames,
  pixels: Tensor,
): Tensor {
  const { imageSize: size, patchSize: kernel, width, inChannels } = config;
  const [b, h, w, c] = pixels.shape;
  if (pixels.shape.length !== 4 || h !== size || w !== size || c !== inChannels) {
    throw new ShapeError(model, `${show(pixels.spec)}; expected [B,${size},${size},${inChannels}]`);
  }
  const cut = { kernel, stride: kernel, padding: 0, bias: names.bias };
  const patches = convLayer(p.at(names.projection), pixels, width, cut);
  const start = reshape(cast(p.take(names.start, names.startShape), "f32"), [1, 1, width]);
  const places = cast(p.take(names.places, names.placesShape), "f32");
  const tokens = [
    expand(start, [b, 1, width]),
    reshape(patches, [b, patchTokens(config) - 1, width]),
  ];
  return add(concat(tokens, 1), places);
}
