/**
 * Reading results. An awaited `mapAsync` costs 11 ms under Deno 2.9 whatever the GPU does, because the runtime sleeps
 * between polls. There, a map that is requested and not awaited is already done when the call returns; elsewhere, and
 * whenever that does not hold, the map is awaited.
 */
import type { Guard } from "./guard.ts";
import type { DeviceStorage } from "./buffers.ts";
import { BufferUsage } from "./usage.ts";

const READ = 1; // GPUMapMode.READ

/** Staging buffers and the fast path of one device. */
export class Readback {
  readonly #staging = new Map<number, GPUBuffer>();
  readonly #fast: boolean;
  #queue: Promise<unknown> = Promise.resolve();
  constructor(readonly device: Guard) {
    this.#fast = !device.profile.cpu && eagerMapping();
  }

  /** Copies so many bytes of a storage to the host, after all work submitted so far. */
  read(storage: DeviceStorage, bytes: number): Promise<ArrayBuffer> {
    // One read at a time: staging buffers are reused and can be mapped once. The storage, not its buffer, is what waits:
    // once it is unreachable its memory is somebody else's.
    const next = this.#queue.then(() => this.#read(storage, bytes));
    this.#queue = next.catch(() => {});
    return next;
  }

  async #read({ buffer, offset }: DeviceStorage, bytes: number): Promise<ArrayBuffer> {
    const { gpu, work } = this.device;
    const size = 2 ** Math.ceil(Math.log2(Math.max(256, bytes)));
    const staging = this.#take(size);
    const encoder = gpu.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, offset, staging, 0, bytes);
    work.submit([encoder.finish()]);
    const mapped = staging.mapAsync(READ, 0, bytes);
    if (this.#fast) mapped.catch(() => {});
    else await mapped;
    const result = staging.getMappedRange(0, bytes).slice(0);
    staging.unmap();
    if (size > 1 << 24) {
      staging.destroy();
      this.#staging.delete(size);
    }
    return result;
  }

  #take(size: number): GPUBuffer {
    const known = this.#staging.get(size);
    if (known) return known;
    // Mapped at creation and unmapped: without one completed map, Deno's getMappedRange aborts the process.
    const usage = BufferUsage.MAP_READ | BufferUsage.COPY_DST;
    const made = this.device.guarded(
      `a staging buffer of ${size} bytes`,
      () => this.device.gpu.createBuffer({ size, usage, mappedAtCreation: true }),
    );
    made.unmap();
    this.#staging.set(size, made);
    return made;
  }
}

/** Whether this runtime is one whose `mapAsync` was measured to complete before it returns. */
function eagerMapping(): boolean {
  const { Deno } = globalThis as { Deno?: { version?: { deno?: string } } };
  return /^2\.9\./.test(Deno?.version?.deno ?? "");
}
