/** Batches of looked-at pictures with captions and labels, for CLIP and the classifier, and the heads' loss. */
import type { ClipVisionConfig } from "../../models/clip/vision.ts";
import { linearLayer } from "../../models/layers.ts";
import { Parameters, type ParameterTree } from "../../models/params.ts";
import { add, mul, neg } from "../../ops/elementwise/arithmetic.ts";
import { tensor } from "../../ops/leaf.ts";
import { randomNormal } from "../../ops/random.ts";
import { sum } from "../../ops/broadcast.ts";
import { logSoftmax } from "../../ops/softmax.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { RELATIONS } from "../scene.ts";
import { lookAt } from "./augment.ts";
import { type Captions, choose, drawsOf, keyOf, type Workplace } from "./stage.ts";

/** A step's data. */
export type LookBatch = {
  /** `[B, S, S, 3]`. */
  readonly pixels: Tensor;
  /** Deviation of each picture's noise, `[B, 1, 1, 1]`. */
  readonly noise: Tensor;
  /** A caption each, u32 `[B, T]`. */
  readonly ids: Tensor;
  /** For each head `[B, labels]`: 1/n at the right label of the n pictures that have one, else 0. */
  readonly truth: { readonly [head: string]: Tensor };
  readonly key: Tensor;
};

/** The batch of a stage's step. */
export function lookBatch(
  place: Workplace,
  captions: Captions,
  stage: "clip" | "classifier",
  step: number,
): LookBatch {
  const { pictures, settings, configs } = place;
  const { size } = pictures;
  const n = settings[stage].batch;
  const random = drawsOf(place, stage, step);
  const chosen = choose(place, random, n);
  const pixels = new Float32Array(n * size * size * 3);
  const noise = new Float32Array(n);
  const words = chosen.map((index, i) => {
    const look = lookAt(pictures, index, random);
    pixels.set(look.pixels, i * look.pixels.length);
    noise[i] = look.noise;
    return random.pick(pictures.captions[index]);
  });
  return {
    pixels: tensor(pixels, [n, size, size, 3]),
    noise: tensor(noise, [n, 1, 1, 1]),
    ids: captions.ids(words),
    truth: Object.fromEntries(
      Object.entries(configs.classifier.labels).map(([head, { length }]) => [
        head,
        oneHot(chosen.map((i) => labelOf(pictures.labels[i], head)), length),
      ]),
    ),
    key: keyOf(place, stage, step),
  };
}

/** The label, or −1 for what a scene of two different things leaves ambiguous. */
function labelOf(labels: Readonly<Record<string, number>>, head: string): number {
  const { relation } = labels;
  const one = relation === -1 || relation === RELATIONS.length;
  return one || head === "place" || head === "style" ? labels[head] : -1;
}

function oneHot(labels: readonly number[], length: number): Tensor {
  const data = new Float32Array(labels.length * length);
  const known = labels.filter((l) => l >= 0).length;
  labels.forEach((label, i) => {
    if (label >= 0) data[i * length + label] = 1 / known;
  });
  return tensor(data, [labels.length, length]);
}

/** The pictures with their noise. */
export const noisy = ({ pixels, noise, key }: LookBatch): Tensor =>
  add(pixels, mul(noise, randomNormal(key, pixels.shape)));

/** Cross-entropy of the right label under logits `[B, n]`; `truth` as in {@linkcode LookBatch}. */
export const crossEntropy = (logits: Tensor, truth: Tensor): Tensor =>
  neg(sum(mul(logSoftmax(logits), truth)));

/** Sum over the heads of their cross-entropy, from the pooled feature `[B, width]`. */
export function headsLoss(
  config: ClipVisionConfig,
  params: ParameterTree,
  pooled: Tensor,
  truth: LookBatch["truth"],
): Tensor {
  const heads = Parameters.of(params, "classifier").at("heads");
  return Object.entries(config.labels)
    .map(([head, { length }]) =>
      crossEntropy(linearLayer(heads.at(head), pooled, length), truth[head])
    )
    .reduce((a, b) => add(a, b));
}
