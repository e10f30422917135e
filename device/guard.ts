/**
 * Where asynchronous GPU errors are collected: WebGPU never throws, so every creation runs under error scopes here, and
 * the first failure is thrown by the next call that can throw.
 */
import type { AdapterProfile } from "../tensor/kernel.ts";
import { DeviceError, OutOfMemoryError } from "./errors.ts";
import { Health } from "./health.ts";
import { Work } from "./work.ts";

/** An opened GPU with its facts, and what has failed on it so far. */
export class Guard {
  readonly #pending = new Set<Promise<void>>();
  #failure: DeviceError | undefined;
  #lost: DeviceError | undefined;
  /** @internal What it is given to do, in order. */
  readonly work: Work;

  /** Listens for errors that no scope catches, and for the loss of the device. */
  constructor(readonly gpu: GPUDevice, readonly profile: AdapterProfile) {
    this.work = new Work(gpu, profile.cpu);
    gpu.addEventListener("uncapturederror", (event) => {
      const { message } = (event as GPUUncapturedErrorEvent).error;
      this.fail(new DeviceError(`the GPU reported: ${message}`));
    });
    gpu.lost.then(({ reason, message }) => {
      const why = reason === "destroyed"
        ? "the device was destroyed"
        : `the GPU was lost: ${message}`;
      this.#lost ??= new DeviceError(why);
    });
  }

  /** Remembers the first failure; it is thrown, once, by the next call that waits for the GPU. */
  fail(error: DeviceError): void {
    this.#failure ??= error;
  }

  /** Throws when the device is gone for good. */
  check(): void {
    if (this.#lost) throw this.#lost;
  }

  /**
   * @internal Runs `create` under error scopes; a refusal is remembered with `what` in its message.
   *
   * @param health is told the answer; what hangs on it is refused from then on, and several refusals of one are said once
   */
  guarded<T>(what: string, create: () => T, health: Health = new Health()): T {
    this.gpu.pushErrorScope("out-of-memory");
    this.gpu.pushErrorScope("validation");
    const result = create();
    const settle = (pop: Promise<GPUError | null>, make: (m: string) => DeviceError) => {
      health.wait();
      const p: Promise<void> = pop.then((e) => {
        const refusal = e ? make(e.message) : undefined;
        if (refusal && !health.refusal) this.fail(refusal);
        health.answer(refusal);
      }).finally(() => this.#pending.delete(p));
      this.#pending.add(p);
    };
    settle(this.gpu.popErrorScope(), (m) => new DeviceError(`${what}: ${m}`));
    settle(
      this.gpu.popErrorScope(),
      (m) => new OutOfMemoryError(`${what}: out of GPU memory (${m})`),
    );
    return result;
  }

  /** Waits until every error scope so far has answered, and throws what failed; what did not is as good as before. */
  async settled(): Promise<void> {
    while (this.#pending.size) await Promise.all(this.#pending);
    this.check();
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure) throw failure;
  }
}
