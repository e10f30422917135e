/** Sizes of memory as people write them and as buffers have them, and the refusal of what does not fit. */

/** A budget is too small for what was asked; the message says what would be needed. */
export class MemoryError extends Error {
  /** Always "MemoryError". */
  override name = "MemoryError";
  /**
   * Puts the message together.
   *
   * @param needed bytes of the smallest plan
   */
  constructor(message: string, readonly needed: number) {
    super(message);
  }
}

/**
 * Bytes in a size such as `"6GB"`, `"900 MB"` or `"4GiB"`; a number is bytes already.
 *
 * @throws RangeError for any other text, and for a number that is no size
 */
export function memorySize(size: string | number): number {
  if (typeof size === "number") {
    if (size > 0) return size;
    throw new RangeError(`${size} is no size of memory: it must be a positive number of bytes`);
  }
  const found = /^(\d+(?:\.\d+)?)\s*([KMGT])(i?)B?$/i.exec(size.trim());
  if (!found) throw new RangeError(`"${size}" is no size of memory such as "6GB" or "900MB"`);
  const [, number, unit, binary] = found;
  const power = "KMGT".indexOf(unit.toUpperCase()) + 1;
  const bytes = Math.round(Number(number) * (binary ? 1024 : 1000) ** power);
  if (bytes > 0) return bytes;
  throw new RangeError(`"${size}" is no size of memory: it must be more than nothing`);
}

/** Bytes of the buffer that holds so many. */
export const bufferSize = (bytes: number): number => Math.max(16, Math.ceil(bytes / 16) * 16);
