/**
 * Running a stage: steps until the end or until Ctrl-C, a line of the log now and then, and checkpoints from which a run
 * goes on bit by bit as if it had never stopped: a batch is a function of seed and step alone.
 */
import {
  type Checkpoint,
  CHECKPOINT_FILE,
  loadCheckpoint,
  saveCheckpoint,
} from "../../concepts/training/checkpoints.ts";
import { TrainingError } from "../../concepts/training/train.ts";
import { openMetrics } from "../../files/metrics/metrics.ts";
import type { Progress } from "../../terminal/progress.ts";
import { evaluate } from "../../compile/compile.ts";
import type { Device } from "../../device/device.ts";
import { turn } from "../../device/turn.ts";
import type { Named } from "../../autograd/optimizer.ts";
import {
  constantSchedule,
  cosineSchedule,
  joinSchedules,
  linearSchedule,
  productSchedule,
  type Schedule,
  valueAt,
} from "../../optim/schedules.ts";
import { isFile } from "../../files/paths.ts";
import { scalar } from "../../ops/leaf.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { flatten } from "../../tensor/tree.ts";
import {
  type Batch,
  initialState,
  type Losses,
  type StepOptions,
  type TrainState,
  trainStep,
} from "./step.ts";

/** What a stage trains, on what, and how. */
export interface Recipe<B extends Batch> extends StepOptions {
  /** Its name: "unet". */
  readonly stage: string;
  /** Optimizer steps. */
  readonly steps: number;
  /** AdamW's rate at step `step`. */
  readonly rate: (step: number) => number;
  /** Weights to start from, on the host. */
  readonly params: Named;
  /** Keep an average of the weights with this decay; it is what the stage gives. */
  readonly average?: number;
  /** Pure function of trained weights and batch. */
  readonly loss: (params: Named, batch: B) => Losses;
  /** Batch of a step, as constants: a pure function. */
  readonly batch: (step: number) => B;
  /** What decides the result, for the checkpoint: only the same goes on from it. */
  readonly run: string;
}

/** Where a run goes to and who watches it. */
export interface RunOptions {
  /** The model's folder; checkpoint and log lie in `training/<stage>/` below it. */
  readonly out: string;
  /** Go on from the checkpoint, where there is one. */
  readonly resume?: boolean;
  /** Steps between two lines of the log. Default 50. */
  readonly logEvery?: number;
  /** Steps between two checkpoints. Default 500. */
  readonly saveEvery?: number;
  readonly progress?: Progress;
  /** Saves and ends when aborted. */
  readonly signal?: AbortSignal;
}

/**
 * Trains a stage.
 *
 * @returns the weights (averaged where the recipe says so), on the device; the caller frees them
 * @throws DOMException AbortError after saving, when the signal was aborted
 * @throws TrainingError when the loss is no number any more
 * @throws FileError when the checkpoint to go on from is damaged or of another run
 */
export async function runStage<B extends Batch>(
  device: Device,
  recipe: Recipe<B>,
  options: RunOptions,
): Promise<Named> {
  const { stage, steps, run } = recipe;
  const { logEvery = 50, saveEvery = 500, progress, signal } = options;
  const folder = `${options.out}/training/${stage}`;
  const path = `${folder}/${CHECKPOINT_FILE}`;
  await Deno.mkdir(folder, { recursive: true });
  const fresh = initialState(recipe.params, recipe.average !== undefined);
  const saved = options.resume && await isFile(path) ? await loadCheckpoint(path, run) : undefined;
  let done = saved?.step ?? 0;
  let state = evaluate(device, saved ? inOrder(saved, recipe.params) : fresh);
  const step = trainStep(device, recipe.loss, recipe);
  const { log } = await openMetrics(folder, done);
  const began = performance.now();
  progress?.start(stage, steps, { done });
  const report = async (losses: Losses) => {
    const parts: Record<string, number> = {};
    for (const [name, t] of Object.entries(losses)) parts[name] = await device.item(t);
    const { loss } = parts;
    if (!Number.isFinite(loss)) throw new TrainingError(done, loss);
    const memory = device.buffers.allocated;
    progress?.update(done, { loss, memory });
    const seconds = (performance.now() - began) / 1000;
    await log({ step: done, ...parts, loss, seconds, memory });
  };
  try {
    while (done < steps) {
      const keep = Math.min(recipe.average ?? 0, (1 + done) / (10 + done));
      const knobs = { rate: scalar(recipe.rate(done)), keep: scalar(keep) };
      const result = step(state, recipe.batch(done), knobs);
      state = result.state;
      done++;
      // Lets Ctrl-C and timers through; the GPU works on meanwhile.
      await turn();
      if (done % logEvery === 0 || done === steps || signal?.aborted) await report(result.losses);
      // Asked once, after everything that Ctrl-C may have come during: what ends here has been saved here.
      const stopping = signal?.aborted ?? false;
      if (done % saveEvery === 0 || done === steps || stopping) {
        await saveCheckpoint(path, device, done, run, state);
      }
      if (stopping && done < steps) signal!.throwIfAborted();
    }
  } catch (error) {
    device.free(...tensorsOf(state));
    throw error;
  } finally {
    progress?.stop();
    step.free();
  }
  const weights = state.average ?? state.params;
  const kept = new Set(Object.values(weights));
  device.free(...tensorsOf(state).filter((t) => !kept.has(t)));
  return weights;
}

const tensorsOf = (state: TrainState): Tensor[] => flatten<Tensor>({ ...state }).map(([, t]) => t);

/** A saved state with its weights in the model's order: sums over all of them round by their order. */
function inOrder({ state }: Checkpoint, like: Named): TrainState {
  const sorted = (tree: Named): Named =>
    Object.fromEntries(Object.keys(like).map((k) => [k, tree[k]]));
  const { params, m, v, average, corrections } = state;
  const ordered = { params: sorted(params), m: sorted(m), v: sorted(v), corrections };
  return average ? { ...ordered, average: sorted(average) } : ordered;
}

/** Linear warm-up, then half a cosine down to a hundredth. */
export const cosineRate = (peak: number, steps: number, warmUp: number): (step: number) => number =>
  risen(warmUp, cosineSchedule(peak, steps, peak / 100));

/** Linear warm-up, full until `from` (a share of all steps), then a straight line down to a hundredth. */
export function linearRate(
  peak: number,
  steps: number,
  warmUp: number,
  from: number,
): (step: number) => number {
  // A line that would reach 0 at the end, and stays at a hundredth.
  const down = linearSchedule(peak, peak / 100, 0.99 * (1 - from) * steps);
  return risen(warmUp, joinSchedules([constantSchedule(peak), down], [from * steps]));
}

/** A schedule that rises meanwhile, from its first step on. */
function risen(warmUp: number, schedule: Schedule): (step: number) => number {
  const up = linearSchedule(1 / warmUp, 1, Math.max(0, warmUp - 1));
  const all = productSchedule(up, schedule);
  return (step) => valueAt(all, step);
}
