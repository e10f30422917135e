/**
 * Time that there is. What takes long is asked for before it begins, so that a slow machine ends in time with what it could
 * measure, and Ctrl-C ends between two measurements.
 */
import { duration } from "../../../numerics/quantities.ts";

/** Something was not begun, or not gone on with. */
export class Skipped extends Error {
  /** Always "Skipped". */
  override readonly name = "Skipped";
}

/** Milliseconds of a clock. */
type Clock = () => number;

/** The time of a run, or of a section of it. */
export class Budget {
  readonly #until: number;

  /**
   * @param seconds from now on
   * @param signal ends it
   */
  constructor(
    seconds: number,
    readonly signal?: AbortSignal,
    readonly now: Clock = () => performance.now(),
  ) {
    this.#until = now() + 1000 * seconds;
  }

  /** Seconds that are left; none once it was ended. */
  get left(): number {
    if (this.signal?.aborted) return 0;
    return Math.max(0, (this.#until - this.now()) / 1000);
  }

  /** A part of what is left, on the same clock. */
  part(share: number): Budget {
    return new Budget(this.left * Math.min(1, share), this.signal, this.now);
  }

  /** @throws Skipped where the run is to end */
  check(): void {
    if (this.signal?.aborted) throw new Skipped("stopped by Ctrl-C");
  }

  /** @throws Skipped where something would take longer than what is left, or the run is to end */
  need(seconds: number, what: string): void {
    this.check();
    if (seconds <= this.left) return;
    throw new Skipped(
      `${what} would take about ${duration(seconds)}, and ${duration(this.left)} are left: ` +
        "give more --minutes",
    );
  }
}
