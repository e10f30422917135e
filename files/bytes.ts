/** Small readings of bytes that several file formats share. */

/** Bytes `from` to `to` as Latin-1, one letter a byte. */
export function latin1(bytes: Uint8Array, from = 0, to = bytes.length): string {
  let text = "";
  for (const byte of bytes.subarray(from, to)) text += String.fromCharCode(byte);
  return text;
}

/** Bytes as hexadecimal digits; the runtimes' own `toHex` is too young for Node 22 and for browsers of 2024. */
export const hexOf = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** A whole number of `count` bytes, the highest first; bytes that are not there are zeros. */
export function bigEndian(bytes: Uint8Array, at: number, count: number): number {
  let n = 0;
  for (let i = 0; i < count; i++) n = n * 256 + (bytes[at + i] ?? 0);
  return n;
}

/** The same, the lowest byte first. */
export function littleEndian(bytes: Uint8Array, at: number, count: number): number {
  let n = 0;
  for (let i = count - 1; i >= 0; i--) n = n * 256 + (bytes[at + i] ?? 0);
  return n;
}

/** Parts one after the other. */
export function joinedBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
