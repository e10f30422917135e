/**
 * Stage `clip`: text and image tower by the symmetric contrastive loss with a learnt temperature (Radford et al. 2021),
 * and the attribute heads on the same image tower: they teach it details that telling apart the captions of one batch
 * does not need.
 */
import type { Named } from "../../autograd/optimizer.ts";
import { type ClipConfig, clipSpecs, clipVision, embedPrompts } from "../../models/clip/vision.ts";
import { linearLayer } from "../../models/layers.ts";
import { Parameters } from "../../models/params.ts";
import { add, div, exp, minimum, mul, sqrt, square } from "../../ops/elementwise/arithmetic.ts";
import { scalar, tensor } from "../../ops/leaf.ts";
import { matmul } from "../../ops/matmul.ts";
import { transpose } from "../../ops/movement.ts";
import { sum } from "../../ops/broadcast.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { unflatten } from "../../tensor/tree.ts";
import { TABLE, writeWeights } from "./folder.ts";
import { clipScheme, initialize, initializeHeads } from "./initialize.ts";
import { crossEntropy, headsLoss, type LookBatch, lookBatch, noisy } from "./looks.ts";
import { cosineRate, runStage } from "./loop.ts";
import { Captions, runOf, seedOf, type Workplace } from "./stage.ts";

/** Share of the heads' loss. */
const ATTRIBUTES = 0.4;
/** Logarithm of the inverse temperature: where it starts, and where it is held back (a temperature of 1/100). */
const SCALE = { start: 2.6592, most: 4.6 };

/** Trains both towers and writes `clip/` and a first `classifier/`; the text tower goes on learning in stage `unet`. */
export async function trainClip(place: Workplace): Promise<void> {
  const { device, out, configs, settings: { clip: settings } } = place;
  const captions = new Captions(place);
  const seed = seedOf(place, "clip");
  const params: Named = {
    ...initialize(clipSpecs(configs.clip), seed, clipScheme(configs.clip)),
    ...initializeHeads(configs.classifier, seed),
    logit_scale: scalar(SCALE.start),
  };
  const trained = await runStage<LookBatch>(device, {
    stage: "clip",
    ...settings,
    rate: cosineRate(settings.rate, settings.steps, settings.warmUp),
    beta2: 0.98,
    decay: 0.05,
    decayMatricesOnly: true,
    clip: 1,
    params,
    run: runOf(place, "clip"),
    loss(weights, batch) {
      const tree = unflatten(Object.entries(weights));
      const { pooled } = clipVision(configs.clip.vision, tree, noisy(batch));
      const contrast = contrastiveLoss(configs.clip, weights, pooled, batch.ids);
      const attributes = headsLoss(configs.classifier, tree, pooled, batch.truth);
      return { loss: add(contrast, mul(attributes, ATTRIBUTES)), contrast, attributes };
    },
    batch: (step) => lookBatch(place, captions, "clip", step),
  }, place);
  const table = await fillUnseenRows(place, captions, trained[TABLE]);
  const weights: Named = { ...trained, [TABLE]: table };
  const { logit_scale } = weights;
  await writeWeights(device, out, "clip", configs.clip, weights, { logit_scale });
  await writeWeights(device, out, "classifier", configs.classifier, weights);
  device.free(...Object.values(trained), table);
}

/** Each picture finds its caption among the batch's, and each caption its picture. */
function contrastiveLoss(
  config: ClipConfig,
  weights: Named,
  pooled: Tensor,
  ids: Tensor,
): Tensor {
  const tree = unflatten(Object.entries(weights));
  const projection = Parameters.of(tree, "clip").at("visual_projection");
  const image = unit(linearLayer(projection, pooled, config.vision.projection, { bias: false }));
  const text = unit(embedPrompts(config, tree, ids));
  const scale = exp(minimum(weights.logit_scale, SCALE.most));
  const logits = mul(matmul(image, transpose(text)), scale);
  const n = ids.shape[0];
  const right = new Float32Array(n * n);
  for (let i = 0; i < n; i++) right[i * n + i] = 1 / n;
  const truth = tensor(right, [n, n]);
  return mul(add(crossEntropy(logits, truth), crossEntropy(transpose(logits), truth)), 0.5);
}

/** Rows of unit length. */
const unit = (x: Tensor): Tensor => div(x, sqrt(add(sum(square(x), [1], { keep: true }), 1e-12)));

/**
 * The token table with the rows of words that no caption holds scaled to the usual size of the others, as in a large
 * CLIP, where all rows are of one size: they are what new tokens start from.
 */
async function fillUnseenRows(
  { device, pictures }: Workplace,
  captions: Captions,
  table: Tensor,
): Promise<Tensor> {
  const [rows, width] = table.shape;
  const values = (await device.read(table) as Float32Array).slice();
  const seen = new Set(pictures.captions.flat().flatMap((caption) => captions.one(caption)));
  const row = (i: number) => values.subarray(i * width, (i + 1) * width);
  const norms = [...seen].map((i) => Math.hypot(...row(i))).sort((a, b) => a - b);
  const usual = norms[norms.length >> 1];
  for (let i = 0; i < rows; i++) {
    if (seen.has(i)) continue;
    const size = Math.hypot(...row(i)) || 1;
    row(i).forEach((v, k, all) => all[k] = v * usual / size);
  }
  return device.upload(values, table.shape, "f32");
}
