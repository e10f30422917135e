/** The bytes of a pickle, taken from front to back: numbers, text, and lengths that are true. */
import { FileError } from "../errors.ts";

/** What is advised where a pickle makes no sense. */
export const DAMAGED = "The file is damaged: fetch or write it again";

/** The bytes ended before the pickle did. */
export class PickleCutShort extends FileError {}

/** Bytes of the longest whole number. */
const WIDEST = 1024;

/** Bytes and a place in them. */
export class PickleBytes {
  /** For numbers at a place that {@linkcode take} gave. */
  readonly view: DataView;

  /**
   * Begins at a place.
   *
   * @param file what to call it in messages
   */
  constructor(readonly bytes: Uint8Array, readonly file: string, public at: number) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Offset of the next `length` bytes, which are passed. */
  take(length: number): number {
    const start = this.at;
    if (length > this.bytes.length - start) {
      throw new PickleCutShort(this.file, "its pickle is cut short", DAMAGED);
    }
    this.at += length;
    return start;
  }

  uint(width: 1 | 2 | 4 | 8): number {
    const start = this.take(width);
    switch (width) {
      case 1:
        return this.view.getUint8(start);
      case 2:
        return this.view.getUint16(start, true);
      case 4:
        return this.view.getUint32(start, true);
      case 8:
        return Number(this.view.getBigUint64(start, true));
    }
  }

  raw(length: number): Uint8Array {
    const start = this.take(length);
    return this.bytes.slice(start, start + length);
  }

  text(length: number): string {
    const start = this.take(length);
    return new TextDecoder().decode(this.bytes.subarray(start, start + length));
  }

  /** Text up to a line's end. */
  line(): string {
    const end = this.bytes.indexOf(0x0a, this.at);
    const text = this.text((end < 0 ? this.bytes.length : end) - this.at);
    this.take(1);
    return text;
  }

  /** A whole number of any width, in two's complement. */
  long(width: number): number | bigint {
    if (width > WIDEST) {
      throw new FileError(this.file, `its pickle has a number of ${width} bytes`, DAMAGED);
    }
    const start = this.take(width);
    let value = 0n;
    for (let i = width - 1; i >= 0; i--) value = value << 8n | BigInt(this.bytes[start + i]);
    value = BigInt.asIntN(8 * width, value);
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }
}
