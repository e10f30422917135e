/**
 * A loader of examples: their order by key, batches made ahead, by threads if wanted, and a position that is plain data.
 *
 * Why an order by key and not by a generator: which examples batch b of epoch e has is then a function of key, e and b, so
 * that a run that goes on from a saved position gets the very same batches, however many were made ahead when it ended.
 */
import { expectFunction, expectOptions } from "../tensor/arguments.ts";
import { isExtent } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { what } from "../tensor/what.ts";
import { hostPermutation } from "../ops/random/choose.ts";
import { hostKey } from "../ops/random/keys.ts";
import { foldKey, type Key } from "../ops/random/threefry.ts";
import { type ExampleContext, WorkerPool } from "./workers.ts";

/** Examples: a list, or anything that has a length and gives one by its place, now or later. */
export type Examples<T> = readonly T[] | {
  readonly length: number;
  readonly get: (index: number) => T | Promise<T>;
};

/** Options of {@linkcode loader}. */
export interface LoaderOptions<T, U = T, B = U[]> {
  /** Examples of a batch. */
  readonly batch: number;
  /** Whether each epoch has an order of its own. Default false: that of the examples. */
  readonly shuffle?: boolean;
  /** Decides orders and what examples draw: a key that the host knows, or a seed. Default the seed 0. */
  readonly key?: Tensor | Key | number;
  /** Whether a last batch that is short is left out. Default false: it is given, short. */
  readonly dropLast?: boolean;
  /** What becomes of each example, now or later: decoding, augmentation. Examples of a batch are under way together. */
  readonly map?: (example: T, context: ExampleContext) => U | Promise<U>;
  /** In place of `map`, a module whose worker threads do it: it calls `serveExamples`. */
  readonly worker?: string | URL;
  /** How many threads. Default 2. */
  readonly workers?: number;
  /** What becomes of a batch of them: `stackExamples`, for one. Default: the list. */
  readonly collate?: (examples: U[]) => B | Promise<B>;
  /** Batches that are made ahead of the one in use. Default 2; 0 for none. */
  readonly prefetch?: number;
  /** The epoch at which `for await` ends, counted from 0 over everything. Default: at the end of the epoch that it is in. */
  readonly epochs?: number;
  /** Where to go on: the `state` of a loader like this one. */
  readonly state?: LoaderState;
}

/** A position: plain data, which goes through JSON. */
export interface LoaderState {
  /** Finished epochs. */
  readonly epoch: number;
  /** Batches of the epoch that were given out. */
  readonly batch: number;
  /** What decides which batches there are: another loader refuses the position. */
  readonly of: {
    readonly examples: number;
    readonly batch: number;
    readonly shuffle: boolean;
    readonly dropLast: boolean;
    readonly key: readonly [number, number];
  };
}

/** Batches, for `for await`. */
export interface Loader<B> extends AsyncIterable<B> {
  /** Batches of an epoch. */
  readonly length: number;
  /**
   * The position behind the batch that was given out last. Assigned, the next `for await` goes on there.
   *
   * Assigning throws TypeError for what is no position, and RangeError for one of another loader, or while batches are read.
   */
  state: LoaderState;
}

/**
 * A loader of examples. Each `for await` over it gives the batches that are left of the epoch, or of all epochs where
 * `epochs` says how many; at its end, at `break`, and when something throws, its threads are ended.
 *
 * ```ts ignore
 * const batches = loader(files, { batch: 32, shuffle: true, key: 1, map: decode, collate: stackExamples });
 * for (let epoch = 0; epoch < 10; epoch++) {
 *   for await (const batch of batches) state = step(state, batch).state;
 * }
 * ```
 *
 * @throws TypeError for an argument of another kind; RangeError for a number out of its range
 */
export function loader<T, U = T, B = U[]>(
  examples: Examples<T>,
  options: LoaderOptions<T, U, B>,
): Loader<B> {
  return new Batches(examples, options);
}

const OPTIONS = {
  batch: "number",
  shuffle: "true or false",
  key: "any",
  dropLast: "true or false",
  map: "function",
  worker: "any",
  workers: "number",
  collate: "function",
  prefetch: "number",
  epochs: "number",
  state: "any",
} as const;

class Batches<T, U, B> implements Loader<B> {
  readonly length: number;
  readonly #options: LoaderOptions<T, U, B>;
  readonly #of: LoaderState["of"];
  readonly #get: (index: number) => T | Promise<T>;
  readonly #orders = new Map<number, Uint32Array>();
  #at = { epoch: 0, batch: 0 };
  #reading = false;

  constructor(examples: Examples<T>, options: LoaderOptions<T, U, B>) {
    expectOptions("loader", 1, options, OPTIONS);
    const { batch, shuffle = false, dropLast = false, key = 0 } = options;
    counted("batch", batch, 1);
    counted("prefetch", options.prefetch ?? 0, 0);
    counted("workers", options.workers ?? 1, 1);
    if (options.epochs !== Infinity) counted("epochs", options.epochs ?? 1, 0);
    if (options.map && options.worker !== undefined) {
      throw new TypeError("loader: it takes either map or worker, not both");
    }
    this.#get = getterOf(examples);
    this.#options = options;
    const [a, b] = hostKey("loader", key);
    this.#of = { examples: examples.length, batch, shuffle, dropLast, key: [a, b] };
    this.length = (dropLast ? Math.floor : Math.ceil)(examples.length / batch);
    if (options.state !== undefined) this.state = options.state;
  }

  get state(): LoaderState {
    return { ...this.#at, of: this.#of };
  }

  set state(state: LoaderState) {
    if (this.#reading) throw new RangeError("loader: its position is set while batches are read");
    const { epoch, batch, of } = checkedState(state);
    for (const [name, value] of Object.entries(this.#of)) {
      const other = of[name as keyof typeof of];
      if (String(other) === String(value)) continue;
      throw new RangeError(
        `loader: the position is of another loader: ${name} is ${other} there, ${value} here`,
      );
    }
    if (batch > this.length) {
      throw new RangeError(`loader: the position is batch ${batch} of ${this.length}`);
    }
    this.#at = batch === this.length && batch > 0
      ? { epoch: epoch + 1, batch: 0 }
      : { epoch, batch };
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<B, void, void> {
    if (this.#reading) {
      throw new Error(
        "loader: its batches are being read already; a second loader reads them apart",
      );
    }
    this.#reading = true;
    const { prefetch = 2, epochs = this.#at.epoch + 1, worker, workers = 2 } = this.#options;
    const pool = worker === undefined ? undefined : new WorkerPool<T, U>(worker, workers);
    const ahead: Promise<B>[] = [];
    let next = { ...this.#at };
    try {
      while (this.length) {
        while (ahead.length <= prefetch && next.epoch < epochs) {
          const made = this.#make(next.epoch, next.batch, pool);
          made.catch(() => {}); // Heard of when its turn comes.
          ahead.push(made);
          next = this.#behind(next);
        }
        const first = ahead.shift();
        if (!first) break;
        const batch = await first;
        this.#at = this.#behind(this.#at);
        yield batch;
      }
      if (!this.length && Number.isFinite(epochs)) this.#at = { epoch: epochs, batch: 0 };
    } finally {
      pool?.end();
      this.#orders.clear();
      this.#reading = false;
    }
  }

  #behind({ epoch, batch }: { epoch: number; batch: number }) {
    return batch + 1 < this.length ? { epoch, batch: batch + 1 } : { epoch: epoch + 1, batch: 0 };
  }

  async #make(epoch: number, batch: number, pool: WorkerPool<T, U> | undefined): Promise<B> {
    const { map, collate } = this.#options;
    const { examples, batch: size, key } = this.#of;
    const order = this.#orderOf(epoch);
    const from = batch * size, count = Math.min(size, examples - from);
    const one = async (i: number): Promise<U> => {
      const index = order ? order[from + i] : from + i;
      try {
        const example = await this.#get(index);
        if (!map && !pool) return example as unknown as U;
        const context = { index, epoch, key: foldKey(foldKey(key, 2 * epoch + 1), index) };
        return await (pool ? pool.run(example, context) : map!(example, context));
      } catch (cause) {
        const message = cause instanceof Error ? cause.message : String(cause);
        throw new Error(`loader: example ${index} of epoch ${epoch}: ${message}`, { cause });
      }
    };
    const made = await Promise.all(Array.from({ length: count }, (_, i) => one(i)));
    return collate ? await collate(made) : made as unknown as B;
  }

  /** The order of an epoch; those of epochs before the one in use are forgotten. */
  #orderOf(epoch: number): Uint32Array | undefined {
    if (!this.#of.shuffle) return undefined;
    for (const old of this.#orders.keys()) if (old < this.#at.epoch) this.#orders.delete(old);
    let order = this.#orders.get(epoch);
    if (!order) {
      order = hostPermutation(foldKey(this.#of.key, 2 * epoch), this.#of.examples);
      this.#orders.set(epoch, order);
    }
    return order;
  }
}

function counted(name: string, value: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least) return;
  throw new RangeError(
    `loader: options.${name} is ${value}, not a whole number of at least ${least}`,
  );
}

function getterOf<T>(examples: Examples<T>): (index: number) => T | Promise<T> {
  if (Array.isArray(examples)) return (i) => examples[i];
  const source = examples as { length: number; get: (index: number) => T | Promise<T> };
  if (source === null || typeof source !== "object" || !isExtent(source.length)) {
    throw new TypeError(
      `loader: argument 1 (examples) is ${what(examples)}, not a list or { length, get }`,
    );
  }
  expectFunction("loader", 0, "examples.get", source.get);
  return (i) => source.get(i);
}

function checkedState(state: LoaderState): LoaderState {
  const whole = (x: unknown) => Number.isSafeInteger(x) && (x as number) >= 0;
  if (
    state !== null && typeof state === "object" && whole(state.epoch) && whole(state.batch) &&
    state.of !== null && typeof state.of === "object"
  ) return state;
  throw new TypeError(`loader: the position is ${what(state)}, not the state of a loader`);
}
