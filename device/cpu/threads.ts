/**
 * The threads of a device: workers that share its memory, and the thread that called, which takes part where it may wait.
 * Workers are told of a submit once, however many jobs it has.
 */
import { HEAD, JOB, type Main, runJobs } from "./jobs.ts";
import type { LinearMemory } from "./memory.ts";
import { RESERVED } from "./memory.ts";
import { type Run, workerText } from "./worker.ts";

/** A job, before it lies in the list. */
export interface Job {
  readonly kernel: number;
  readonly groups: number;
  /** How many jobs, from the first, must be complete before it. */
  readonly after: number;
  /** Whether a workgroup is a lot of work. */
  readonly heavy: boolean;
  /** Its arguments, as words. */
  readonly args: Uint32Array<ArrayBuffer>;
}

/** Jobs as they lie in memory, behind the head of the list. */
export interface JobList {
  readonly words: Int32Array<ArrayBuffer>;
  readonly count: number;
  /** Workgroups of the largest job. */
  readonly widest: number;
}

/** What a device needs of a worker, of either kind. */
interface Worker {
  postMessage(m: unknown): void;
  terminate(): unknown;
}

/** Words from which arguments are written. */
const BASE = RESERVED.jobs / 4;
const LIMIT = RESERVED.end / 4;
/** Chunks of a job for each thread: more even out the load, fewer cost less. */
const SHARES = { heavy: 12, light: 3 } as const;
/** Milliseconds without progress after which a worker counts as dead. */
const STUCK = 300_000;

/** Whether this thread may wait: a browser's main thread must not. */
export function mayWait(): boolean {
  if (typeof SharedArrayBuffer === "undefined") return true;
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 1, 0);
    return true;
  } catch {
    return false;
  }
}

/** Workers and the list of jobs. */
export class Threads {
  readonly #workers: Worker[] = [];
  readonly #modules: WebAssembly.Module[] = [];
  readonly #mains = new Map<number, Main>();
  readonly #waits = mayWait();
  #bound: WebAssembly.Memory | undefined;
  #sent = 0;
  #number = 0;
  #over: ((failure: string | undefined) => void) | undefined;

  /** @param lost is told when a worker dies */
  private constructor(readonly memory: LinearMemory, readonly lost: (why: string) => void) {}

  /** Starts `count` threads, this one among them. */
  static async start(
    memory: LinearMemory,
    count: number,
    lost: (why: string) => void,
  ): Promise<Threads> {
    const threads = new Threads(memory, lost);
    const helpers = memory.shared ? count - (threads.#waits ? 1 : 0) : 0;
    for (let i = 0; i < helpers; i++) threads.#workers.push(await threads.#start());
    return threads;
  }

  /** Threads that compute. */
  get count(): number {
    return this.#workers.length + (this.#waits || !this.#workers.length ? 1 : 0);
  }

  /** Whether a submit is over when {@linkcode Threads.run} returns. */
  get waits(): boolean {
    return this.#waits || !this.#workers.length;
  }

  /** Registers a kernel; its number. */
  add(module: WebAssembly.Module): number {
    return this.#modules.push(module) - 1;
  }

  /** Makes a kernel ready on this thread. */
  prepare(kernel: number): void {
    if (this.waits) this.#main(kernel);
  }

  /** Puts jobs into as many lists as they need. */
  compose(jobs: readonly Job[]): JobList[] {
    const lists: JobList[] = [];
    let from = 0;
    let words = BASE + HEAD.words;
    jobs.forEach((job, i) => {
      const needed = JOB.words + job.args.length + 4;
      if (words + needed > LIMIT) {
        lists.push(this.#compose(jobs.slice(from, i), from));
        from = i;
        words = BASE + HEAD.words;
      }
      words += needed;
    });
    if (from < jobs.length) lists.push(this.#compose(jobs.slice(from), from));
    return lists;
  }

  /** Runs lists, one after the other. */
  run(lists: readonly JobList[]): void | Promise<void> {
    if (this.waits) return lists.forEach((list) => this.#run(list));
    return lists.reduce(
      (before, list) => before.then(() => this.#run(list)),
      Promise.resolve(),
    );
  }

  /** Ends the workers. */
  destroy(): void {
    for (const w of this.#workers) w.terminate();
    this.#workers.length = 0;
  }

  /** Ends the workers behind the device's back. For tests. */
  kill(): void {
    for (const w of this.#workers) w.terminate();
  }

  #compose(jobs: readonly Job[], skipped: number): JobList {
    const size = jobs.reduce((n, { args }) => n + JOB.words + args.length + 4, 0);
    const words = new Int32Array(size);
    let args = jobs.length * JOB.words;
    let widest = 1;
    jobs.forEach((job, i) => {
      const at = i * JOB.words;
      args = Math.ceil(args / 4) * 4;
      words.set(job.args, args);
      const shares = this.count * SHARES[job.heavy ? "heavy" : "light"];
      widest = Math.max(widest, job.groups);
      words[at + JOB.kernel] = job.kernel;
      words[at + JOB.args] = (BASE + HEAD.words + args) * 4;
      words[at + JOB.groups] = job.groups;
      words[at + JOB.chunk] = Math.max(1, Math.ceil(job.groups / shares));
      words[at + JOB.after] = Math.max(0, job.after - skipped);
      args += job.args.length;
    });
    return { words: words.subarray(0, args), count: jobs.length, widest };
  }

  #run({ words: list, count, widest }: JobList): void | Promise<void> {
    const words = new Int32Array(this.memory.memory.buffer);
    words.set(list, BASE + HEAD.words);
    words[BASE + HEAD.count] = count;
    words[BASE + HEAD.failed] = 0;
    this.#number = this.#number % 0x3fffffff + 1;
    Atomics.store(words, BASE + HEAD.run, this.#number);
    if (!this.waits) return this.#watch(words);
    // A list of single workgroups is over before anyone has woken up.
    if (widest > 1) this.#call(false);
    let failure: unknown;
    try {
      runJobs(words, BASE, (id) => this.#main(id), this.memory.kind.wide, STUCK);
    } catch (error) {
      failure = error;
    }
    const failed = this.#close(words);
    if (failure) throw failure;
    if (failed) throw new Error(`kernel number ${failed - 1} failed on another thread`);
  }

  #call(tell: boolean): void {
    const kernels = this.#modules.slice(this.#sent).map((m, i) => [this.#sent + i, m] as const);
    this.#sent = this.#modules.length;
    const { memory, kind: { wide } } = this.memory;
    const message: Run = { run: this.#number, memory, wide, base: BASE, kernels, tell };
    for (const w of this.#workers) w.postMessage(message);
  }

  /** Waits till no worker looks at the list any more; the number of a kernel that failed and 1, or 0. */
  #close(words: Int32Array): number {
    Atomics.store(words, BASE + HEAD.run, 0);
    for (;;) {
      const inside = Atomics.load(words, BASE + HEAD.inside);
      if (!inside) break;
      if (this.memory.shared) Atomics.wait(words, BASE + HEAD.inside, inside, 1);
    }
    return Atomics.load(words, BASE + HEAD.failed);
  }

  /** Where this thread must not wait, the first worker to find the list at its end tells. */
  #watch(words: Int32Array): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      let open = this.#workers.length;
      this.#over = (failure) => {
        if (failure) reject(new Error(failure));
        if (--open) return;
        Atomics.store(words, BASE + HEAD.run, 0);
        resolve();
      };
      this.#call(true);
    });
  }

  #main(id: number): Main {
    const { memory } = this.memory;
    if (this.#bound !== memory) {
      this.#bound = memory;
      this.#mains.clear();
    }
    let main = this.#mains.get(id);
    if (!main) {
      const { exports } = new WebAssembly.Instance(this.#modules[id], { d: { memory } });
      this.#mains.set(id, main = exports.main as Main);
    }
    return main;
  }

  async #start(): Promise<Worker> {
    const text = workerText(runJobs);
    const died = (why: unknown) => this.lost(`a thread of the CPU device died: ${why}`);
    const heard = (m: { run: number; failure?: string }) => {
      if (m.run === this.#number) this.#over?.(m.failure);
    };
    const { process } = globalThis as { process?: { versions?: { node?: string } } };
    if (process?.versions?.node) {
      const { Worker } = await import("node:worker_threads");
      const w = new Worker(text, { eval: true });
      w.on("error", died);
      w.on("exit", (code) => this.#workers.includes(w) && died(`it exited with ${code}`));
      w.on("message", heard);
      // An open device does not keep a script alive.
      w.unref();
      return w;
    }
    const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    const w = new Worker(url, { type: "module" });
    w.onerror = (e) => died(e.message);
    w.onmessage = (e) => heard(e.data);
    return w;
  }
}
