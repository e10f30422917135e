/**
 * The host's values of a run, on the device: together in one buffer, as far as buffers should be so large. Most are a number
 * or two that are the same at the next run, or another one: what was written of late is found again, and what is new does
 * not wait for what is still being read.
 */
import { byteSize, type Spec } from "../../tensor/shape.ts";
import type { HostArray } from "../../tensor/dtype.ts";
import type { Device } from "../../device/device.ts";
import { ALIGN } from "../pieces.ts";

/** Bytes up to which written values are kept, and how many runs' values. */
const KEPT = { bytes: 4096, runs: 8 } as const;
/** Bytes up to which values share a buffer. */
const SHARED = 1 << 20;
const LABEL = "values of the host";

/** Writes the values of a program's runs. */
export class HostData {
  /** Where each value lies: in which of the buffers, and from which byte on. */
  readonly places: readonly { readonly at: number; readonly offset: number }[];
  readonly #sizes: number[] = [];
  readonly #kept: { readonly buffer: GPUBuffer; readonly values: Uint8Array<ArrayBuffer> }[] = [];
  #next = 0;

  constructor(readonly device: Device, specs: readonly Spec[]) {
    const sizes = this.#sizes;
    const most = Math.min(SHARED, device.profile.maxBuffer);
    this.places = specs.map((spec) => {
      const bytes = Math.max(ALIGN, Math.ceil(byteSize(spec) / ALIGN) * ALIGN);
      const last = sizes.length - 1;
      if (last < 0 || sizes[last] + bytes > most) return { at: sizes.push(bytes) - 1, offset: 0 };
      sizes[last] += bytes;
      return { at: last, offset: sizes[last] - bytes };
    });
  }

  /** Whether what is written is so little that it is kept. */
  get #keeps(): boolean {
    return this.#sizes.length === 1 && this.#sizes[0] <= KEPT.bytes;
  }

  /** The buffers with these values. */
  write(values: readonly HostArray[]): GPUBuffer[] {
    const wanted = this.#sizes.map((bytes) => new Uint8Array(bytes));
    values.forEach((v, i) => {
      const { at, offset } = this.places[i];
      wanted[at].set(new Uint8Array(v.buffer, v.byteOffset, v.byteLength), offset);
    });
    if (this.#keeps) return [this.#found(wanted[0])];
    return wanted.map((bytes) => {
      const buffer = this.device.buffers.take(bytes.length, LABEL);
      this.device.work.write(buffer, 0, bytes);
      return buffer;
    });
  }

  /** One of the kept buffers, with these values. */
  #found(wanted: Uint8Array<ArrayBuffer>): GPUBuffer {
    const { buffers, work } = this.device;
    const known = this.#kept.find(({ values }) => same(values, wanted));
    if (known) return known.buffer;
    const place = this.#next;
    this.#next = (place + 1) % KEPT.runs;
    const buffer = this.#kept[place]?.buffer ?? buffers.take(wanted.length, LABEL);
    if (!this.#kept[place]) buffers.setAside(buffer.size);
    this.#kept[place] = { buffer, values: wanted };
    work.write(buffer, 0, wanted);
    return buffer;
  }

  /** A run has taken what it needs of its buffers. */
  release(written: readonly GPUBuffer[]): void {
    if (!this.#keeps) { for (const buffer of written) this.device.buffers.recycle(buffer); }
  }

  /** Gives back what is kept. */
  free(): void {
    for (const { buffer } of this.#kept.splice(0)) {
      this.device.buffers.setAside(-buffer.size);
      this.device.buffers.recycle(buffer);
    }
  }
}

function same(a: Uint8Array<ArrayBuffer>, b: Uint8Array<ArrayBuffer>): boolean {
  const [x, y] = [new Uint32Array(a.buffer), new Uint32Array(b.buffer)];
  for (let i = 0; i < x.length; i++) if (x[i] !== y[i]) return false;
  return true;
}
