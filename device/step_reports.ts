/**
 * Says that steps are done when the GPU has done them. A program hands work over and waits for nothing, so that counting
 * what was handed over would run ahead of a GPU by as many steps as its queue holds.
 */
import type { Device } from "./device.ts";

/** Reports of one run, in order. */
export class StepReports {
  #last: Promise<void> = Promise.resolve();
  #failure: { readonly error: unknown } | undefined;
  #over = false;

  /** @param report called with how many steps are done, and of how many */
  constructor(
    readonly device: Pick<Device, "finished">,
    readonly report: ((done: number, total: number) => void) | undefined,
  ) {}

  /** A step has been handed to the GPU. Throws what an earlier report threw. */
  handed(done: number, total: number): void {
    if (this.#failure) throw this.#failure.error;
    if (!this.report) return;
    const finished = this.device.finished();
    this.#last = this.#last.then(() => finished).then(() => {
      if (!this.#over && !this.#failure) this.report!(done, total);
    }).catch((error) => {
      this.#failure ??= { error };
    });
  }

  /** Waits until all that was handed over has been reported. Throws what a report threw. */
  async settled(): Promise<void> {
    await this.#last;
    if (this.#failure) throw this.#failure.error;
  }

  /** Nothing is reported any more: the run has failed, or was stopped. */
  end(): void {
    this.#over = true;
  }
}
