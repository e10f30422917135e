/** The work of `moongate attention`: pictures and the maps of their words, on one sheet. */
import {
  type AttentionMaps,
  attentionMaps,
  attentionSheet,
  recordControl,
} from "../../diffusion/editing/attention_maps.ts";
import { pipelineConfig } from "../../diffusion/pipeline.ts";
import { writePng } from "../../files/pictures/png.ts";
import { vaeFactor } from "../../models/vae/vae.ts";
import { openDevice } from "../shared/device.ts";
import { describeSampling, planSamplingWithin } from "../shared/memory.ts";
import type { AttentionRequest } from "./request.ts";
import type { Ui } from "../shared/ui.ts";
import { lookThrough, openSampled, stopped } from "../shared/sampled.ts";
import { samplingProgress } from "../shared/sampling_progress.ts";

export { claimAttention as claim } from "./claim.ts";

/** Makes the sheet; gives its path. */
export async function run(request: AttentionRequest, ui: Ui): Promise<string> {
  const { out, negative } = request;
  const sampled = await lookThrough(request, request.prompts, true, ui);
  using device = await openDevice(request, ui);
  const { facts, width, height, notes, plan: { options, evaluations } } = sampled;
  const config = pipelineConfig(facts.folder);
  const factor = vaeFactor(config.vae);
  const control = recordControl([height / factor, width / factor], facts.window.length);
  const plan = planSamplingWithin(device.profile, facts, {
    ...{ width, height, image: false, guidance: options.guidance },
    deltas: sampled.deltas.map((d) => d.delta),
    batch: Math.min(request.batch, request.prompts.length * request.count),
    attention: { control, steps: evaluations },
  }, request);
  const { batch } = plan;
  if (request.memory !== undefined) ui.progress.note(describeSampling(plan));
  const model = await openSampled(device, sampled, request, ui, {
    ...{ dtype: plan.precision, activations: request.activations },
  });
  const wishes = request.prompts.flatMap((prompt) =>
    Array.from({ length: request.count }, (_, i) => ({ prompt, seed: request.seed + i }))
  );
  const maps: AttentionMaps[] = [];
  const shown = samplingProgress(ui.progress, plan, {
    ...{ batches: Math.ceil(wishes.length / batch), steps: evaluations },
    pictures: wishes.length,
  });
  try {
    for (let at = 0; at < wishes.length; at += batch) {
      const part = wishes.slice(at, at + batch);
      maps.push(
        ...await attentionMaps(model, part.map((w) => w.prompt), {
          ...{ ...options, width, height, negative, seed: part.map((w) => w.seed) },
          ...shown(at / batch),
          signal: ui.interrupt.signal,
        }),
      );
    }
  } catch (error) {
    throw stopped(error, ui, "nothing was written");
  }
  ui.progress.stop();
  const picture = attentionSheet(maps, { zoom: width < 128 ? 2 : 1 });
  await writePng(out, picture, {
    ...{ prompt: request.prompts.join("\n"), seed: String(request.seed) },
    ...notes,
  });
  return out;
}
