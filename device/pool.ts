/**
 * Buffers that nobody uses, kept for a while for whoever wants one of their size: making and destroying one costs more than
 * a small op. Few and small, so that what is kept is nothing beside a model.
 */

/** Most bytes that are kept, in all and of one buffer, and most buffers. */
const MOST = { bytes: 32 << 20, each: 8 << 20, count: 1024 } as const;

/** Spare buffers by size. */
export class Pool {
  /** Bytes kept. */
  bytes = 0;
  #count = 0;
  readonly #bySize = new Map<number, GPUBuffer[]>();

  /** @param drop what is done with a buffer that is kept no longer */
  constructor(readonly drop: (buffer: GPUBuffer) => void) {}

  /** A buffer of exactly this size, if one is there. What it holds is what it held before. */
  take(size: number): GPUBuffer | undefined {
    const buffer = this.#bySize.get(size)?.pop();
    if (!buffer) return undefined;
    this.bytes -= size;
    this.#count--;
    return buffer;
  }

  /** Keeps a buffer, or drops it where it is too large, and others where there are too many. */
  put(buffer: GPUBuffer): void {
    const { size } = buffer;
    if (size > MOST.each) return this.drop(buffer);
    const alike = this.#bySize.get(size) ?? [];
    // A size that was used of late is among the last to go.
    this.#bySize.delete(size);
    this.#bySize.set(size, alike);
    alike.push(buffer);
    this.bytes += size;
    this.#count++;
    while (this.bytes > MOST.bytes || this.#count > MOST.count) this.#dropOne();
  }

  /** Drops everything. */
  drain(): void {
    while (this.#count) this.#dropOne();
  }

  #dropOne(): void {
    for (const [size, alike] of this.#bySize) {
      const buffer = alike.pop();
      if (!buffer) {
        this.#bySize.delete(size);
        continue;
      }
      this.bytes -= size;
      this.#count--;
      return this.drop(buffer);
    }
  }
}
