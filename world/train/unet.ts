/**
 * Stage `unet`: the denoiser on cached latents, with the frozen text encoder; some captions are empty, for
 * classifier-free guidance (Ho & Salimans 2021). A timestep is drawn as often as min-SNR weighs it (Hang et al. 2023;
 * steps with hardly any noise teach little), and form is harder than background: the patches that a thing covers get
 * more of the loss, until three quarters of the steps are done, since a weight that depends on the picture also pulls
 * things to be larger.
 */
import type { Random } from "../../numerics/random.ts";
import { compile } from "../../compile/compile.ts";
import { type NoiseSchedule, noising, target } from "../../diffusion/schedule.ts";
import { clipText } from "../../models/clip_text.ts";
import type { ParameterTree } from "../../models/params.ts";
import { unet, unetSpecs } from "../../models/unet.ts";
import { toLatent, vaeEncode } from "../../models/vae.ts";
import { add, mul, square, sub } from "../../ops/arithmetic.ts";
import { tensor } from "../../ops/leaf.ts";
import { upsampleNearest } from "../../ops/movement.ts";
import { randomNormal } from "../../ops/random.ts";
import { mean } from "../../ops/reduce.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { flatten, unflatten } from "../../tensor/tree.ts";
import { leavesOf, readWeights, writeWeights } from "./folder.ts";
import { initialize, torchLayers } from "./initialize.ts";
import { linearRate, runStage } from "./loop.ts";
import { coverWeights, pixelsOf } from "./pictures.ts";
import { Captions, drawsOf, keyOf, runOf, seedOf, type Workplace } from "./stage.ts";
import type { Losses } from "./step.ts";

/** Share of captions left empty. */
const EMPTY = 0.1;
/** Share of the steps after which the rate comes down. */
const DOWN_FROM = 0.45;
/** Signal-to-noise ratio beyond which a timestep is drawn less often, and how often it is drawn at least. */
const SNR = 5, LEAST = 0.05;
/** How often a picture of each style is drawn, in the order of `STYLES`. */
const STYLE_ODDS = [1, 0.25, 0.25, 0.6];
/** Extra weight of a patch that a thing covers at the start, and the share of the steps after which it is gone. */
const EMPHASIS = 2, EMPHASIS_UNTIL = 0.75;
/** Pictures encoded at a time. */
const AT_ONCE = 32;

/** A step's data. */
type UnetBatch = {
  /** Means of the pictures' latents, scaled, `[B, h, w, c]`. */
  readonly clean: Tensor;
  readonly ids: Tensor;
  /** f32 `[B]`. */
  readonly timesteps: Tensor;
  /** Factors of picture and noise in the sample and in the target: `[4, B, 1, 1, 1]`, one tensor each. */
  readonly factors: { readonly [name: string]: Tensor };
  /** Weights of the error, `[B, h, w, 1]`. */
  readonly weights: Tensor;
  readonly key: Tensor;
};

/** Trains the UNet and writes its averaged weights. */
export async function trainUnet(place: Workplace): Promise<void> {
  const { device, out, configs, settings: { unet: settings } } = place;
  const vae = await readWeights(device, out, "vae", configs.vae, "vae");
  const text = await readWeights(device, out, "text_encoder", configs.text_encoder, "clip");
  const latents = await encodePictures(place, vae);
  const deviation = await posteriorDeviation(place, vae);
  device.free(...leavesOf(vae));
  const captions = new Captions(place);
  const timestep = drawBy(timestepOdds(configs.schedule));
  const picture = drawBy(pictureOdds(place));
  const trained = await runStage<UnetBatch>(device, {
    stage: "unet",
    ...settings,
    rate: linearRate(settings.rate, settings.steps, settings.warmUp, DOWN_FROM),
    beta2: 0.99,
    decay: 0.01,
    clip: 1,
    average: 0.999,
    params: initialize(unetSpecs(configs.unet), seedOf(place, "unet"), torchLayers),
    run: runOf(place, "unet"),
    loss(parameters, { clean, ids, timesteps, factors, weights, key }): Losses {
      const draw = (stream: number) => randomNormal(key, clean.shape, { stream });
      const x = add(clean, mul(draw(0), deviation));
      const noise = draw(1);
      const { hidden } = clipText(configs.text_encoder, text, ids);
      const params = unflatten(Object.entries(parameters));
      const sample = add(mul(x, factors.signal), mul(noise, factors.noise));
      const answer = unet(configs.unet, params, sample, timesteps, hidden);
      const wanted = add(mul(x, factors.wantedSignal), mul(noise, factors.wantedNoise));
      // A patch is one latent of the miniature's autoencoder, and several of one that shrinks less.
      const each = upsampleNearest(weights, answer.shape[1] / weights.shape[1]);
      return { loss: mean(mul(square(sub(answer, wanted)), each)) };
    },
    batch(step) {
      const random = drawsOf(place, "unet", step);
      const chosen = Array.from({ length: settings.batch }, () => picture(random));
      const words = chosen.map((i) => {
        const caption = random.pick(place.pictures.captions[i]);
        return random.uniform() < EMPTY ? "" : caption;
      });
      const drawn = chosen.map(() => timestep(random));
      return {
        clean: latents.of(chosen),
        ids: captions.ids(words),
        ...noiseAt(configs.schedule, drawn),
        weights: coverWeights(place.pictures, chosen, emphasis(step / settings.steps)),
        key: keyOf(place, "unet", step),
      };
    },
  }, place);
  await writeWeights(device, out, "unet", configs.unet, trained);
  device.free(...Object.values(trained), ...leavesOf(text));
}

/** Extra weight of what a thing covers when a share of the steps is done. */
const emphasis = (progress: number): number =>
  EMPHASIS * Math.max(0, 1 - progress / EMPHASIS_UNTIL);

/** Timesteps and the factors that go with them. */
function noiseAt(
  schedule: NoiseSchedule,
  timesteps: readonly number[],
): Pick<UnetBatch, "timesteps" | "factors"> {
  const column = (f: (t: number) => number) =>
    tensor(Float32Array.from(timesteps, f), [timesteps.length, 1, 1, 1]);
  return {
    timesteps: tensor(Float32Array.from(timesteps), [timesteps.length]),
    factors: {
      signal: column((t) => noising(schedule, t).signal),
      noise: column((t) => noising(schedule, t).noise),
      wantedSignal: column((t) => target(schedule, t).clean),
      wantedNoise: column((t) => target(schedule, t).noise),
    },
  };
}

/** Odds of the timesteps: min-SNR's. */
const timestepOdds = ({ alphaBars }: NoiseSchedule): number[] =>
  Array.from(alphaBars, (a) => Math.min(1, SNR * (1 - a) / a) + LEAST);

/** Odds of the pictures: one plain thing in a photo, which most prompts ask for, comes more often than in the world. */
const pictureOdds = ({ pictures }: Workplace): number[] =>
  pictures.labels.map(({ style, texture, relation }) =>
    STYLE_ODDS[style] * (texture === 0 ? 1 : 0.4) * (relation === -1 ? 1 : 0.5)
  );

/** Draws index i with odds `weights[i]`. */
function drawBy(weights: readonly number[]): (random: Random) => number {
  let total = 0;
  const sums = weights.map((w) => total += w);
  return (random) => {
    const u = random.uniform() * total;
    let low = 0, high = sums.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sums[middle] > u) high = middle;
      else low = middle + 1;
    }
    return low;
  };
}

/** The latents of all pictures. */
interface Latents {
  /** Those of the chosen ones, `[n, h, w, c]`. */
  of(chosen: readonly number[]): Tensor;
}

async function encodePictures(
  { device, configs, pictures, progress, signal }: Workplace,
  vae: ParameterTree,
): Promise<Latents> {
  const { count, size } = pictures;
  const encode = compile(
    device,
    (pixels: Tensor) => toLatent(configs.vae, vaeEncode(configs.vae, vae, pixels)),
  );
  const n = Math.min(AT_ONCE, count);
  let shape: readonly number[] = [], each = 0, all = new Float32Array(0);
  progress?.start("latents", count);
  for (let at = 0; at < count; at += n) {
    // The last share goes back as far as it must to be whole.
    const from = Math.min(at, count - n);
    const chosen = Array.from({ length: n }, (_, i) => from + i);
    const z = encode(tensor(pixelsOf(pictures, chosen), [n, size, size, 3]));
    if (!each) {
      shape = z.shape.slice(1);
      each = z.size / n;
      all = new Float32Array(count * each);
    }
    all.set(await device.read(z) as Float32Array, from * each);
    progress?.update(from + n);
    signal?.throwIfAborted();
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
async function posteriorDeviation(
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
