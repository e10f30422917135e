/**
 * A full measurement: its sections, one after the other. Each ends by itself: what it measured is kept, whether it came to its
 * end, was too slow for the time that is left, or failed; and the next one begins, on a new device where the last was lost.
 */
import type { Device } from "../../../device/device.ts";
import { DeviceError } from "../../../device/errors.ts";
import { messageOf } from "../../../files/errors.ts";
import { duration } from "../../../numerics/quantities.ts";
import { isKnown } from "../../../terminal/errors.ts";
import { Budget, Skipped } from "./budget.ts";
import { measureCeilings } from "./ceilings.ts";
import { measureKernels } from "./kernels.ts";
import { Lab, type Subject } from "./lab.ts";
import { measurePyTorch } from "./pytorch.ts";
import type { Ended, Kernels, MeasuredRecord, Outcome, Peer, Training } from "./record.ts";
import { measureSampling } from "./sampling.ts";
import { BRIEF, type Extent, FULL, type Put, type Stage } from "./stage.ts";
import { measureTraining } from "./training.ts";

/** What is measured. */
export interface MeasurePlan {
  readonly minutes: number;
  /** A Python with PyTorch and diffusers. */
  readonly python?: string;
  /** Default: all of it. */
  readonly extent?: Extent;
}

/** How a measurement talks to whoever asked for it. */
export interface Watcher {
  /** Opens the device; a second time where it was lost. */
  open(): Promise<Device>;
  /** Hears of everything that was measured so far, after each section. */
  keep(record: MeasuredRecord): Promise<void>;
  /** Hears what is about to be measured, and what became of it. */
  note(line: string): void;
  readonly signal?: AbortSignal;
}

/** Work of a section. */
type Work<T> = (stage: Stage, put: Put<T>) => Promise<void>;

/** What a record says before anything is measured. */
type About = Pick<
  MeasuredRecord,
  "format" | "day" | "versions" | "processor" | "request" | "adapter"
>;

/** Seconds behind the end of a run, after which what does not answer is given up. */
const GRACE = 60;
/** Of a run's time: what each section may take of what is left when it begins. */
const SHARES = {
  ceilings: 0.05,
  training: 0.3,
  kernels: 0.4,
  sampling: 0.4,
  later: 0.5,
  python: 0.3,
};

/** Measures everything. @returns the record; its sections say what failed */
export async function measureAll(
  subject: Subject,
  { minutes, python, ...plan }: MeasurePlan,
  about: About,
  watcher: Watcher,
): Promise<MeasuredRecord> {
  const began = performance.now();
  const all = new Budget(60 * minutes, watcher.signal);
  const whole = python === undefined ? all : all.part(1 - SHARES.python);
  const lab = new Lab(await watcher.open(), subject, watcher.open);
  const { facts, profile } = lab.device;
  const extent = plan.extent ?? (facts.software ? BRIEF : FULL);
  let record: MeasuredRecord = {
    ...{ ...about, device: facts, profile, training: {}, seconds: 0, complete: false },
  };
  const write = async (part: Partial<MeasuredRecord>) => {
    record = { ...record, ...part, seconds: (performance.now() - began) / 1000 };
    await watcher.keep(record);
  };
  const section = async <T>(
    name: string,
    share: number,
    work: Work<T>,
    within = whole,
  ): Promise<Outcome<T>> => {
    watcher.note(`${name} …`);
    const { ceilings, training } = record;
    const pace = Object.values(training).find((t) => t.flopPerSecond)?.flopPerSecond;
    const known = { lab, extent, ceilings, secondsPerFlop: pace && 1 / pace, whole };
    const ended = await outcome<T>(
      within,
      async (put) => {
        await work({ ...known, room: whole.part(share) }, put);
        await lab.device.settled(); // What the device refused is of the section that asked for it.
      },
    );
    watcher.note(`${name}: ${ended.state} in ${duration(ended.seconds)}${because(ended)}`);
    if (ended.state === "failed") await renew(lab, watcher);
    return ended;
  };
  try {
    await write({});
    await write({ ceilings: await section("ceilings", SHARES.ceilings, measureCeilings) });
    const train = async (batch: number, share: number) => {
      const ended = await section<Training>(
        `training step, batch ${batch}`,
        share,
        (stage, put) => measureTraining(stage, batch, put),
      );
      await write({ training: { ...record.training, [batch]: ended } });
    };
    const [first, ...later] = extent.batches;
    await train(first, SHARES.training);
    const { secondsPerStep } = record.training[first];
    await write({
      kernels: await section<Kernels>(
        "its kernels",
        SHARES.kernels,
        (stage, put) => measureKernels(stage, first, secondsPerStep, put),
      ),
    });
    await write({ sampling: await section("sampling", SHARES.sampling, measureSampling) });
    for (const batch of later) await train(batch, SHARES.later);
    if (python !== undefined) {
      lab.free();
      const onGpu = facts.backend === "webgpu" && !facts.software;
      const ours = Object.values(record.training);
      await write({
        pytorch: await section<Peer>(
          "PyTorch",
          1,
          (_, put) => measurePyTorch(python, subject.name, onGpu, ours, all, put),
          all,
        ),
      });
    }
    if (!watcher.signal?.aborted) await write({ complete: true });
    return record;
  } finally {
    lab.device.destroy();
  }
}

/** Does a section's work, and says how it ended; what it found until then stays. */
export async function outcome<T>(
  whole: Budget,
  work: (put: Put<T>) => Promise<void>,
): Promise<Outcome<T>> {
  const began = performance.now();
  let found: Partial<T> = {};
  const put: Put<T> = (part) => void (found = { ...found, ...part });
  const ended = (state: Ended["state"], why?: string): Outcome<T> => {
    const seconds = (performance.now() - began) / 1000;
    return { state, ...(why !== undefined && { why }), seconds, ...found };
  };
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    const limit = whole.left + GRACE;
    const error = new DeviceError(`there was no answer in ${duration(limit)}`);
    timer = setTimeout(() => reject(error), 1000 * limit);
  });
  try {
    whole.check();
    if (whole.left === 0) throw new Skipped("no time is left: give more --minutes");
    await Promise.race([work(put), silence]);
    return ended("measured");
  } catch (error) {
    if (error instanceof Skipped) return ended("skipped", error.message);
    // What is our mistake is to be found from what was sent to us.
    const stack = error instanceof Error && !isKnown(error) ? error.stack : undefined;
    return ended("failed", stack ?? messageOf(error));
  } finally {
    clearTimeout(timer);
  }
}

const because = ({ why }: { readonly why?: string }): string =>
  why === undefined ? "" : `: ${why.split("\n")[0]}`;

/** A new device where the last one is gone; what it cannot be had for is no reason to lose the record. */
async function renew(lab: Lab, watcher: Watcher): Promise<void> {
  try {
    if (await lab.renew()) watcher.note("the device was lost, and opened anew");
  } catch (error) {
    watcher.note(`the device was lost, and does not open again: ${messageOf(error)}`);
  }
}

/** What went wrong, in a line each: sections that failed, bits that were others, kernels that are wrong. */
export function problems({ ceilings, kernels, training, sampling, pytorch }: MeasuredRecord) {
  const named: [string, Outcome<{ sameBits: boolean }> | Outcome<unknown> | undefined][] = [
    ["ceilings", ceilings],
    ...Object.entries(training).map(([b, t]): [string, Outcome<Training>] => [`batch ${b}`, t]),
    ["kernels", kernels],
    ["sampling", sampling],
    ["PyTorch", pytorch],
  ];
  const found = named.flatMap(([name, section]) => [
    ...(section?.state === "failed" ? [`${name} failed${because(section)}`] : []),
    ...(section && "sameBits" in section && section.sameBits === false
      ? [`${name}: a second run gives other bits`]
      : []),
  ]);
  return kernels?.wrong ? [...found, `${kernels.wrong} kernels are wrong`] : found;
}
