/**
 * Stage `unet`: the denoiser on cached latents, and the text encoder with it, at half the rate. Half of the pictures show
 * made-up kinds (see `kinds.ts`). Some captions are empty, for classifier-free guidance (Ho & Salimans 2021). A timestep
 * is drawn as often as min-SNR weighs it (Hang et al. 2023; steps with hardly any noise teach little), and form is harder
 * than background: the patches that a thing covers get more of the loss, until three quarters of the steps are done,
 * since a weight that depends on the picture also pulls things to be larger.
 */
import type { Random } from "../../numerics/random.ts";
import { type NoiseSchedule, noising, target } from "../../diffusion/samplers/schedule.ts";
import { clipText } from "../../models/clip/text.ts";
import { unet, unetSpecs } from "../../models/unet/unet.ts";
import { add, mul, square, sub } from "../../ops/elementwise/arithmetic.ts";
import { tensor } from "../../ops/leaf.ts";
import { concat, upsampleNearest } from "../../ops/concat.ts";
import { randomNormal } from "../../ops/random.ts";
import { mean } from "../../ops/reduce.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { flatten, unflatten } from "../../tensor/tree.ts";
import { KIND_WORD } from "../captions.ts";
import { leavesOf, readWeights, TABLE, writeWeights } from "./folder.ts";
import { initialize, torchLayers } from "./initialize.ts";
import { kindRows } from "./kinds.ts";
import { encodePictures, posteriorDeviation } from "./latents.ts";
import { linearRate, runStage } from "./loop.ts";
import { coverWeights, type Pictures } from "./pictures.ts";
import { Captions, drawPictures, drawsOf, keyOf, runOf, seedOf, type Workplace } from "./stage.ts";
import type { Losses } from "./step.ts";

/** Seed of the first picture of a kind. */
const FIRST_KIND = 2_000_000;
/** The text encoder's rate, in those of the UNet. */
const TEXT_RATE = 0.5;
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

/** Trains UNet and text encoder and writes the averaged weights of both. */
export async function trainUnet(place: Workplace): Promise<void> {
  const { device, out, configs, settings: { unet: settings } } = place;
  const vae = await readWeights(device, out, "vae", configs.vae, "vae");
  // Not from text_encoder/, which this stage writes: run again, it would start from its own end.
  const text = await readWeights(device, out, "clip", configs.text_encoder, "clip");
  const shown = await picturesWithKinds(place);
  const latents = await encodePictures(place, vae, shown.sets);
  const deviation = await posteriorDeviation(place, vae);
  device.free(...leavesOf(vae));
  const { width, vocabulary } = configs.text_encoder;
  const textConfig = { ...configs.text_encoder, vocabulary: vocabulary + settings.kinds };
  const rows = device.upload(kindRows(settings.kinds, width), [settings.kinds, width], "f32");
  const kindToken = place.tokenizer.addToken(KIND_WORD);
  const captions = new Captions(place);
  const timestep = drawBy(timestepOdds(configs.schedule));
  const picture = drawBy(pictureOdds(shown.labels));
  const trained = await runStage<UnetBatch>(device, {
    stage: "unet",
    ...settings,
    rate: linearRate(settings.rate, settings.steps, settings.warmUp, DOWN_FROM),
    beta2: 0.99,
    decay: 0.01,
    clip: 1,
    average: 0.999,
    params: {
      ...initialize(unetSpecs(configs.unet), seedOf(place, "unet"), torchLayers),
      ...Object.fromEntries(flatten<Tensor>(text)),
    },
    scale: (path) => path.startsWith("text_model.") ? TEXT_RATE : 1,
    run: runOf(place, "unet"),
    loss(parameters, { clean, ids, timesteps, factors, weights, key }): Losses {
      const draw = (stream: number) => randomNormal(key, clean.shape, { stream });
      const x = add(clean, mul(draw(0), deviation));
      const noise = draw(1);
      // The kinds' rows stand at the end of the table, where those of new tokens stand, and don't learn.
      const table = concat([parameters[TABLE], rows], 0);
      const params = unflatten(Object.entries({ ...parameters, [TABLE]: table }));
      const { hidden } = clipText(textConfig, params, ids);
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
        const caption = random.pick(shown.captions[i]);
        return random.uniform() < EMPTY ? "" : caption;
      });
      const drawn = chosen.map(() => timestep(random));
      return {
        clean: latents.of(chosen),
        ids: captions.ids(
          words,
          (id, i) => id === kindToken ? vocabulary + shown.labels[chosen[i]].kind : id,
        ),
        ...noiseAt(configs.schedule, drawn),
        weights: coverWeights(shown, chosen, emphasis(step / settings.steps)),
        key: keyOf(place, "unet", step),
      };
    },
  }, place);
  await writeWeights(device, out, "unet", configs.unet, trained);
  await writeWeights(device, out, "text_encoder", configs.text_encoder, trained);
  device.free(...Object.values(trained), ...leavesOf(text), rows);
}

/** The pictures that all stages train on and those of kinds, as sets, and numbered through. */
async function picturesWithKinds(place: Workplace) {
  const { pictures, settings: { unet: { kinds, kindPictures: count } } } = place;
  const { size } = pictures;
  const ofKinds = await drawPictures(place, { count, size, kinds, first: FIRST_KIND });
  const cover = new Uint8Array(pictures.cover.length + ofKinds.cover.length);
  cover.set(pictures.cover);
  cover.set(ofKinds.cover, pictures.cover.length);
  return {
    sets: [pictures, ofKinds],
    size,
    cover,
    captions: [...pictures.captions, ...ofKinds.captions],
    labels: [...pictures.labels, ...ofKinds.labels],
  };
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

/**
 * Odds of the pictures: one plain thing in a photo, which most prompts ask for, comes more often than in the world, and
 * a kind every other time.
 */
function pictureOdds(labels: Pictures["labels"]): number[] {
  const odds = labels.map(({ style, texture, relation }) =>
    STYLE_ODDS[style] * (texture === 0 ? 1 : 0.4) * (relation === -1 ? 1 : 0.5)
  );
  const sums = [0, 0];
  const part = (i: number) => labels[i].kind === undefined ? 0 : 1;
  odds.forEach((odd, i) => sums[part(i)] += odd);
  return odds.map((odd, i) => odd / sums[part(i)]);
}

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
