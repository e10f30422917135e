/** What goes wrong when a program is drawn up, apart from what does the drawing, which is loaded with a device. */

/** A kernel would have to bind more at once than the adapter can. */
export class BindingError extends RangeError {
  /** Always "BindingError". */
  override name = "BindingError";
  /**
   * Puts the message together.
   *
   * @param what a value, by what holds it
   * @param bytes that it takes
   * @param limit bytes of one binding
   */
  constructor(readonly what: string, readonly bytes: number, readonly limit: number) {
    super(
      `${what} takes ${bytes} bytes, more than the ${limit} that this adapter binds at once. ` +
        `Smaller pictures, smaller batches or f16 take less`,
    );
  }
}
