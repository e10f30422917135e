/**
 * The list of jobs of one submit, as it lies in shared memory, and the function by which every thread works through it.
 * A job is a kernel with its arguments and a number of workgroups, which fall into shares of neighbours. A thread begins
 * with the share of its number, so that what it computed in one job mostly lies in its own cache for the next, and goes on
 * with what is left of others, so that who comes late or runs slowly costs nothing. Threads wait for an earlier job only
 * where this one needs its results. What a workgroup computes does not depend on who takes it: any number of threads gives
 * the same bits.
 */

/** Words of a job before its shares. What threads count in lies in lines of the cache of its own. */
export const JOB = {
  kernel: 0,
  args: 1,
  groups: 2,
  /** Fewest workgroups that a thread takes at a time, of a share of which half is less. */
  chunk: 3,
  /** How many jobs, from the first, must be complete before it. */
  after: 4,
  /** Workgroups that are done. */
  done: 16,
  /** Workgroups of each share that are given out. */
  shares: 32,
  /** Words of a share. */
  share: 16,
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
  /** Shares of a job. */
  shares: 7,
  /** Threads that sleep till a job is done. */
  asleep: 8,
  words: 16,
} as const;

/** A kernel, ready to be called. */
export type Main = (args: number | bigint, from: number, to: number) => void;

/**
 * Works through the list at word `base` till every job is complete. Everything that it uses is its own, since workers get
 * it as text. It may be called again for a list that it has left.
 *
 * @param thread number of this thread
 * @param patience milliseconds of waiting for others without any progress after which it leaves
 * @returns whether every job is complete
 */
export function runJobs(
  words: Int32Array<ArrayBufferLike>,
  base: number,
  kernelOf: (id: number) => Main,
  wide: boolean,
  thread: number,
  patience: number,
): boolean {
  const SPINS = 4000;
  const pause = (Atomics as unknown as { pause?: () => void }).pause ?? (() => {});
  const count = words[base + 3];
  const shares = words[base + 7];
  const size = 32 + 16 * shares;
  let complete = 0;
  const waitTill = (wanted: number): boolean => {
    let spins = 0;
    let since = 0;
    while (complete < wanted) {
      const job = base + 16 + complete * size;
      const done = Atomics.load(words, job + 16);
      if (done >= words[job + 2] || Atomics.load(words, base + 2)) {
        complete++;
        spins = 0;
        since = 0;
        continue;
      }
      if (++spins < SPINS) pause();
      else {
        Atomics.add(words, base + 8, 1);
        Atomics.wait(words, job + 16, done, 0.2);
        Atomics.sub(words, base + 8, 1);
        since ||= performance.now();
        if (Atomics.load(words, job + 16) !== done) since = 0;
        else if (performance.now() - since > patience) return false;
      }
    }
    return true;
  };
  for (let d = 0; d < count; d++) {
    const job = base + 16 + d * size;
    if (!waitTill(words[job + 4])) return false;
    const groups = words[job + 2];
    const chunk = words[job + 3];
    let main: Main | undefined;
    let mine = 0;
    try {
      for (let k = 0; k < shares; k++) {
        const share = (thread + k) % shares;
        const first = Math.floor(groups * share / shares);
        const end = Math.floor(groups * (share + 1) / shares);
        const taken = job + 32 + 16 * share;
        // Looking leaves the line of a share that is gone in the cache of who took it.
        while (!Atomics.load(words, base + 2)) {
          const left = end - first - Atomics.load(words, taken);
          if (left <= 0) break;
          const part = Math.max(chunk, left >> 1);
          const from = first + Atomics.add(words, taken, part);
          if (from >= end) break;
          const to = Math.min(end, from + part);
          mine += to - from;
          main ??= kernelOf(words[job]);
          main(wide ? BigInt(words[job + 1]) : words[job + 1], from, to);
        }
      }
    } catch (error) {
      // Kernels trap nowhere else.
      if ((error as Error).message === "unreachable") Atomics.store(words, base + 4, 1);
      Atomics.store(words, base + 2, words[job] + 1);
      throw error;
    } finally {
      if (mine && Atomics.add(words, job + 16, mine) + mine === groups) {
        // Whoever falls asleep after this look sees the number that has changed.
        if (Atomics.load(words, base + 8)) Atomics.notify(words, job + 16);
      }
    }
  }
  return waitTill(count);
}
