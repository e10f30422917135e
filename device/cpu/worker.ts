/** What a worker does: it waits for messages, each of which is one submit, and works through its jobs. */
import type { Main, runJobs } from "./jobs.ts";

/** A submit, as workers hear of it. */
export interface Run {
  /** Its number: a worker that comes when it is over finds another number in the list. */
  readonly run: number;
  readonly memory: WebAssembly.Memory;
  readonly wide: boolean;
  /** Word at which the list begins. */
  readonly base: number;
  /** Kernels that are new since the last message, by number. */
  readonly kernels: readonly (readonly [id: number, module: WebAssembly.Module])[];
  /** Whether the sender does not look on, and wants to be told. */
  readonly tell: boolean;
}

interface Port {
  on?(event: "message", f: (m: Run) => void): void;
  onmessage?: (e: { data: Run }) => void;
  postMessage(m: unknown): void;
}

/** The whole of a worker; it must be self-contained, since it is sent as text. */
async function work(jobs: typeof runJobs, thread: number): Promise<void> {
  let port = globalThis as unknown as Port;
  const here = globalThis as unknown as { process?: { versions?: { node?: string } } };
  if (here.process?.versions?.node) {
    const threads = await import("node:worker_threads");
    port = threads.parentPort as unknown as Port ?? port;
  }
  const modules = new Map<number, WebAssembly.Module>();
  const mains = new Map<number, Main>();
  let bound: WebAssembly.Memory | undefined;
  const hear = ({ run, memory, wide, base, kernels, tell }: Run) => {
    for (const [id, module] of kernels) modules.set(id, module);
    if (bound !== memory) {
      bound = memory;
      mains.clear();
    }
    const words = new Int32Array(memory.buffer);
    const kernelOf = (id: number): Main => {
      let main = mains.get(id);
      if (!main) {
        const { exports } = new WebAssembly.Instance(modules.get(id)!, { d: { memory } });
        mains.set(id, main = exports.main as Main);
      }
      return main;
    };
    /** Works through the list of a submit, if that is still the one that runs; what went wrong. */
    const take = (run: number): string | undefined => {
      Atomics.add(words, base + 1, 1);
      try {
        if (Atomics.load(words, base) === run) {
          jobs(words, base, kernelOf, wide, thread, Infinity);
        }
      } catch (error) {
        return (error as Error).message;
      } finally {
        Atomics.sub(words, base + 1, 1);
        Atomics.notify(words, base + 1);
      }
    };
    const failure = take(run);
    if (tell || failure) port.postMessage({ run, failure });
    // Submits often follow at once: a message about each would take a tenth of a millisecond.
    const LINGER = 2;
    const pause = (Atomics as unknown as { pause?: () => void }).pause ?? (() => {});
    for (let done = run; !tell;) {
      Atomics.add(words, base + 5, 1);
      let next = 0;
      const since = performance.now();
      do {
        for (let i = 0; i < 50 && !next; i++) {
          const now = Atomics.load(words, base);
          if (now !== done) next = now;
          pause();
        }
      } while (!next && performance.now() - since < LINGER);
      Atomics.sub(words, base + 5, 1);
      // Who submits in this moment may have counted on this thread, and sends no message.
      next ||= Atomics.load(words, base);
      if (!next || next === done || words[base + 6] > modules.size) return;
      const failure = take(next);
      if (failure) port.postMessage({ run: next, failure });
      done = next;
    }
  };
  if (port.on) port.on("message", hear);
  else port.onmessage = (e) => hear(e.data);
}

/** The text of the worker of a number. */
export const workerText = (jobs: typeof runJobs, thread: number): string =>
  `(${work})(${jobs}, ${thread}).catch((e) => { throw e; });`;
