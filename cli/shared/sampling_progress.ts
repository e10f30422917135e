/** The bar of the verbs that sample: steps of all batches, and what decoding their pictures takes beside them. */
import type { SamplingMemory } from "../../diffusion/memory.ts";
import type { Progress } from "../../terminal/progress.ts";

/** Callbacks for one batch. */
export interface BatchProgress {
  /** See `SampleOptions`. */
  readonly onStep: (done: number) => void;
  /** See `SampleOptions`. */
  readonly onPicture: () => void;
}

/**
 * Begins the bar.
 *
 * @param batches how many there will be
 * @param steps of each
 * @param pictures that all of them decode
 * @returns what a batch is to call, by its number
 */
export function samplingProgress(
  progress: Progress,
  { work }: Pick<SamplingMemory, "work">,
  { batches, steps, pictures }: { batches: number; steps: number; pictures: number },
): (of: number) => BatchProgress {
  progress.start("sample", batches * steps, {
    beside: { picture: { times: pictures, steps: work.picture / work.step } },
  });
  return (of) => ({
    onStep: (done) => progress.update(of * steps + done),
    onPicture: () => progress.did("picture"),
  });
}
