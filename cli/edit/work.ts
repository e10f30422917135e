/** The work of `moongate edit`: pairs of pictures, each in files of its own as soon as it is made, and a sheet. */
import {
  editControl,
  type EditPlan,
  editPrompt,
  planEdit,
} from "../../diffusion/editing/prompt_edit.ts";
import type { Picture } from "../../files/pictures/picture.ts";
import { writePng } from "../../files/pictures/png.ts";
import { sheet } from "../../files/pictures/sheet.ts";
import { UsageError } from "../../terminal/errors.ts";
import { openDevice } from "../shared/device.ts";
import { describeSampling, planSamplingWithin } from "../shared/memory.ts";
import type { EditRequest } from "./request.ts";
import type { Ui } from "../shared/ui.ts";
import { SHEET_FILE } from "../shared/outputs.ts";
import { lookThrough, openSampled, type Sampled, stopped } from "../shared/sampled.ts";
import { samplingProgress } from "../shared/sampling_progress.ts";

export { claimEdit as claim } from "./claim.ts";

/** Edits pictures; gives their paths, and last that of the sheet. */
export async function run(request: EditRequest, ui: Ui): Promise<string[]> {
  const { from, to, out, seed, count, negative } = request;
  const sampled = await lookThrough(request, [from, to], true, ui);
  const control = editControl(checkEdit(request, sampled));
  using device = await openDevice(request, ui);
  const { facts, width, height, notes, plan: { options, evaluations } } = sampled;
  const plan = planSamplingWithin(device.profile, facts, {
    ...{ width, height, image: false, guidance: options.guidance },
    deltas: sampled.deltas.map((d) => d.delta),
    batch: 2 * Math.min(count, Math.max(1, Math.floor(request.batch / 2))),
    grain: 2,
    attention: { control: () => control, steps: evaluations },
  }, request);
  if (request.memory !== undefined) ui.progress.note(describeSampling(plan));
  const model = await openSampled(device, sampled, request, ui, {
    ...{ dtype: plan.precision, activations: request.activations },
  });
  const { weights, crossSteps, selfSteps, alignment } = request;
  const paths: string[] = [], pairs: Picture[][] = [];
  const size = plan.batch / 2;
  const shown = samplingProgress(ui.progress, plan, {
    ...{ batches: Math.ceil(count / size), steps: evaluations },
    pictures: 2 * count,
  });
  try {
    for (let at = 0; at < count; at += size) {
      const seeds = Array.from({ length: Math.min(size, count - at) }, (_, i) => seed + at + i);
      const made = await editPrompt(model, from, to, {
        ...{ ...options, width, height, negative, seed: seeds },
        ...{ weights, crossSteps, selfSteps, alignment },
        ...shown(at / size),
        signal: ui.interrupt.signal,
      });
      for (const [i, { source, edited }] of made.entries()) {
        pairs.push([source, edited]);
        const shown = { source: [source, from], edited: [edited, to] } as const;
        for (const [name, [picture, prompt]] of Object.entries(shown)) {
          const path = `${out}/${name}-${seeds[i]}.png`;
          const editing = name === "edited" ? editNotes(request) : {};
          await writePng(path, picture, { prompt, seed: String(seeds[i]), ...notes, ...editing });
          paths.push(path);
        }
      }
    }
  } catch (error) {
    throw stopped(error, ui, `${pairs.length} of ${count} pairs are in ${out}`);
  }
  ui.progress.stop();
  const path = `${out}/${SHEET_FILE}`;
  const labels = pairs.map(() => [from, to]);
  const titles = pairs.map((_, i) => count > 1 ? String(seed + i) : undefined);
  await writePng(path, sheet(pairs, { titles, labels, zoom: width < 128 ? 3 : 1 }), {
    ...notes,
    ...editNotes(request),
  });
  return [...paths, path];
}

/** Finds what is wrong with an edit. */
function checkEdit(request: EditRequest, { facts }: Sampled): EditPlan {
  try {
    return planEdit(facts.tokenizer, facts.window.length, request.from, request.to, request);
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(error.message, { cause: error });
    throw error;
  }
}

const editNotes = ({ from, crossSteps, selfSteps, weights }: EditRequest) => ({
  edited_from: from,
  cross_steps: String(crossSteps),
  self_steps: String(selfSteps),
  ...(Object.keys(weights).length && {
    weights: Object.entries(weights).map(([words, x]) => `${words}=${x}`).join(", "),
  }),
});
