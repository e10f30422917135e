/** Event files of TensorBoard read back: every record's length and both checksums must hold. */
import { assertEquals } from "@std/assert";

/** CRC-32C by its definition, a bit at a time, masked as TFRecord has it. */
function masked(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >>> 1 ^ 0x82f63b78 : crc >>> 1;
  }
  crc = ~crc >>> 0;
  return ((crc >>> 15 | crc << 17) + 0xa282ead8) >>> 0;
}

/** The contents of all records. */
export function readRecords(file: Uint8Array): Uint8Array[] {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const out: Uint8Array[] = [];
  for (let at = 0; at < file.length;) {
    const length = Number(view.getBigUint64(at, true)), end = at + 12 + length;
    assertEquals(view.getUint32(at + 8, true), masked(file.subarray(at, at + 8)));
    assertEquals(view.getUint32(end, true), masked(file.subarray(at + 12, end)));
    out.push(file.subarray(at + 12, end));
    at = end + 4;
  }
  return out;
}
