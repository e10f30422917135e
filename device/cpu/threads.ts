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
/** Smallest parts of a job for each thread, which takes half of what is left at a time: more even out the load, fewer cost less. */
const CHUNKS = { heavy: 128, light: 4 } as const;
/** Most shares of a job: more threads have one together. */
const SHARES = 8;
/** More kernels than anyone knows. */
const MESSAGES_ONLY = 0x7fffffff;
/** Looks at a thread that is leaving before this one waits for it. */
const LOOKS = 1000;
/** Milliseconds of waiting after which this thread looks whether the others are alive: it hears of that between tasks only. */
const PATIENCE = 500;

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
  readonly #modules: { readonly module: WebAssembly.Module; readonly label: string }[] = [];
  readonly #mains = new Map<number, Main>();
  readonly #waits = mayWait();
  #bound: WebAssembly.Memory | undefined;
  #sent = 0;
  #number = 0;
  /** Hears that a worker has come to the end of the list, where this thread does not wait. */
  #over: (() => void) | undefined;
  /** Ends what is under way, and why nothing runs any more. */
  #stop: ((why: Error) => void) | undefined;
  #dead: Error | undefined;
  /** What a worker said of a kernel that failed. */
  #failure: string | undefined;

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
    for (let i = 0; i < helpers; i++) {
      threads.#workers.push(await threads.#start(i + (threads.#waits ? 1 : 0)));
    }
    return threads;
  }

  /** Threads that compute. */
  get count(): number {
    return this.#workers.length + (this.#waits || !this.#workers.length ? 1 : 0);
  }

  /** Into how many shares each job falls. */
  get #shares(): number {
    return Math.min(this.count, SHARES);
  }

  get #jobWords(): number {
    return JOB.shares + this.#shares * JOB.share;
  }

  /** Whether a submit is over when {@linkcode Threads.run} returns. */
  get waits(): boolean {
    return this.#waits || !this.#workers.length;
  }

  /** Wakes every worker for a list without jobs; resolves when all have answered. Nothing else may be under way. */
  wake(): Promise<void> {
    if (!this.#workers.length) return Promise.resolve();
    return this.#watch(this.#begin({ words: new Int32Array(0), count: 0, widest: 0 }));
  }

  /** Registers a kernel; its number. */
  add(module: WebAssembly.Module, label: string): number {
    return this.#modules.push({ module, label }) - 1;
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
      const needed = this.#jobWords + job.args.length + 4;
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

  /**
   * Runs lists, one after the other. What this thread waits for is over when it returns, unless the other threads took very
   * long.
   */
  run(lists: readonly JobList[]): void | Promise<void> {
    return lists.reduce<void | Promise<void>>(
      (before, list) => before ? before.then(() => this.#run(list)) : this.#run(list),
      undefined,
    );
  }

  /** Ends the workers, and what is under way. */
  destroy(): void {
    this.#end(new Error("the device was destroyed"));
    for (const w of this.#workers.splice(0)) w.terminate();
  }

  #end(why: Error): void {
    this.#dead ??= why;
    this.#stop?.(this.#dead);
  }

  /** Ends the workers behind the device's back, or has them fail. For tests. */
  kill(how: "end" | "fail" = "end"): void {
    for (const w of this.#workers) how === "end" ? w.terminate() : w.postMessage(undefined);
  }

  #compose(jobs: readonly Job[], skipped: number): JobList {
    const size = jobs.reduce((n, { args }) => n + this.#jobWords + args.length + 4, 0);
    const words = new Int32Array(size);
    let args = jobs.length * this.#jobWords;
    let widest = 1;
    jobs.forEach((job, i) => {
      const at = i * this.#jobWords;
      args = Math.ceil(args / 4) * 4;
      words.set(job.args, args);
      const chunks = this.count * CHUNKS[job.heavy ? "heavy" : "light"];
      widest = Math.max(widest, job.groups);
      words[at + JOB.kernel] = job.kernel;
      words[at + JOB.args] = (BASE + HEAD.words + args) * 4;
      words[at + JOB.groups] = job.groups;
      words[at + JOB.chunk] = Math.max(1, Math.ceil(job.groups / chunks));
      words[at + JOB.after] = Math.max(0, job.after - skipped);
      args += job.args.length;
    });
    return { words: words.subarray(0, args), count: jobs.length, widest };
  }

  /** Puts a list where all threads look; the memory's words. */
  #begin({ words: list, count }: JobList): Int32Array {
    if (this.#dead) throw this.#dead;
    const words = new Int32Array(this.memory.memory.buffer);
    words.set(list, BASE + HEAD.words);
    words[BASE + HEAD.count] = count;
    words[BASE + HEAD.shares] = this.#shares;
    words[BASE + HEAD.failed] = words[BASE + HEAD.endless] = 0;
    this.#failure = undefined;
    this.#number = this.#number % 0x3fffffff + 1;
    // Where this thread does not wait, it is told by messages when a submit is over.
    words[BASE + HEAD.kernels] = this.waits ? this.#modules.length : MESSAGES_ONLY;
    Atomics.store(words, BASE + HEAD.run, this.#number);
    return words;
  }

  #run(list: JobList): void | Promise<void> {
    const words = this.#begin(list);
    if (!this.waits) return this.#watch(words);
    const awake = this.#sent === this.#modules.length &&
      Atomics.load(words, BASE + HEAD.waiting) === this.#workers.length;
    // A list of single workgroups is over before anyone has woken up.
    if (list.widest > 1 && !awake) this.#call(false);
    return this.#take(words);
  }

  /** Takes part in a list till it is over; where that takes long, this thread's other tasks have a turn between. */
  #take(words: Int32Array): void | Promise<void> {
    if (this.#dead) throw this.#dead;
    let over = true;
    let failure: unknown;
    try {
      over = runJobs(words, BASE, (id) => this.#main(id), this.memory.kind.wide, 0, PATIENCE);
    } catch (error) {
      failure = error;
    }
    if (over && this.#close(words)) return this.#judge(words, failure);
    return new Promise<void>((resolve) => setTimeout(resolve)).then(() => this.#take(words));
  }

  /** Throws when a kernel failed, and says which. */
  #judge(words: Int32Array, failure: unknown): void {
    const failed = Atomics.load(words, BASE + HEAD.failed);
    if (!failed) {
      if (failure) throw failure;
      return;
    }
    const why = Atomics.load(words, BASE + HEAD.endless)
      ? "a loop in it does not end"
      : failure instanceof Error
      ? failure.message
      : failure ?? "on another thread";
    throw new Error(`kernel "${this.#modules[failed - 1].label}" failed: ${why}`);
  }

  #call(tell: boolean): void {
    const kernels = this.#modules.slice(this.#sent).map(({ module }, i) =>
      [this.#sent + i, module] as const
    );
    this.#sent = this.#modules.length;
    const { memory, kind: { wide } } = this.memory;
    const message: Run = { run: this.#number, memory, wide, base: BASE, kernels, tell };
    for (const w of this.#workers) w.postMessage(message);
  }

  /** Waits till no worker looks at the list any more; whether that is so before patience ends. */
  #close(words: Int32Array): boolean {
    Atomics.store(words, BASE + HEAD.run, 0);
    const since = performance.now();
    for (let looks = 0;; looks++) {
      const inside = Atomics.load(words, BASE + HEAD.inside);
      if (!inside) return true;
      // Whoever is still inside is about to leave; being woken takes longer.
      if (looks < LOOKS) continue;
      if (performance.now() - since > PATIENCE) return false;
      if (this.memory.shared) Atomics.wait(words, BASE + HEAD.inside, inside, 1);
    }
  }

  /** Where this thread must not wait, the first worker to find the list at its end tells. */
  #watch(words: Int32Array): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      let open = this.#workers.length;
      this.#stop = reject;
      this.#over = () => {
        if (--open) return;
        Atomics.store(words, BASE + HEAD.run, 0);
        resolve();
      };
      this.#call(true);
    }).then(() => this.#judge(words, this.#failure));
  }

  #main(id: number): Main {
    const { memory } = this.memory;
    if (this.#bound !== memory) {
      this.#bound = memory;
      this.#mains.clear();
    }
    let main = this.#mains.get(id);
    if (!main) {
      const { exports } = new WebAssembly.Instance(this.#modules[id].module, { d: { memory } });
      this.#mains.set(id, main = exports.main as Main);
    }
    return main;
  }

  async #start(number: number): Promise<Worker> {
    const text = workerText(runJobs, number);
    const died = (why: unknown) => {
      if (this.#dead) return;
      this.#end(new Error(`a thread of the CPU device died: ${why}`));
      this.lost(this.#dead!.message);
    };
    const heard = (m: { run: number; failure?: string }) => {
      if (m.run !== this.#number) return;
      this.#failure ??= m.failure;
      this.#over?.();
    };
    const { process } = globalThis as { process?: { versions?: { node?: string } } };
    if (process?.versions?.node) {
      const { Worker } = await import(
        /* webpackIgnore: true */ /* @vite-ignore */ "node:worker_threads"
      );
      const w = new Worker(text, { eval: true });
      w.on("error", died);
      w.on("exit", (code) => died(`it exited with ${code}`));
      w.on("message", heard);
      // An open device does not keep a script alive.
      w.unref();
      return w;
    }
    const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    const w = new Worker(url, { type: "module" });
    w.onerror = (e) => {
      // The device is lost; the page, or the script, need not be.
      e.preventDefault();
      died(e.message);
    };
    w.onmessage = (e) => heard(e.data);
    return w;
  }
}
