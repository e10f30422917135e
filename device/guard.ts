/**
 * Where asynchronous GPU errors are collected: WebGPU never throws, so every creation runs under error scopes here, and
 * the first failure is thrown by the next call that can throw.
 */
import type { AdapterProfile } from "../tensor/kernel.ts";
import { DeviceError, OutOfMemoryError } from "./errors.ts";

/** An opened GPU with its facts, and what has failed on it so far. */
export class Guard {
  readonly #pending = new Set<Promise<void>>();
  #failure: DeviceError | undefined;

  /** Listens for errors that no scope catches, and for the loss of the device. */
  constructor(readonly gpu: GPUDevice, readonly profile: AdapterProfile) {
    gpu.addEventListener("uncapturederror", (event) => {
      const { message } = (event as GPUUncapturedErrorEvent).error;
      this.fail(new DeviceError(`the GPU reported: ${message}`));
    });
    gpu.lost.then((info) => {
      if (info.reason !== "destroyed") {
        this.fail(new DeviceError(`the GPU was lost: ${info.message}`));
      }
    });
  }

  /** Remembers the first failure; it is thrown by the next call that can throw. */
  fail(error: DeviceError): void {
    this.#failure ??= error;
  }

  /** Throws what has failed so far, if anything. */
  check(): void {
    if (this.#failure) throw this.#failure;
  }

  /** Runs `create` under error scopes; a refusal is remembered with `what` in its message. */
  guarded<T>(what: string, create: () => T): T {
    this.gpu.pushErrorScope("out-of-memory");
    this.gpu.pushErrorScope("validation");
    const result = create();
    const settle = (pop: Promise<GPUError | null>, make: (m: string) => DeviceError) => {
      const p: Promise<void> = pop.then((e) => {
        if (e) this.fail(make(e.message));
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

  /** Waits until every error scope so far has answered, and throws what failed. */
  async settled(): Promise<void> {
    while (this.#pending.size) await Promise.all(this.#pending);
    this.check();
  }
}
