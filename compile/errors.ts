/** What goes wrong when a program is drawn up, apart from what does the drawing, which is loaded with a device. */

/** A kernel would have to bind more than the adapter can, or a buffer would be larger than any that it makes. */
export class BindingError extends RangeError {
  /** Always "BindingError". */
  override name = "BindingError";
  /**
   * Puts the message together.
   *
   * @param what a value, by what holds it
   * @param bytes that it takes
   * @param limit in bytes
   * @param why what the limit is of
   */
  constructor(
    readonly what: string,
    readonly bytes: number,
    readonly limit: number,
    why: string,
  ) {
    super(
      `${what} takes ${bytes} bytes, more than the ${limit} that this adapter ${why}. ` +
        `Smaller pictures, smaller batches or f16 take less`,
    );
  }
}
