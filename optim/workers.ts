/**
 * Worker threads of a loader: a few of one module, each with one example at a time, so that a slow one holds up nothing else.
 * Web workers, as browsers, Deno and Bun have them.
 */
import { expectFunction } from "../tensor/arguments.ts";

/** Where an example stands. */
export interface ExampleContext {
  /** Its place among the examples. */
  readonly index: number;
  /** Epoch, from 0. */
  readonly epoch: number;
  /** A key of its own for this example in this epoch, for whatever is drawn: two u32, which `hostNormal` or a tensor take. */
  readonly key: [number, number];
}

interface Job<T> {
  readonly example: T;
  readonly context: ExampleContext;
}

/** What a worker answers. */
type Answer<U> = { readonly value: U } | { readonly error: string };

interface Waiting<T, U> extends Job<T> {
  readonly resolve: (value: U) => void;
  readonly reject: (error: Error) => void;
}

/** Threads of a module that calls {@linkcode serveExamples}. */
export class WorkerPool<T, U> {
  readonly #idle: Worker[] = [];
  readonly #all: Worker[] = [];
  readonly #queue: Waiting<T, U>[] = [];
  readonly #under = new Map<Worker, Waiting<T, U>>();
  #failed?: Error;

  /** Starts them. */
  constructor(module: string | URL, count: number) {
    if (typeof Worker === "undefined") {
      throw new Error("loader: this runtime has no Worker: give map in place of worker");
    }
    for (let i = 0; i < count; i++) {
      const worker = new Worker(module, { type: "module" });
      worker.onmessage = ({ data }: MessageEvent<Answer<U>>) => this.#answered(worker, data);
      worker.onmessageerror = () =>
        this.#broken(new Error("an answer can't be copied to this thread"));
      worker.onerror = (event: ErrorEvent) => {
        event.preventDefault();
        this.#broken(new Error(`a worker failed: ${event.message || `${module} can't be loaded`}`));
      };
      this.#all.push(worker);
      this.#idle.push(worker);
    }
  }

  /** One example, by the next thread that is free. */
  run(example: T, context: ExampleContext): Promise<U> {
    if (this.#failed) return Promise.reject(this.#failed);
    return new Promise<U>((resolve, reject) => {
      this.#queue.push({ example, context, resolve, reject });
      this.#next();
    });
  }

  #next(): void {
    while (this.#idle.length && this.#queue.length) {
      const job = this.#queue.shift()!, worker = this.#idle[0];
      try {
        const message: Job<T> = { example: job.example, context: job.context };
        worker.postMessage(message);
      } catch (error) {
        // What can't be copied is the fault of the example, and leaves the thread as it was.
        job.reject(error as Error);
        continue;
      }
      this.#idle.shift();
      this.#under.set(worker, job);
    }
  }

  #answered(worker: Worker, answer: Answer<U>): void {
    const job = this.#under.get(worker);
    this.#under.delete(worker);
    this.#idle.push(worker);
    if ("error" in answer) job?.reject(new Error(answer.error));
    else job?.resolve(answer.value);
    this.#next();
  }

  #broken(error: Error): void {
    this.#failed = error;
    for (const job of [...this.#under.values(), ...this.#queue]) job.reject(error);
    this.end();
  }

  /** Ends all threads, whatever they are doing. */
  end(): void {
    for (const worker of this.#all) worker.terminate();
    this.#under.clear();
    this.#queue.length = this.#idle.length = 0;
  }
}

// The types of a worker's own scope and of a document's can't be loaded together.
interface Scope {
  onmessage: ((event: { data: Job<unknown> }) => void) | null;
  postMessage(answer: Answer<unknown>): void;
}

/**
 * Makes the module that calls it the worker of a loader: the loader's `worker` option names it.
 *
 * @param map what becomes of each example, now or later. Examples and results are copied from thread to thread
 */
export function serveExamples<T, U>(
  map: (example: T, context: ExampleContext) => U | Promise<U>,
): void {
  expectFunction("serveExamples", 0, "map", map);
  const scope = globalThis as unknown as Scope;
  scope.onmessage = async ({ data: { example, context } }) => {
    try {
      scope.postMessage({ value: await map(example as T, context) });
    } catch (error) {
      scope.postMessage({ error: error instanceof Error ? error.message : String(error) });
    }
  };
}
