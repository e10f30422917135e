/** The same training step in PyTorch, in the same run and, where moongate computes on a GPU, on one. */
import { type ModelName, modelOperands, stepCase } from "../../../bench/cases/miniature.ts";
import { computed } from "../../../bench/peers/python.ts";
import { type Budget, Skipped } from "./budget.ts";
import type { Peer, Training } from "./record.ts";

/** Seconds in which Python, its libraries and a model are ready; steps that are timed, in lots of one. */
const BEGINNING = 20, TIMED = 5;

/**
 * Measures the batches that were measured here.
 *
 * @param python a program that has PyTorch and diffusers
 * @throws Error with what Python said
 */
export async function measurePyTorch(
  python: string,
  model: ModelName,
  onGpu: boolean,
  ours: readonly Partial<Training>[],
  whole: Budget,
  put: (part: Partial<Peer>) => void,
): Promise<void> {
  const steps: Peer["steps"][number][] = [];
  if (!ours.some((t) => t.secondsPerStep)) throw new Skipped("no step was measured here");
  for (const { batch, secondsPerStep } of ours) {
    if (batch === undefined || secondsPerStep === undefined) continue;
    whole.need(BEGINNING, `PyTorch's step of batch ${batch}`);
    const c = stepCase(batch, model);
    const limit = 1000 * whole.left;
    const flags = onGpu ? ["--gpu"] : [];
    const { child, library } = await computed(python, c, modelOperands(c), flags, limit);
    try {
      put({ library });
      const fastest = async (how: string) => {
        const times: number[] = [];
        do times.push(await child.ask<number>(`1${how}`) / 1000); while (
          times.length < TIMED && whole.left > 4 * times[0]
        );
        return Math.min(...times);
      };
      const theirs = await fastest("");
      steps.push({
        ...{ batch, secondsPerStep: theirs, ratio: theirs / secondsPerStep },
        ...(/cuda/.test(library) && { tf32SecondsPerStep: await fastest(" tf32") }),
      });
      put({ steps: [...steps] });
    } finally {
      child.end();
    }
  }
}
