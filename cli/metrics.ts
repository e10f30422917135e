/**
 * The numbers of a training run, one JSON object a line in `metrics.jsonl`: for plots, and for looking at later.
 */
import { writeFileAtomic } from "../files/atomic.ts";
import { readText } from "../files/json.ts";
import { isFile } from "../files/paths.ts";

/** One line. */
export interface Metric {
  /** Finished steps. */
  step: number;
  /** Loss of that step. */
  loss: number;
  /** Seconds since this process began to train. */
  seconds: number;
  /** Bytes of GPU memory. */
  memory: number;
}

/** Name of the file inside an output folder. */
export const METRICS_FILE = "metrics.jsonl";

/** Starts the file of a run; of a resumed one keeps what lies before the checkpoint. Gives a function that adds a line. */
export async function openMetrics(
  out: string,
  resumedAt = 0,
): Promise<(metric: Metric) => Promise<void>> {
  const path = `${out}/${METRICS_FILE}`;
  const kept = resumedAt > 0 && await isFile(path)
    ? (await readText(path)).split("\n").filter((line) => stepOf(line) <= resumedAt)
    : [];
  await writeFileAtomic(path, kept.map((line) => `${line}\n`).join(""));
  return (metric) => Deno.writeTextFile(path, `${JSON.stringify(metric)}\n`, { append: true });
}

/** The step of a line; infinite for one that a kill cut short. */
function stepOf(line: string): number {
  try {
    return (JSON.parse(line) as Metric).step;
  } catch {
    return Infinity;
  }
}
