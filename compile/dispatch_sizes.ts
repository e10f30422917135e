/** The numbers that a program's dispatches are given as data, all in one buffer that is written once. */
import type { DeviceStorage } from "../device/buffers.ts";
import type { Device } from "../device/device.ts";
import { SIZES_BYTES } from "../tensor/sizes.ts";
import { sizesAreData, type WrittenKernel } from "./kernels.ts";

/** See above; on devices where numbers are literals there are none. */
export class DispatchSizes {
  readonly #storage: DeviceStorage | undefined;
  /** Where those of each dispatch lie; undefined where it has none. */
  readonly #places: readonly (number | undefined)[];

  constructor(
    readonly device: Device,
    dispatches: readonly { readonly body: string }[],
    kernels: readonly WrittenKernel[],
  ) {
    const slots = new Map(dispatches.map(({ body }) => [body, 0]));
    [...slots.keys()].forEach((body, slot) => slots.set(body, slot * SIZES_BYTES));
    this.#places = kernels.map(({ sizes }, i) => sizes && slots.get(dispatches[i].body));
    if (!sizesAreData(device.profile) || !slots.size) return;
    const words = new Uint32Array(slots.size * SIZES_BYTES / 4);
    kernels.forEach(({ sizes }, i) => sizes && words.set(sizes, this.#places[i]! / 4));
    this.#storage = device.buffers.allocate(words.byteLength, "sizes");
    device.buffers.write(this.#storage, words);
  }

  /** Bytes that they take. */
  get bytes(): number {
    return this.#storage?.bytes ?? 0;
  }

  /** What a bind group has of them for a dispatch: at most one entry. */
  entries(dispatch: number, binding: number): GPUBindGroupEntry[] {
    const offset = this.#places[dispatch];
    if (offset === undefined) return [];
    return [{ binding, resource: { buffer: this.#storage!.buffer, offset, size: SIZES_BYTES } }];
  }

  /** Gives back their memory. */
  free(): void {
    if (this.#storage) this.device.buffers.free(this.#storage);
  }
}
