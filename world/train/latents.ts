/** The pictures' latents, encoded once before the UNet trains on them. */
import { compile } from "../../compile/compile.ts";
import type { ParameterTree } from "../../models/params.ts";
import { toLatent, vaeEncode } from "../../models/vae/vae.ts";
import { tensor } from "../../ops/leaf.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { flatten } from "../../tensor/tree.ts";
import { type Pictures, pixelsOf } from "./pictures.ts";
import type { Workplace } from "./stage.ts";

/** Pictures encoded at a time. */
const AT_ONCE = 32;

/** The latents of all pictures. */
export interface Latents {
  /** Those of the chosen ones, `[n, h, w, c]`. */
  of(chosen: readonly number[]): Tensor;
}

/** Encodes sets of pictures of one size, which are numbered through. */
export async function encodePictures(
  { device, configs, progress, signal }: Workplace,
  vae: ParameterTree,
  sets: readonly Pictures[],
): Promise<Latents> {
  const total = sets.reduce((sum, { count }) => sum + count, 0);
  const encode = compile(
    device,
    (pixels: Tensor) => toLatent(configs.vae, vaeEncode(configs.vae, vae, pixels)),
  );
  const n = Math.min(AT_ONCE, ...sets.map(({ count }) => count));
  let shape: readonly number[] = [], each = 0, all = new Float32Array(0);
  progress?.start("latents", total);
  let start = 0;
  for (const pictures of sets) {
    const { count, size } = pictures;
    for (let at = 0; at < count; at += n) {
      // The last share goes back as far as it must to be whole.
      const from = Math.min(at, count - n);
      const chosen = Array.from({ length: n }, (_, i) => from + i);
      const z = encode(tensor(pixelsOf(pictures, chosen), [n, size, size, 3]));
      if (!each) {
        shape = z.shape.slice(1);
        each = z.size / n;
        all = new Float32Array(total * each);
      }
      all.set(await device.read(z) as Float32Array, (start + from) * each);
      progress?.update(start + from + n);
      signal?.throwIfAborted();
    }
    start += count;
  }
  progress?.stop();
  encode.free();
  return {
    of(chosen) {
      const data = new Float32Array(chosen.length * each);
      chosen.forEach((index, i) =>
        data.set(all.subarray(index * each, (index + 1) * each), i * each)
      );
      return tensor(data, [chosen.length, ...shape]);
    },
  };
}

/** Deviation of each channel of the scaled latents' posteriors, which is the same for all pictures. */
export async function posteriorDeviation(
  { device, configs: { vae: config } }: Workplace,
  vae: ParameterTree,
): Promise<Tensor> {
  const path = config.quantConv ? "quant_conv.bias" : "encoder.conv_out.bias";
  const bias = await device.read(new Map(flatten<Tensor>(vae)).get(path)!) as Float32Array;
  const logVariance = bias.subarray(config.latentChannels);
  return tensor(logVariance.map((v) => Math.exp(v / 2) * config.scalingFactor), [
    logVariance.length,
  ]);
}
