/** Zip archives of stored entries, written front to back. Bytes begin at multiples of 64, where PyTorch expects them. */
import { crc32 } from "./crc32.ts";
import { FileError } from "../errors.ts";

const ALIGNMENT = 64;
/** What 32 bits count to. */
const FULL = 0xffffffff;

/** Fields that an entry's two headers share, from the version needed on: `[value, bytes]`. */
const shared = (crc: number, size: number, name: number, extra: number): [number, number][] => [
  [20, 2],
  [1 << 11, 2], // names are UTF-8
  [0, 2], // stored
  [0, 2],
  [0x21, 2], // 1980-01-01, so that the same content gives the same file
  [crc, 4],
  [size, 4],
  [size, 4],
  [name, 2],
  [extra, 2],
];

/** See above. */
export class ZipWriter {
  readonly #directory: Uint8Array[] = [];
  #at = 0;

  /**
   * Begins an archive.
   *
   * @param path for messages
   * @param put takes the bytes of the file in order
   */
  constructor(readonly path: string, readonly put: (bytes: Uint8Array) => Promise<void>) {}

  /** Adds an entry. Throws {@linkcode FileError} where the archive would exceed 4 GB. */
  async add(name: string, content: Uint8Array): Promise<void> {
    const label = new TextEncoder().encode(name), crc = crc32(content), at = this.#at;
    const start = at + 30 + label.length + 4;
    const padding = (ALIGNMENT - start % ALIGNMENT) % ALIGNMENT;
    if (start + padding + content.length > FULL - 2 ** 24) {
      throw new FileError(
        this.path,
        "would be larger than 4 GB, the most that is written as a zip archive, which it is",
        "Choose a format in safetensors",
      );
    }
    const fields = (extra: number) => shared(crc, content.length, label.length, extra);
    await this.#put(record([0x04034b50, 4], ...fields(4 + padding)));
    await this.#put(label);
    // An extra field of the kind that PyTorch pads with.
    await this.#put(record([0x4246, 2], [padding, 2]));
    await this.#put(new Uint8Array(padding).fill(0x5a));
    await this.#put(content);
    this.#directory.push(
      record([0x02014b50, 4], [20, 2], ...fields(0), [0, 2], [0, 2], [0, 2], [0, 4], [at, 4]),
      label,
    );
  }

  /** Writes the directory. */
  async end(): Promise<void> {
    const start = this.#at, count = this.#directory.length / 2;
    if (count > 0xfffe) throw new FileError(this.path, `would hold ${count} entries`);
    for (const part of this.#directory) await this.#put(part);
    const length = this.#at - start;
    await this.#put(
      record([0x06054b50, 4], [0, 2], [0, 2], [count, 2], [count, 2], [length, 4], [start, 4], [
        0,
        2,
      ]),
    );
  }

  async #put(bytes: Uint8Array): Promise<void> {
    this.#at += bytes.length;
    if (bytes.length) await this.put(bytes);
  }
}

/** Little-endian numbers of so many bytes. */
function record(...fields: [value: number, bytes: number][]): Uint8Array {
  const bytes = new Uint8Array(fields.reduce((sum, [, width]) => sum + width, 0));
  let at = 0;
  for (const [value, width] of fields) {
    for (let i = 0; i < width; i++) bytes[at++] = value >>> (8 * i);
  }
  return bytes;
}
