/**
 * The one owner of GPU memory. JavaScript's garbage collector does not see GPU buffers, so every buffer is created and
 * destroyed here, counted, and checked on use.
 */
import type { HostArray } from "../tensor/dtype.ts";
import type { Storage } from "../ops/leaf.ts";
import type { Guard } from "./guard.ts";
import { DeviceError, OutOfMemoryError } from "./errors.ts";
import { Health, unproven } from "./health.ts";
import { bufferSize } from "./memory.ts";
import { BufferUsage } from "./usage.ts";

/** A range of a GPU buffer that holds a tensor's value. */
export class DeviceStorage implements Storage {
  #gone: string | undefined;
  constructor(
    readonly buffer: GPUBuffer,
    readonly offset: number,
    readonly bytes: number,
    /** Whether this storage alone owns the buffer (and `free` destroys it). */
    readonly owned: boolean,
    /** For results that a program overwrites: says so once the program has run again. */
    readonly stale?: () => string | undefined,
    /** What its value hangs on, of which the GPU had not said yet that it is good. */
    readonly healths: readonly Health[] = [],
  ) {}

  /** Declares the value gone, with the reason that later uses report. */
  invalidate(reason: string): void {
    this.#gone ??= reason;
  }

  /** Why the value is there no more, and what to do about it. */
  get gone(): string | undefined {
    return this.#gone ?? this.stale?.();
  }

  /**
   * Throws when the value is there no more.
   *
   * @param name what messages call it: who uses it, which of its arguments it is, its spec
   */
  check(name: () => string): void {
    const why = this.gone;
    if (why) throw new DeviceError(`${name()} is used after ${why}`);
    const refusal = this.healths.find((h) => h.refusal)?.refusal;
    if (refusal) {
      throw new DeviceError(
        `${name()} has no value, since the GPU refused what computes it: ${refusal.message}`,
        { cause: refusal },
      );
    }
  }
}

/** Creates, counts and destroys buffers. */
export class Buffers {
  /** Bytes allocated now. */
  allocated = 0;
  /** The most bytes that were ever allocated at once. */
  peak = 0;
  readonly #live = new Set<GPUBuffer>();

  constructor(readonly device: Guard) {}

  /** A buffer for tensors: usable by kernels and by copies. */
  create(bytes: number, label: string, health: Health = new Health()): GPUBuffer {
    const { gpu, profile } = this.device;
    if (bytes > profile.maxBuffer) {
      throw new OutOfMemoryError(
        `${label} needs ${bytes} bytes in one buffer; the adapter allows ${profile.maxBuffer}`,
      );
    }
    const size = bufferSize(bytes);
    const usage = BufferUsage.STORAGE | BufferUsage.UNIFORM | BufferUsage.COPY_SRC |
      BufferUsage.COPY_DST;
    const buffer = this.device.guarded(
      `allocating ${size} bytes for ${label}`,
      () => gpu.createBuffer({ label, size, usage }),
      health,
    );
    this.#live.add(buffer);
    this.allocated += size;
    this.peak = Math.max(this.peak, this.allocated);
    return buffer;
  }

  /**
   * Memory for one tensor, owned by it.
   *
   * @param hangsOn what the value that will be put there hangs on
   */
  allocate(bytes: number, label: string, hangsOn: readonly Health[] = []): DeviceStorage {
    const health = new Health();
    const buffer = this.create(bytes, label, health);
    return new DeviceStorage(buffer, 0, bytes, true, undefined, [...unproven(hangsOn), health]);
  }

  /** Writes host data (padded to whole words) at the start of a storage, or from a multiple of 4 bytes on. */
  write(to: DeviceStorage, data: HostArray, offset = 0): void {
    const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
    if (offset % 4 || offset + bytes.length > Math.max(to.bytes, 4)) {
      throw new DeviceError(`${bytes.length} bytes written at ${offset} to ${to.bytes}`);
    }
    const whole = bytes.length % 4 === 0 ? bytes : padded(bytes);
    // Large uploads pass through staging memory that is freed by the next submit.
    const step = 64 << 20;
    for (let at = 0; at < whole.length; at += step) {
      const n = Math.min(step, whole.length - at);
      this.device.gpu.queue.writeBuffer(to.buffer, to.offset + offset + at, whole, at, n);
      if (whole.length > step) this.device.gpu.queue.submit([]);
    }
  }

  /** Whether a buffer was made here and is still there. */
  has(buffer: GPUBuffer): boolean {
    return this.#live.has(buffer);
  }

  /** Destroys a buffer made by {@linkcode Buffers.create}. */
  destroy(buffer: GPUBuffer): void {
    if (!this.#live.delete(buffer)) throw new DeviceError("a buffer is destroyed twice");
    this.allocated -= buffer.size;
    buffer.destroy();
  }

  /** Gives back a storage; later uses of it throw. */
  free(storage: DeviceStorage): void {
    storage.invalidate("its memory was freed (device.free, or free() of what made it)");
    if (storage.owned && this.#live.has(storage.buffer)) this.destroy(storage.buffer);
  }
}

function padded(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
  whole.set(bytes);
  return whole;
}
