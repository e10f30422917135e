/**
 * Pictures that are never resized or moved, encoded once: those of the regularization set, and the targets too where
 * nothing is augmented. Their posteriors (and those of their mirror images) are computed before training and only
 * sampled from in each step.
 */
import { compile } from "../../compile/compile.ts";
import { tensor } from "../../ops/leaf.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Pipeline } from "../../diffusion/pipeline.ts";
import { type Posterior, vaeEncode } from "../../models/vae/vae.ts";
import { augment, drawAugmentation } from "../data/augment.ts";
import type { KnownPicture } from "../data/batches.ts";
import type { Pixels } from "../data/resample.ts";
import { hostRandom } from "../../numerics/random.ts";

/** Posteriors of a set of pictures: all of them upright, and behind those mirrored where that occurs. */
export interface LatentSet {
  /** How many pictures. */
  readonly count: number;
  /** `[h, w, c]` of one picture. */
  readonly shape: readonly number[];
  readonly mean: readonly Float32Array[];
  readonly logvar: readonly Float32Array[];
}

/** The most of these pictures encoded at a time. */
const AT_ONCE = 8;

/** Pixels that go through the autoencoder at once: its activations are the largest there are. */
const ENCODED_AT_ONCE = 512 * 512;

/** How many pictures of a side to encode at once. */
export const encodedTogether = (size: number): number =>
  Math.max(1, Math.floor(ENCODED_AT_ONCE / size ** 2));

/** How many of these pictures to encode at once. */
export const setTogether = (size: number): number => Math.min(AT_ONCE, encodedTogether(size));

/** Pictures to their posteriors. */
export const encodingOf =
  ({ config, params }: Pick<Pipeline, "config" | "params">) => (pixels: Tensor): Posterior =>
    vaeEncode(config.vae, params.vae, pixels);

/**
 * Encodes square pictures whole, at side `size`.
 *
 * @param flip whether they will be seen mirrored, too
 * @param onPicture called with how many are encoded
 */
export async function encodePictures(
  pipeline: Pipeline,
  set: readonly Pixels[],
  size: number,
  flip: boolean,
  onPicture?: (done: number, total: number) => void,
): Promise<LatentSet> {
  const { device, config, params } = pipeline;
  const encode = compile(device, encodingOf({ config, params }));
  const whole = drawAugmentation(hostRandom(0), { size, factor: 1, sizes: false, flip: false });
  const views = [false, ...flip ? [true] : []].flatMap((flip) =>
    set.map((picture) => ({ picture, draw: { ...whole, flip } }))
  );
  const mean: Float32Array[] = [];
  const logvar: Float32Array[] = [];
  let shape: readonly number[] = [];
  const some = setTogether(size);
  if (views.length) onPicture?.(0, views.length);
  for (let at = 0; at < views.length; at += some) {
    const part = views.slice(at, at + some);
    const pixels = new Float32Array(some * size * size * 3);
    part.forEach(({ picture, draw }, i) =>
      pixels.set(augment(picture, draw).pixels, i * size * size * 3)
    );
    const posterior = encode(tensor(pixels, [some, size, size, 3]));
    shape = posterior.mean.shape.slice(1);
    for (const [from, to] of [[posterior.mean, mean], [posterior.logvar, logvar]] as const) {
      const all = await device.read(from) as Float32Array;
      const each = all.length / some;
      part.forEach((_, i) => to.push(all.slice(i * each, (i + 1) * each)));
    }
    onPicture?.(mean.length, views.length);
  }
  encode.free();
  return { count: set.length, shape, mean, logvar };
}

/** The posteriors of the chosen pictures, stacked `[B, h, w, c]`. */
export function latentsOf(
  set: LatentSet,
  chosen: readonly KnownPicture[],
): { mean: Tensor; logvar: Tensor } {
  const stack = (from: readonly Float32Array[]) => {
    const parts = chosen.map(({ index, flip }) => from[index + (flip ? set.count : 0)]);
    const data = new Float32Array(parts.length * parts[0].length);
    parts.forEach((p, i) => data.set(p, i * p.length));
    return tensor(data, [parts.length, ...set.shape]);
  };
  return { mean: stack(set.mean), logvar: stack(set.logvar) };
}
