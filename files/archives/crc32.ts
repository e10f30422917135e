/** Checksums of 32 bits: that of PNG and zip (ISO 3309), and Castagnoli's, which TensorFlow's records have. */

/** Over a polynomial, lowest bit first. */
function checksum(polynomial: number): (bytes: Uint8Array) => number {
  const table = Uint32Array.from({ length: 256 }, (_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? polynomial ^ (n >>> 1) : n >>> 1;
    return n;
  });
  return (bytes) => {
    let c = 0xffffffff;
    for (const byte of bytes) c = table[(c ^ byte) & 255] ^ (c >>> 8);
    return (c ^ 0xffffffff) >>> 0;
  };
}

/** CRC-32 of some bytes. */
export const crc32: (bytes: Uint8Array) => number = checksum(0xedb88320);

/** CRC-32C of some bytes. */
export const crc32c: (bytes: Uint8Array) => number = checksum(0x82f63b78);
