/**
 * The numbers of a training run, for plots and for looking at later: one JSON object a line in `metrics.jsonl`, and the
 * same in an event file for TensorBoard, with sample pictures.
 */
import { writeFileAtomic } from "../atomic.ts";
import { readText } from "../text.ts";
import { isFile } from "../paths.ts";
import { eventRecord, firstRecord, type TrainingEvent } from "./tensorboard.ts";

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

/** Where a run's numbers and pictures are noted. */
export interface Metrics {
  /** Notes numbers. */
  log(metric: Metric): Promise<void>;
  /** Notes pictures by name, PNG files with their sides; in the event file only. */
  show(step: number, pictures: NonNullable<TrainingEvent["pictures"]>): Promise<void>;
}

/** Name of the file of lines inside an output folder. */
export const METRICS_FILE = "metrics.jsonl";

const EVENTS = "events.out.tfevents.";

/**
 * Starts the files of a run. A resumed one keeps the lines before the checkpoint, and gets an event file of its own,
 * which makes TensorBoard forget what lies after the checkpoint.
 */
export async function openMetrics(out: string, resumedAt = 0): Promise<Metrics> {
  const path = `${out}/${METRICS_FILE}`;
  const kept = resumedAt > 0 && await isFile(path)
    ? (await readText(path)).split("\n").filter((line) => stepOf(line) <= resumedAt)
    : [];
  await writeFileAtomic(path, kept.map((line) => `${line}\n`).join(""));
  if (!resumedAt) {
    for await (const { name } of Deno.readDir(out)) {
      if (name.startsWith(EVENTS)) await Deno.remove(`${out}/${name}`);
    }
  }
  const now = () => Date.now() / 1000;
  // TensorBoard reads the files of a run in the order of their names.
  const events = `${out}/${EVENTS}${String(Date.now()).padStart(13, "0")}.moongate`;
  const restart = eventRecord({ step: resumedAt + 1, time: now(), restart: true });
  await writeFileAtomic(
    events,
    Uint8Array.from([...firstRecord(now()), ...resumedAt ? restart : []]),
  );
  const note = (event: Omit<TrainingEvent, "time">) =>
    Deno.writeFile(events, eventRecord({ ...event, time: now() }), { append: true });
  return {
    async log(metric) {
      await Deno.writeTextFile(path, `${JSON.stringify(metric)}\n`, { append: true });
      const { step, ...numbers } = metric;
      const named = Object.entries(numbers).map(([name, x]) => [`train/${name}`, x]);
      await note({ step, scalars: Object.fromEntries(named) });
    },
    show: (step, pictures) => note({ step, pictures }),
  };
}

/** The step of a line; infinite for one that a kill cut short. */
function stepOf(line: string): number {
  try {
    return (JSON.parse(line) as Metric).step;
  } catch {
    return Infinity;
  }
}
