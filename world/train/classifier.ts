/**
 * Stage `classifier`: linear heads on a copy of CLIP's image tower, and the tower too, trained with nothing but the
 * heads' loss. (The stage `clip` leaves a classifier as well, on the tower as it is there; this one is better.)
 */
import { clipVision } from "../../models/clip/vision.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { flatten, unflatten } from "../../tensor/tree.ts";
import { leavesOf, readWeights, writeWeights } from "./folder.ts";
import { initializeHeads } from "./initialize.ts";
import { headsLoss, type LookBatch, lookBatch, noisy } from "./looks.ts";
import { cosineRate, runStage } from "./loop.ts";
import { Captions, runOf, seedOf, type Workplace } from "./stage.ts";

/** Trains the classifier and writes it over the one that came with CLIP. */
export async function trainClassifier(place: Workplace): Promise<void> {
  const { device, out, configs: { classifier: config, clip }, settings } = place;
  const { steps, rate, warmUp } = settings.classifier;
  const captions = new Captions(place);
  const tower = await readWeights(device, out, "clip", clip.vision, "clip");
  const trained = await runStage<LookBatch>(device, {
    stage: "classifier",
    steps,
    rate: cosineRate(rate, steps, warmUp),
    beta2: 0.98,
    decay: 0.05,
    decayMatricesOnly: true,
    clip: 1,
    params: {
      ...Object.fromEntries(flatten<Tensor>(tower)),
      ...initializeHeads(config, seedOf(place, "classifier")),
    },
    run: runOf(place, "classifier"),
    loss(weights, batch) {
      const tree = unflatten(Object.entries(weights));
      const { pooled } = clipVision(config, tree, noisy(batch));
      return { loss: headsLoss(config, tree, pooled, batch.truth) };
    },
    batch: (step) => lookBatch(place, captions, "classifier", step),
  }, place);
  await writeWeights(device, out, "classifier", config, trained);
  device.free(...Object.values(trained), ...leavesOf(tower));
}
