/** The bar of a training run: its steps, and the checkpoints and samples between them, whose times are none of a step's. */
import { BindingError } from "../../compile/errors.ts";
import type { TrainingPlan } from "../../concepts/training/memory.ts";
import { planSamplingMemory, type SamplingPlan } from "../../diffusion/memory.ts";
import type { Pipeline } from "../../diffusion/pipeline.ts";
import { SAMPLED_TOGETHER } from "../../diffusion/sample.ts";
import { vaeFactor } from "../../models/vae/vae.ts";
import type { Beside } from "../../terminal/estimate.ts";
import type { Progress } from "../../terminal/progress.ts";
import type { TrainRequest } from "./request.ts";
import type { TrainPlan } from "./plan.ts";

/** What `TrainOptions.onStep` is to call: the bar begins when training does, not while it is prepared. */
export function trainingBar(
  progress: Progress,
  beside: Record<string, Beside>,
): (done: number, steps: number) => void {
  let begun = false;
  return (done, steps) => {
    if (begun) return progress.update(done);
    progress.start("train", steps, { done, beside });
    begun = true;
  };
}

/** What is done beside the steps, and what samples take, by the work of a step, before any were made. */
export function besideSteps(
  { saveEvery, sampleEvery }: TrainRequest,
  { model: facts, samplePrompts: { length }, settings: { size, steps } }: TrainPlan,
  { config, device }: Pipeline,
  { work }: TrainingPlan,
  done: number,
): Record<string, Beside> {
  const times = (every: number, last: number) =>
    Math.floor(last / every) - Math.floor(done / every);
  const checkpoint = { times: times(saveEvery, steps - 1) };
  if (sampleEvery === undefined) return { checkpoint };
  const { sampling } = facts.defaults, side = size / vaeFactor(config.vae);
  const batches = Math.ceil(length / SAMPLED_TOGETHER);
  const each = samplesWork(
    () =>
      planSamplingMemory(device.profile, config, {
        batch: Math.ceil(length / batches),
        ...{ cells: [side, side], guided: sampling.guidance !== 1, image: false },
      }),
    batches * sampling.steps,
    length,
  );
  return {
    checkpoint,
    samples: { times: times(sampleEvery, steps - 1) + 1, steps: each / work },
  };
}

/** Operations of samples; 0, for not known, where the adapter cannot bind what they need, which they will say themselves. */
function samplesWork(plan: () => SamplingPlan, steps: number, pictures: number): number {
  try {
    const { work } = plan();
    return steps * work.step + pictures * work.picture;
  } catch (error) {
    if (error instanceof BindingError) return 0;
    throw error;
  }
}
