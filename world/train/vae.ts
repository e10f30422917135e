/**
 * Stage `vae`: the encoder in closed form, then the decoder on its latents by L1 + L2 + gradient loss. One picture in
 * eight gets its colour channels shuffled, so that colours outside the world's palette survive too: the concepts that
 * will be taught have some.
 */
import type { Random } from "../../numerics/random.ts";
import type { Named } from "../../autograd/optimizer.ts";
import { evaluate } from "../../compile/compile.ts";
import type { VaeConfig } from "../../models/vae/vae.ts";
import { vaeDecode, vaeEncode, vaeSpecs } from "../../models/vae/vae.ts";
import { abs, add, div, exp, mul, square, sub } from "../../ops/elementwise/arithmetic.ts";
import { tensor } from "../../ops/leaf.ts";
import { upsampleNearest } from "../../ops/concat.ts";
import { slice } from "../../ops/movement.ts";
import { randomNormal } from "../../ops/random.ts";
import { mean } from "../../ops/reduce.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { unflatten } from "../../tensor/tree.ts";
import { closedFormEncoder } from "./encoder.ts";
import { writeWeights } from "./folder.ts";
import { initialize, torchLayers } from "./initialize.ts";
import { cosineRate, runStage } from "./loop.ts";
import { coverWeights, pixelsOf } from "./pictures.ts";
import { choose, drawsOf, keyOf, runOf, seedOf, type Workplace } from "./stage.ts";
import type { Losses } from "./step.ts";

/** Extra weight of what a thing covers: there is what one looks at. */
const EMPHASIS = 2;
/** Pictures that the principal components are computed from. */
const SAMPLE = 2000;

/** A step's data. */
type VaeBatch = {
  /** `[B, S, S, 3]`. */
  readonly pixels: Tensor;
  /** Weights of the patches' errors, `[B, h, w, 1]`. */
  readonly weights: Tensor;
  readonly key: Tensor;
};

/** Trains the autoencoder and writes it. */
export async function trainVae(place: Workplace): Promise<void> {
  const { device, configs: { vae: config }, pictures, settings: { vae: settings } } = place;
  const drawn = initialize(vaeSpecs(config), seedOf(place, "vae"), torchLayers);
  const encoder = evaluate(device, writeEncoder(place, drawn));
  const params = Object.fromEntries(
    Object.entries(drawn).filter(([path]) => !(path in encoder)),
  );
  const trained = await runStage<VaeBatch>(device, {
    stage: "vae",
    ...settings,
    rate: cosineRate(settings.rate, settings.steps, settings.warmUp),
    beta2: 0.99,
    decay: 0.01,
    clip: 1,
    params,
    run: runOf(place, "vae"),
    loss: (decoder, batch) => reconstructionLoss(config, { ...encoder, ...decoder }, batch),
    batch(step) {
      const random = drawsOf(place, "vae", step);
      const chosen = choose(place, random, settings.batch);
      const pixels = pixelsOf(pictures, chosen);
      shuffleColours(pixels, settings.batch, random);
      return {
        pixels: tensor(pixels, [settings.batch, pictures.size, pictures.size, 3]),
        weights: coverWeights(pictures, chosen, EMPHASIS),
        key: keyOf(place, "vae", step),
      };
    },
  }, place);
  const weights = { ...encoder, ...trained };
  await writeWeights(device, place.out, "vae", config, weights);
  device.free(...Object.values(weights));
}

function writeEncoder({ configs, pictures }: Workplace, drawn: Named): Named {
  const n = Math.min(SAMPLE, pictures.count);
  const spread = Array.from({ length: n }, (_, i) => Math.floor(i * pictures.count / n));
  return closedFormEncoder(configs.vae, drawn, pixelsOf(pictures, spread), pictures.size);
}

/** L1 + L2 + half the L1 of neighbours' differences, of what the decoder makes of noisy latents; weighted. */
function reconstructionLoss(
  config: VaeConfig,
  parameters: Named,
  { pixels, weights, key }: VaeBatch,
): Losses {
  const params = unflatten(Object.entries(parameters));
  const { mean: centre, logvar } = vaeEncode(config, params, pixels);
  const noise = randomNormal(key, centre.shape);
  const z = add(centre, mul(exp(mul(logvar, 0.5)), noise));
  const error = sub(vaeDecode(config, params, z), pixels);
  const patches = div(weights, mean(weights));
  const weight = upsampleNearest(patches, pixels.shape[1] / weights.shape[1]);
  const weighted = (e: Tensor, axis?: number) =>
    mean(mul(e, axis ? slice(weight, axis, 1, weight.shape[axis]) : weight));
  const l1 = weighted(abs(error)), l2 = weighted(square(error));
  const edge = (axis: number) => weighted(abs(difference(error, axis)), axis);
  return { loss: add(add(l1, l2), mul(add(edge(1), edge(2)), 0.5)), l1, l2 };
}

/** Differences of neighbours along an axis. */
const difference = (x: Tensor, axis: number): Tensor =>
  sub(slice(x, axis, 1, x.shape[axis]), slice(x, axis, 0, x.shape[axis] - 1));

const ORDERS = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/** Permutes the colours of one picture in eight, in place. */
function shuffleColours(pixels: Float32Array, batch: number, random: Random): void {
  const each = pixels.length / batch;
  for (let b = 0; b < batch; b++) {
    if (random.uniform() >= 0.125) continue;
    const order = random.pick(ORDERS);
    for (let i = b * each; i < (b + 1) * each; i += 3) {
      const colour = pixels.slice(i, i + 3);
      order.forEach((from, to) => pixels[i + to] = colour[from]);
    }
  }
}
