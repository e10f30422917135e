/** Which dispatches a run needs: those that lay out an argument (`once`) only where it is not the one they laid out last. */
import { replayed, type Turns } from "./loops/turns.ts";
import type { DeviceStorage } from "../device/buffers.ts";

interface Dispatched {
  readonly dispatch: { readonly once?: boolean; readonly loops?: readonly Turns[] };
  /** Arguments that it reads or writes. */
  readonly positions: readonly number[];
}

/** Dispatches as they run, loops written out. */
const inOrder = <D extends Dispatched>(all: readonly D[]): readonly D[] =>
  replayed(all, ({ dispatch }) => dispatch);

/** The dispatches of a program, and what its layouts were made of. */
export class Due<D extends Dispatched> {
  readonly #every: readonly D[];
  readonly #layouts: readonly D[];
  readonly #made = new Map<D, readonly (DeviceStorage | undefined)[]>();

  constructor(readonly all: readonly D[]) {
    this.#every = inOrder(all.filter((d) => !d.dispatch.once));
    this.#layouts = all.filter((d) => d.dispatch.once);
  }

  /**
   * Those of a run, which is to follow.
   *
   * @param bound arguments by position. A handle stands for one value, as long as it is good
   * @param copied positions of the program's own copies, which have another value at each run
   */
  next(
    bound: readonly (DeviceStorage | undefined)[],
    copied: ReadonlySet<number>,
  ): readonly D[] {
    const stale = this.#layouts.filter((d) => {
      const made = this.#made.get(d);
      return !made || d.positions.some((p, i) => made[i] !== bound[p] || copied.has(p));
    });
    for (const d of stale) this.#made.set(d, d.positions.map((p) => bound[p]));
    if (!stale.length) return this.#every;
    const due = new Set([...stale, ...this.#every]);
    return inOrder(this.all.filter((d) => due.has(d)));
  }

  /** Layouts may be of anything: someone else runs the dispatches. */
  forget(): void {
    this.#made.clear();
  }
}
