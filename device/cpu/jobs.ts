/**
 * The list of jobs of one submit, as it lies in shared memory, and the function by which every thread works through it.
 * A job is a kernel with its arguments and a number of workgroups. Threads take workgroups from a job's counter, so that
 * who comes late or runs slowly costs nothing, and wait for an earlier job only where this one needs its results.
 * What a workgroup computes does not depend on who takes it: any number of threads gives the same bits.
 */

/** Words of a job. What threads count in lies in lines of the cache of its own. */
export const JOB = {
  kernel: 0,
  args: 1,
  groups: 2,
  /** Workgroups that a thread takes at a time. */
  chunk: 3,
  /** How many jobs, from the first, must be complete before it. */
  after: 4,
  /** Workgroups given out, and done. */
  next: 16,
  done: 32,
  words: 48,
} as const;

/** Words before the first job. */
export const HEAD = {
  /** Number of the submit that runs; 0 between submits. */
  run: 0,
  /** Threads at work on it. */
  inside: 1,
  /** Set when a kernel failed, and when it did so since a loop of it went on and on. */
  failed: 2,
  count: 3,
  endless: 4,
  /** Threads that look for the next submit; kernels that one must know to take part in this. */
  waiting: 5,
  kernels: 6,
  words: 16,
} as const;

/** A kernel, ready to be called. */
export type Main = (args: number | bigint, from: number, to: number) => void;

/**
 * Works through the list at word `base` till every job is complete. Everything that it uses is its own, since workers get
 * it as text. It may be called again for a list that it has left.
 *
 * @param patience milliseconds of waiting for others without any progress after which it leaves
 * @returns whether every job is complete
 */
export function runJobs(
  words: Int32Array<ArrayBufferLike>,
  base: number,
  kernelOf: (id: number) => Main,
  wide: boolean,
  patience: number,
): boolean {
  const SPINS = 4000;
  const pause = (Atomics as unknown as { pause?: () => void }).pause ?? (() => {});
  const count = words[base + 3];
  let complete = 0;
  const waitTill = (wanted: number): boolean => {
    let spins = 0;
    let since = 0;
    while (complete < wanted) {
      const job = base + 16 + complete * 48;
      const done = Atomics.load(words, job + 32);
      if (done >= words[job + 2] || Atomics.load(words, base + 2)) {
        complete++;
        spins = 0;
        since = 0;
        continue;
      }
      if (++spins < SPINS) pause();
      else {
        Atomics.wait(words, job + 32, done, 0.2);
        since ||= performance.now();
        if (Atomics.load(words, job + 32) !== done) since = 0;
        else if (performance.now() - since > patience) return false;
      }
    }
    return true;
  };
  for (let d = 0; d < count; d++) {
    const job = base + 16 + d * 48;
    if (!waitTill(words[job + 4])) return false;
    const groups = words[job + 2];
    const chunk = words[job + 3];
    let main: Main | undefined;
    while (!Atomics.load(words, base + 2)) {
      const from = Atomics.add(words, job + 16, chunk);
      if (from >= groups) break;
      const to = Math.min(groups, from + chunk);
      try {
        main ??= kernelOf(words[job]);
        main(wide ? BigInt(words[job + 1]) : words[job + 1], from, to);
      } catch (error) {
        // Kernels trap nowhere else.
        if ((error as Error).message === "unreachable") Atomics.store(words, base + 4, 1);
        Atomics.store(words, base + 2, words[job] + 1);
        throw error;
      } finally {
        if (Atomics.add(words, job + 32, to - from) + to - from === groups) {
          Atomics.notify(words, job + 32);
        }
      }
    }
  }
  return waitTill(count);
}
