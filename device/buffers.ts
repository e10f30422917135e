/**
 * The one owner of GPU memory. JavaScript's garbage collector does not see GPU buffers, so every buffer is created and
 * destroyed here, counted, and checked on use. Who counts gives memory back (`free`, scopes); what becomes unreachable
 * without that comes back when the collector has found it.
 */
import type { HostArray } from "../tensor/dtype.ts";
import type { Storage } from "../ops/leaf.ts";
import type { Guard } from "./guard.ts";
import { DeviceError, OutOfMemoryError } from "./errors.ts";
import { Health, unproven } from "./health.ts";
import { bufferSize } from "./memory.ts";
import { Pool } from "./pool.ts";
import { Reclaimer } from "./reclaimer.ts";
import { TENSOR_USAGE } from "./usage.ts";

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

  /** Whether nothing is known against its value. */
  get good(): boolean {
    return this.#gone === undefined && !this.stale?.() && this.healths.every((h) => !h.refusal);
  }

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

/** Allocations up to this many bytes share one answer of the GPU, so that a long chain of them hangs on few. */
const SMALL = 1 << 16;

/** Creates, counts and destroys buffers. */
export class Buffers {
  /** Bytes in use now. */
  allocated = 0;
  /** The most bytes that were ever in use at once. */
  peak = 0;
  readonly #live = new Set<GPUBuffer>();
  readonly #pool = new Pool((buffer) => {
    this.device.work.release(buffer);
    buffer.destroy();
  });
  readonly #healths = new WeakMap<GPUBuffer, Health>();
  readonly #reclaimer = new Reclaimer();
  /** What was made in each open scope, the innermost last. */
  readonly #scopes: Set<DeviceStorage>[] = [];
  #smallHealth = new Health();
  #aside = 0;

  constructor(readonly device: Guard) {}

  /** Bytes kept for reuse. */
  get spare(): number {
    return this.#pool.bytes + this.#aside;
  }

  /** Counts so many bytes of what is in use as kept for reuse; fewer than none, the other way round. */
  setAside(bytes: number): void {
    this.allocated -= bytes;
    this.#aside += bytes;
  }

  /** A buffer for tensors: usable by kernels and by copies. */
  create(bytes: number, label: string, health: Health = new Health()): GPUBuffer {
    const { gpu, profile } = this.device;
    if (bytes > profile.maxBuffer) {
      throw new OutOfMemoryError(
        `${label} needs ${bytes} bytes in one buffer, and the largest here has ${profile.maxBuffer}: smaller ` +
          "pictures, smaller batches or f16 take less",
      );
    }
    const size = bufferSize(bytes);
    const buffer = this.device.guarded(
      `allocating ${size} bytes for ${label}`,
      () => gpu.createBuffer({ label, size, usage: TENSOR_USAGE }),
      health,
    );
    this.#healths.set(buffer, health);
    return this.#use(buffer);
  }

  /** A spare buffer, or a new one: see {@linkcode Buffers.create}. */
  take(bytes: number, label: string): GPUBuffer {
    for (let spare; (spare = this.#pool.take(bufferSize(bytes)));) {
      if (!this.healthOf(spare).refusal) return this.#use(spare);
      spare.destroy();
    }
    return this.create(bytes, label, bytes > SMALL ? new Health() : this.#small());
  }

  /** What the GPU said, or has still to say, of the memory of a buffer. */
  healthOf(buffer: GPUBuffer): Health {
    return this.#healths.get(buffer)!;
  }

  #use(buffer: GPUBuffer): GPUBuffer {
    this.#live.add(buffer);
    this.allocated += buffer.size;
    this.peak = Math.max(this.peak, this.allocated);
    return buffer;
  }

  /**
   * Memory for one tensor, owned by it.
   *
   * @param hangsOn what the value that will be put there hangs on
   */
  allocate(bytes: number, label: string, hangsOn: readonly Health[] = []): DeviceStorage {
    const buffer = this.take(bytes, label);
    return this.#owned(buffer, bytes, unproven([...hangsOn, this.healthOf(buffer)]));
  }

  /** The health that small allocations hang on, until the GPU has answered for all so far. */
  #small(): Health {
    const known = this.#smallHealth;
    return known.proven || known.refusal ? this.#smallHealth = new Health() : known;
  }

  #owned(buffer: GPUBuffer, bytes: number, healths: readonly Health[]): DeviceStorage {
    const storage = new DeviceStorage(buffer, 0, bytes, true, undefined, healths);
    this.#reclaimer.watch(storage, buffer.size, this.allocated, () => this.recycle(buffer));
    return storage;
  }

  /** The same memory under a new handle; the old one is good no more, for the reason that is given. */
  handOver(old: DeviceStorage, hangsOn: readonly Health[], reason: string): DeviceStorage {
    old.invalidate(reason);
    if (!old.owned) {
      return new DeviceStorage(old.buffer, old.offset, old.bytes, false, undefined, hangsOn);
    }
    this.#reclaimer.forget(old);
    const taken = this.#owned(old.buffer, old.bytes, hangsOn);
    for (const made of this.#scopes) if (made.delete(old)) made.add(taken);
    return taken;
  }

  /** Buffers that are to go with an object, when nobody can reach that any more. */
  destroyWith(owner: object, buffers: readonly GPUBuffer[]): void {
    const bytes = buffers.reduce((n, b) => n + b.size, 0);
    this.#reclaimer.watch(
      owner,
      bytes,
      this.allocated,
      () => buffers.forEach((b) => this.destroy(b)),
    );
  }

  /** Leaves buffers to whoever destroys them. */
  keepFrom(owner: object): void {
    this.#reclaimer.forget(owner);
  }

  /** Takes back what has become unreachable, where that may be a good deal. */
  reclaimed(): Promise<void> {
    return this.#reclaimer.settled();
  }

  /** Notes that a storage was made for the caller, whose innermost scope gives it back. */
  made(storage: DeviceStorage): DeviceStorage {
    this.#scopes.at(-1)?.add(storage);
    return storage;
  }

  /**
   * Runs something, and frees what was made for its caller meanwhile.
   *
   * @param kept what of the outcome stays, as that of the scope around
   */
  scope<R>(run: () => R, kept: (result: R) => Iterable<DeviceStorage>): R {
    const made = new Set<DeviceStorage>();
    this.#scopes.push(made);
    const stay = new Set<DeviceStorage>();
    try {
      const result = run();
      for (const storage of kept(result)) stay.add(storage);
      return result;
    } finally {
      this.#scopes.splice(this.#scopes.lastIndexOf(made), 1);
      for (const storage of made) {
        if (stay.has(storage)) this.made(storage);
        else this.free(storage);
      }
    }
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
      this.device.work.write(to.buffer, to.offset + offset + at, whole, at, n);
      if (whole.length > step) this.device.work.submit([]);
    }
  }

  /** Whether a buffer was made here and is still there. */
  has(buffer: GPUBuffer): boolean {
    return this.#live.has(buffer);
  }

  /** Destroys a buffer made by {@linkcode Buffers.create}. */
  destroy(buffer: GPUBuffer): void {
    this.#unuse(buffer);
    this.device.work.release(buffer);
    buffer.destroy();
  }

  /** Gives back a buffer that may be used again for something else, behind all work so far. */
  recycle(buffer: GPUBuffer): void {
    if (this.healthOf(buffer).refusal) return this.destroy(buffer);
    this.#unuse(buffer);
    this.#pool.put(buffer);
  }

  #unuse(buffer: GPUBuffer): void {
    if (!this.#live.delete(buffer)) throw new DeviceError("a buffer is destroyed twice");
    this.allocated -= buffer.size;
  }

  /** Gives back a storage; later uses of it throw. */
  free(storage: DeviceStorage): void {
    const before = storage.gone;
    storage.invalidate("its memory was freed (a scope, device.free, or free() of what made it)");
    if (before || !storage.owned || !this.has(storage.buffer)) return;
    this.#reclaimer.forget(storage);
    this.recycle(storage.buffer);
  }
}

function padded(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
  whole.set(bytes);
  return whole;
}
