/**
 * Memory of what nobody can reach any more. The garbage collector looks for it only when JavaScript's own memory runs short,
 * of which a tensor takes next to nothing. So it is told how much there is: by an array of JavaScript's that is dropped at
 * once, whenever a good deal of device memory has been handed out. What it has found it says between two tasks only; some
 * runtimes do not get to that while one task follows the other, so whoever waits for the device then waits for a timer.
 */

/**
 * The collector is told when so many bytes on the device have been handed out: a twentieth of what is in use, or this many.
 * What belongs to a tensor besides its values counts, too.
 */
const EVERY = { share: 1 / 20, least: 16 << 20, each: 8 << 10 } as const;
/** Bytes of JavaScript's that make it look. They are never touched, so that they cost addresses only. */
const HINT = 256 << 20;

/** Knows what is to be done when an object is unreachable. */
export class Reclaimer {
  readonly #registry = new FinalizationRegistry<() => void>((give) => give());
  #handedOut = 0;
  #due = false;

  /**
   * @param bytes of device memory that come back with the object
   * @param inUse bytes that are in use on the device
   * @param give gives them back; it must not reach the object
   */
  watch(owner: object, bytes: number, inUse: number, give: () => void): void {
    this.#registry.register(owner, give, owner);
    this.#handedOut += bytes + EVERY.each;
    if (this.#handedOut < Math.max(EVERY.least, EVERY.share * inUse)) return;
    this.#handedOut = 0;
    this.#due = true;
    try {
      void new ArrayBuffer(HINT);
    } catch {
      // Where there is no room for it, the collector has looked already.
    }
  }

  /** Lets the collector say what it has found, if it has been told to look; for whoever waits anyway. */
  async settled(): Promise<void> {
    if (!this.#due) return;
    this.#due = false;
    await new Promise((resolve) => setTimeout(resolve));
  }

  /** The owner gives its memory back itself. */
  forget(owner: object): void {
    this.#registry.unregister(owner);
  }
}
