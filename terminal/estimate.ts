/**
 * How long work will still take, learnt while it goes. It is made of steps, and of things done beside them (checkpoints,
 * samples, decoding), which each have a pace of their own; what is no work of it (compiling kernels) is left out.
 *
 * Why not total time over steps done: the first step of a run compiles, every fiftieth is followed by a checkpoint, and
 * a time left that is wrong at the start is believed by no one later.
 */

/** Something that is done beside the steps. */
export interface Beside {
  /** How often. */
  readonly times: number;
  /** What one takes, in steps, for as long as none was seen. Default 0. */
  readonly steps?: number;
}

/** A pace is that of the newer half of the steps, but of so many at least: what comes every tenth step is in it. */
const FEWEST = 20;

/** Reports that come within so many seconds are one: a GPU is asked now and then what it has done. */
const AT_ONCE = 0.02;

/** A first step that took this many times as long as any other is no measure of those: something was warmed up. */
const SLOW_START = 2;

/** Seconds left of one piece of work. Times are in seconds of any clock that stands still while kernels compile. */
export class Estimate {
  #last: number;
  #counted: number;
  /** Behind each report: how many steps are done, what all steps so far took, and when it came. */
  readonly #reports: { done: number; seconds: number; readonly at: number }[];
  readonly #beside: Map<string, { left: number; seen: number; seconds: number; steps: number }>;

  /**
   * @param total steps in all
   * @param done of which are done already
   * @param now when it begins
   */
  constructor(
    readonly total: number,
    done: number,
    now: number,
    beside: Readonly<Record<string, Beside>> = {},
  ) {
    this.#last = now;
    this.#counted = done;
    this.#reports = [{ done, seconds: 0, at: -Infinity }];
    this.#beside = new Map(
      Object.entries(beside).map(([name, { times, steps = 0 }]) => [
        name,
        { left: times, seen: 0, seconds: 0, steps },
      ]),
    );
  }

  /** So many steps are done now; the time since the last report was theirs. */
  steps(done: number, now: number): void {
    if (!(done > this.#counted)) return;
    this.#counted = done;
    const last = this.#reports.at(-1)!;
    const seconds = last.seconds + this.#since(now);
    if (now - last.at < AT_ONCE) Object.assign(last, { done, seconds });
    else this.#reports.push({ done, seconds, at: now });
  }

  /** One of the other things is done; the time since the last report was its. */
  beside(name: string, now: number): void {
    const kind = this.#beside.get(name);
    const seconds = this.#since(now);
    if (!kind) return;
    kind.left = Math.max(0, kind.left - 1);
    kind.seen++;
    kind.seconds += seconds;
  }

  #since(now: number): number {
    const passed = Math.max(0, now - this.#last);
    this.#last = now;
    return passed;
  }

  /** Seconds of a step; undefined while one report alone would have to tell. */
  get step(): number | undefined {
    const all = this.#reports;
    const last = all.at(-1)!;
    if (all.length < 3) return undefined;
    const own = last.done - all[0].done;
    const wanted = last.done - Math.max(FEWEST, Math.ceil(own / 2));
    let from = all.length - 2;
    while (from > 0 && all[from].done > wanted) from--;
    if (from === 0 && this.#slowStart()) from = 1;
    const { done, seconds } = all[from];
    return (last.seconds - seconds) / (last.done - done);
  }

  #slowStart(): boolean {
    const paces = this.#reports.slice(1).map(({ done, seconds }, i) => {
      const before = this.#reports[i];
      return (seconds - before.seconds) / (done - before.done);
    });
    const [first, ...others] = paces;
    return first > SLOW_START * others.reduce((a, b) => Math.max(a, b), 0);
  }

  /** Seconds left; undefined while nothing is known. */
  left(now: number): number | undefined {
    const { step } = this;
    if (step === undefined) return undefined;
    let seconds = step * Math.max(0, this.total - this.#counted), longest = step;
    for (const { left, seen, seconds: spent, steps } of this.#beside.values()) {
      const each = seen ? spent / seen : steps * step;
      seconds += left * each;
      if (left) longest = Math.max(longest, each);
    }
    // What is under way counts down; it does not take the time of what comes after it.
    const under = Math.min(longest, Math.max(0, now - this.#last));
    return Math.max(0, seconds - under);
  }
}
