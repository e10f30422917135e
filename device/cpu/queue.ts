/**
 * The queue: commands in the order in which they are submitted. Where this thread may wait, a submit is over when it
 * returns; where it must not (a browser's main thread), everything after a submit is put behind it.
 */
import type { Command, CommandBuffer } from "./encoder.ts";
import type { LinearMemory } from "./memory.ts";
import type { CpuBuffer } from "./objects.ts";
import { addDispatch, Copies, Jobs, problemOf } from "./plan.ts";
import type { Scopes } from "./scopes.ts";
import { Replays } from "./replays.ts";
import type { Threads } from "./threads.ts";

/** The queue of a device. */
export class Queue {
  readonly #copies: Copies;
  readonly #replays = new Replays();
  /** What is under way, where submits are not over at once. */
  #busy: Promise<void> | undefined;
  #gone = false;

  constructor(
    readonly memory: LinearMemory,
    readonly threads: Threads,
    readonly scopes: Scopes,
  ) {
    this.#copies = new Copies(threads);
  }

  submit(buffers: readonly CommandBuffer[]): void {
    for (const buffer of buffers) {
      const commands = buffer.take();
      if (commands && this.#replays.find(commands, this.memory.kind)) {
        this.#then(() => this.#execute(commands));
        continue;
      }
      const problem = commands ? first(commands, problemOf) : "a command buffer is submitted twice";
      if (problem) this.scopes.report("validation", problem);
      else this.#then(() => this.#execute(commands!));
    }
  }

  writeBuffer(
    buffer: CpuBuffer,
    offset: number,
    data: ArrayBuffer | ArrayBufferView<ArrayBuffer>,
    from = 0,
    size?: number,
  ): void {
    const whole = data instanceof ArrayBuffer
      ? new Uint8Array(data)
      : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const unit = (data as { BYTES_PER_ELEMENT?: number }).BYTES_PER_ELEMENT ?? 1;
    const end = size === undefined ? whole.length : (from + size) * unit;
    if (end > whole.length || from < 0) {
      throw new DOMException(`${end} bytes of ${whole.length} are written`, "OperationError");
    }
    const bytes = whole.subarray(from * unit, end);
    const problem = buffer.problem ??
      (offset % 4 || bytes.length % 4 || offset + bytes.length > buffer.size
        ? `${bytes.length} bytes are written at ${offset} to "${buffer.label}" of ${buffer.size}`
        : undefined);
    if (problem) return this.scopes.report("validation", problem);
    const kept = this.#busy ? bytes.slice() : bytes;
    this.#then(() => this.memory.bytes.set(kept, buffer.address! + offset));
  }

  /** Resolves when all work submitted so far is done. */
  onSubmittedWorkDone(): Promise<void> {
    return this.#busy ?? Promise.resolve();
  }

  /** Runs `f` after what is under way. */
  after(f: () => void): void {
    this.#then(f);
  }

  /** Runs nothing any more. */
  stop(): void {
    this.#gone = true;
  }

  #then(f: () => void | Promise<void>): void {
    const guarded = (): void | Promise<void> => {
      if (this.#gone) return;
      try {
        const running = f();
        return running?.catch((error) => this.#lose(error));
      } catch (error) {
        this.#lose(error);
      }
    };
    if (!this.#busy) {
      const running = guarded();
      if (running) this.#keep(running);
    } else this.#keep(this.#busy.then(guarded));
  }

  #keep(running: Promise<void>): void {
    this.#busy = running;
    running.finally(() => {
      if (this.#busy === running) this.#busy = undefined;
    });
  }

  /** A kernel that failed leaves memory in an unknown state. */
  #lose(error: unknown): void {
    this.#gone = true;
    this.scopes.lose("unknown", (error as Error).message);
  }

  #execute(commands: readonly Command[]): void | Promise<void> {
    const { kind } = this.memory;
    const replay = this.#replays.find(commands, kind);
    if (replay) return this.threads.run(replay);
    let jobs = new Jobs();
    let under: Promise<void> | undefined;
    const then = (f: () => void | Promise<void>) => {
      if (under) under = under.then(f);
      else under = f() ?? undefined;
    };
    const whole = commands.every((c) => c.kind === "dispatch");
    const flush = () => {
      const { list } = jobs;
      jobs = new Jobs();
      if (!list.length) return;
      const lists = this.threads.compose(list);
      if (whole) this.#replays.keep(commands, lists, kind);
      then(() => this.threads.run(lists));
    };
    for (const c of commands) {
      if (c.kind === "dispatch") addDispatch(jobs, c, kind);
      else if (c.kind === "copy") this.#copies.add(jobs, c, kind);
      else {
        flush();
        then(() => this.#stamp(c));
      }
    }
    flush();
    return under;
  }

  #stamp(c: Extract<Command, { kind: "time" | "resolve" }>): void {
    if (c.kind === "time") {
      c.set.values[c.index] = BigInt(Math.round(performance.now() * 1e6));
      return;
    }
    const part = c.set.values.subarray(c.first, c.first + c.count);
    this.memory.bytes.set(
      new Uint8Array(part.buffer, part.byteOffset, part.byteLength),
      c.to.address! + c.offset,
    );
  }
}

/** The first answer that is not undefined. */
function first<T, R>(items: readonly T[], f: (t: T) => R | undefined): R | undefined {
  for (const item of items) {
    const found = f(item);
    if (found !== undefined) return found;
  }
}
