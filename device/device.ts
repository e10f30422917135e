/**
 * The device: one adapter opened with every limit and feature it has, the one owner of its buffers and pipelines, and
 * the place where asynchronous GPU errors are collected and thrown.
 */
import type { AdapterProfile } from "../tensor/kernel.ts";
import type { HostArray } from "../tensor/dtype.ts";
import { viewBytes } from "../tensor/dtype.ts";
import { byteSize } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { arrayTensor, storageOf } from "../ops/leaf.ts";
import { Buffers, DeviceStorage } from "./buffers.ts";
import { DeviceError } from "./errors.ts";
import { Guard } from "./guard.ts";
import { Pipelines } from "./pipelines.ts";
import { Readback } from "./readback.ts";

/** What is known of an opened adapter, for `doctor` and reports. */
export interface AdapterFacts {
  /** The driver's vendor. */
  readonly vendor: string;
  /** The adapter in the driver's words. */
  readonly description: string;
  /** The WebGPU features it was opened with. */
  readonly features: readonly string[];
}

/** An opened GPU. Make one with {@linkcode gpu}. */
export class Device extends Guard {
  /** @internal The one owner of buffers. */
  readonly buffers: Buffers;
  /** @internal Compiled kernels by their source. */
  readonly pipelines: Pipelines;
  readonly #readback: Readback;

  /** @internal Use {@linkcode gpu}. */
  constructor(gpu: GPUDevice, profile: AdapterProfile, readonly facts: AdapterFacts) {
    super(gpu, profile);
    this.buffers = new Buffers(this);
    this.pipelines = new Pipelines(this);
    this.#readback = new Readback(this);
  }

  /** Copies host data into new device memory. The caller owns the result: see {@linkcode Device.free}. */
  upload(data: HostArray, shape: readonly number[], dtype: Tensor["dtype"]): Tensor {
    const spec = { shape, dtype };
    const bytes = byteSize(spec);
    const storage = this.buffers.allocate(bytes, `array [${shape}]${dtype}`);
    this.buffers.write(storage, data);
    return arrayTensor(storage, spec);
  }

  /**
   * The same with data that comes in parts, in order: a large tensor is never on the host whole.
   *
   * @param parts all but the last of whole words (4 bytes)
   * @throws DeviceError when they are more or less than the tensor takes; whatever `parts` throws. Nothing stays allocated
   */
  async uploadParts(
    parts: AsyncIterable<HostArray>,
    shape: readonly number[],
    dtype: Tensor["dtype"],
  ): Promise<Tensor> {
    const spec = { shape, dtype };
    const bytes = byteSize(spec);
    const storage = this.buffers.allocate(bytes, `array [${shape}]${dtype}`);
    try {
      let at = 0;
      for await (const part of parts) {
        this.buffers.write(storage, part, at);
        at += part.byteLength;
      }
      if (Math.ceil(at / 4) * 4 !== bytes) {
        throw new DeviceError(`${at} bytes came for an array of ${bytes}`);
      }
    } catch (error) {
      this.buffers.free(storage);
      throw error;
    }
    return arrayTensor(storage, spec);
  }

  /** Reads a tensor that lies on this device back to the host. */
  async read(t: Tensor): Promise<HostArray> {
    const storage = deviceStorage(t);
    await this.settled();
    storage.check();
    if (t.size === 0) return viewBytes(t.dtype, new ArrayBuffer(0), 0);
    const bytes = await this.#readback.read(storage.buffer, storage.offset, byteSize(t.spec));
    this.check();
    return viewBytes(t.dtype, bytes, t.size);
  }

  /** Reads a one-element tensor. */
  async item(t: Tensor): Promise<number> {
    if (t.size !== 1) throw new DeviceError(`item() reads one element, the tensor is [${t.shape}]`);
    return Number((await this.read(t))[0]);
  }

  /** Gives back memory that {@linkcode Device.upload} or a copy made. */
  free(...tensors: Tensor[]): void {
    for (const t of tensors) this.buffers.free(deviceStorage(t));
  }

  /** Closes the device; everything on it is gone. */
  destroy(): void {
    this.gpu.destroy();
  }

  /** Closes the device at the end of a `using` scope. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}

/** The device memory behind a tensor. Throws when it has none or lost it. */
export function deviceStorage(t: Tensor): DeviceStorage {
  const storage = storageOf(t);
  if (!(storage instanceof DeviceStorage)) {
    throw new DeviceError(
      `this tensor ([${t.shape}]${t.dtype}, from ${t.node.op.name}) holds no device memory`,
    );
  }
  storage.check();
  return storage;
}
