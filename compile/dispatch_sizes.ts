/** The numbers that a program's dispatches are given as data, all in one buffer that is written once. */
import type { DeviceStorage } from "../device/buffers.ts";
import type { Device } from "../device/device.ts";
import { SIZES_BYTES } from "../tensor/sizes.ts";
import { sizesAreData, type WrittenKernel } from "./kernels.ts";

/** See above; on devices where numbers are literals there are none. */
export class DispatchSizes {
  readonly #storage: DeviceStorage | undefined;
  readonly #given: readonly boolean[];

  constructor(readonly device: Device, kernels: readonly WrittenKernel[]) {
    this.#given = kernels.map(({ sizes }) => sizes !== undefined);
    if (!sizesAreData(device.profile) || !kernels.length) return;
    const words = new Uint32Array(kernels.length * SIZES_BYTES / 4);
    kernels.forEach(({ sizes }, i) => sizes && words.set(sizes, i * SIZES_BYTES / 4));
    this.#storage = device.buffers.allocate(words.byteLength, "sizes");
    device.buffers.write(this.#storage, words);
  }

  /** Bytes that they take. */
  get bytes(): number {
    return this.#storage?.bytes ?? 0;
  }

  /** What a bind group has of them for a dispatch: at most one entry. */
  entries(dispatch: number, binding: number): GPUBindGroupEntry[] {
    if (!this.#given[dispatch]) return [];
    const { buffer } = this.#storage!;
    return [{
      binding,
      resource: { buffer, offset: dispatch * SIZES_BYTES, size: SIZES_BYTES },
    }];
  }

  /** Gives back their memory. */
  free(): void {
    if (this.#storage) this.device.buffers.free(this.#storage);
  }
}
