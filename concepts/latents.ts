/**
 * The regularization set, encoded once: its pictures are never resized or moved, so their posteriors (and those of
 * their mirror images) are computed before training and only sampled from in each step.
 */
import { compile } from "../compile/compile.ts";
import { tensor } from "../ops/leaf.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Pipeline } from "../diffusion/pipeline.ts";
import { type Posterior, vaeEncode } from "../models/vae.ts";
import { augment, drawAugmentation } from "./augment.ts";
import type { CaptionedPicture, HostBatch } from "./batches.ts";
import { hostRandom } from "../numerics/random.ts";

/** Posteriors of a set of pictures: picture i upright at 2i, mirrored at 2i + 1. */
export interface LatentSet {
  /** `[h, w, c]` of one picture. */
  readonly shape: readonly number[];
  readonly mean: readonly Float32Array[];
  readonly logvar: readonly Float32Array[];
}

/** The most pictures of the set encoded at a time. */
const AT_ONCE = 8;

/** Pixels that go through the autoencoder at once: its activations are the largest there are. */
const ENCODED_AT_ONCE = 512 * 512;

/** How many pictures of a side to encode at once. */
export const encodedTogether = (size: number): number =>
  Math.max(1, Math.floor(ENCODED_AT_ONCE / size ** 2));

/** How many pictures of the set to encode at once. */
export const setTogether = (size: number): number => Math.min(AT_ONCE, encodedTogether(size));

/** Pictures to their posteriors. */
export const encodingOf =
  ({ config, params }: Pick<Pipeline, "config" | "params">) => (pixels: Tensor): Posterior =>
    vaeEncode(config.vae, params.vae, pixels);

/** Encodes every picture of the set, upright and mirrored, at side `size`. */
export async function encodeRegularization(
  pipeline: Pipeline,
  set: readonly CaptionedPicture[],
  size: number,
): Promise<LatentSet> {
  const { device, config, params } = pipeline;
  const encode = compile(device, encodingOf({ config, params }));
  const pictures = set.flatMap(({ picture }) =>
    [false, true].map((flip) => {
      const draw = drawAugmentation(hostRandom(0), { size, factor: 1, sizes: false, flip: false });
      return augment(picture, { ...draw, flip }).pixels;
    })
  );
  const mean: Float32Array[] = [];
  const logvar: Float32Array[] = [];
  let shape: readonly number[] = [];
  const some = setTogether(size);
  for (let at = 0; at < pictures.length; at += some) {
    const part = pictures.slice(at, at + some);
    const pixels = new Float32Array(some * size * size * 3);
    part.forEach((p, i) => pixels.set(p, i * p.length));
    const posterior = encode(tensor(pixels, [some, size, size, 3]));
    shape = posterior.mean.shape.slice(1);
    for (const [from, to] of [[posterior.mean, mean], [posterior.logvar, logvar]] as const) {
      const all = await device.read(from) as Float32Array;
      const each = all.length / some;
      part.forEach((_, i) => to.push(all.slice(i * each, (i + 1) * each)));
    }
  }
  encode.free();
  return { shape, mean, logvar };
}

/** The posteriors of the chosen pictures, stacked `[B, h, w, c]`. */
export function latentsOf(
  set: LatentSet,
  chosen: HostBatch["regularization"],
): { mean: Tensor; logvar: Tensor } {
  const stack = (from: readonly Float32Array[]) => {
    const parts = chosen.map(({ index, flip }) => from[2 * index + (flip ? 1 : 0)]);
    const data = new Float32Array(parts.length * parts[0].length);
    parts.forEach((p, i) => data.set(p, i * p.length));
    return tensor(data, [parts.length, ...set.shape]);
  };
  return { mean: stack(set.mean), logvar: stack(set.logvar) };
}
