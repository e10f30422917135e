/** What the compiler says of a text that it does not take: the line and the reason. Who compiles adds the kernel's name. */

/** A construct that is wrong, or that this device has not. */
export class WgslError extends Error {
  /** Always "WgslError". */
  override name = "WgslError";
  constructor(readonly line: number, readonly reason: string) {
    super(`line ${line}: ${reason}`);
  }
}
