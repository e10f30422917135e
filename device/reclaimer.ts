/**
 * Memory of what nobody can reach any more. The garbage collector says so some time after it has found it, and looks for it
 * only when JavaScript's own memory runs short, of which a tensor takes next to nothing. So it is told how much there is:
 * by an array of JavaScript's that is dropped at once, whenever a good deal of device memory has been handed out.
 */

/** Bytes on the device after which the collector is told. */
const EVERY = 32 << 20;
/** Bytes of JavaScript's that make it look. They are never touched, so that they cost addresses only. */
const HINT = 256 << 20;

/** Knows what is to be done when an object is unreachable. */
export class Reclaimer {
  readonly #registry = new FinalizationRegistry<() => void>((give) => give());
  #handedOut = 0;

  /**
   * @param bytes of device memory that come back with the object
   * @param give gives them back; it must not reach the object
   */
  watch(owner: object, bytes: number, give: () => void): void {
    this.#registry.register(owner, give, owner);
    this.#handedOut += bytes;
    if (this.#handedOut < EVERY) return;
    this.#handedOut = 0;
    try {
      void new ArrayBuffer(HINT);
    } catch {
      // Where there is no room for it, the collector has looked already.
    }
  }

  /** The owner gives its memory back itself. */
  forget(owner: object): void {
    this.#registry.unregister(owner);
  }
}
