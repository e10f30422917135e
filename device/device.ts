/**
 * The device: one adapter opened with every limit and feature it has, the one owner of its buffers and pipelines, and
 * the place where asynchronous GPU errors are collected and thrown.
 */
import type { AdapterProfile } from "../tensor/kernel.ts";
import { ARRAYS, type DType, type HostArray, viewBytes } from "../tensor/dtype.ts";
import { expectDType, expectFunction } from "../tensor/arguments.ts";
import {
  expectShape,
  hostValues,
  nest,
  type NestedNumbers,
  type TensorData,
} from "../tensor/host.ts";
import { byteSize, type Shape, show } from "../tensor/shape.ts";
import { expectTensor, Tensor } from "../tensor/tensor.ts";
import { flatten, type Tree } from "../tensor/tree.ts";
import { what } from "../tensor/what.ts";
import { arrayTensor, constantValues, storageOf, withoutMemory } from "../ops/leaf.ts";
import { Buffers, DeviceStorage } from "./buffers.ts";
import type { Backend } from "./environment.ts";
import { DeviceError } from "./errors.ts";
import { Guard } from "./guard.ts";
import { type CompileProgress, Pipelines } from "./pipelines.ts";
import { Readback } from "./readback.ts";

/** What the CPU device has. */
export interface CpuFacts {
  /** Threads that compute. */
  readonly threads: number;
  /** Cores that this process may use. */
  readonly cores: number;
  /** Why there are fewer threads than cores; undefined where there are not. */
  readonly fewer?: string;
  /** Multiply-add in one instruction. */
  readonly relaxedSimd: boolean;
  /** Memory that threads share. */
  readonly sharedMemory: boolean;
  /** More than 4 GiB. */
  readonly memory64: boolean;
}

/** What is known of an opened device, for `doctor` and reports. */
export interface AdapterFacts {
  /** What computes: the CPU by this library's own kernels, or an adapter of WebGPU. */
  readonly backend: Backend;
  /** Why that, and not the other. */
  readonly why: string;
  /** Whether the adapter is a program that stands in for a GPU. */
  readonly software: boolean;
  /** Of the CPU device. */
  readonly cpu?: CpuFacts;
  /** The driver's vendor. */
  readonly vendor: string;
  /** The device in words; an adapter in the driver's. */
  readonly description: string;
  /** The WebGPU features it was opened with. */
  readonly features: readonly string[];
  /** Bytes of the largest buffer that it makes: what programs are planned with. */
  readonly largestBuffer: number;
}

/** An opened GPU. Make one with {@linkcode gpu}. */
export class Device extends Guard {
  /** @internal The one owner of buffers. */
  readonly buffers: Buffers;
  /** @internal Compiled kernels by their source. */
  readonly pipelines: Pipelines;
  readonly #readback: Readback;
  static #compute: (device: Device, t: Tensor) => Tensor = (_device, t) => t;

  /** @internal How a tensor is computed that is read before it was: said once, by what stands above. */
  static computes(compute: (device: Device, t: Tensor) => Tensor): void {
    Device.#compute = compute;
  }

  /** @internal Use {@linkcode gpu}. */
  constructor(gpu: GPUDevice, profile: AdapterProfile, readonly facts: AdapterFacts) {
    super(gpu, profile);
    this.buffers = new Buffers(this);
    this.pipelines = new Pipelines(this);
    this.#readback = new Readback(this);
  }

  /**
   * Hears how far a program is that is made ready for its first run: traced, planned, its kernels compiled. Steps that
   * are timed should not count that in.
   */
  set onCompile(listener: ((at: CompileProgress) => void) | undefined) {
    this.pipelines.onProgress = listener;
  }

  /** Fulfilled when the GPU has done all that it was given so far. */
  async finished(): Promise<void> {
    await this.work.done();
    await this.buffers.reclaimed();
  }

  /**
   * Copies host data into new device memory. The caller owns the result: see {@linkcode Device.free}.
   *
   * @param data, shape, dtype what {@linkcode tensor} takes, converted and refused as there
   */
  upload(data: TensorData, shape?: Shape, dtype?: DType): Tensor {
    const { data: values, ...spec } = hostValues("device.upload", data, shape, dtype);
    const storage = this.buffers.allocate(byteSize(spec), `array ${show(spec)}`);
    this.buffers.write(storage, values);
    return arrayTensor(this.buffers.made(storage), spec);
  }

  /**
   * The same with data that comes in parts, in order: a large tensor is never on the host whole.
   *
   * @param parts all but the last of whole words (4 bytes)
   * @throws TypeError when a part is no array of this element type: parts are not converted; RangeError when one of bool, a
   *   Uint32Array, has others than 0 and 1
   * @throws DeviceError when they are more or less than the tensor takes; whatever `parts` throws. Nothing stays allocated
   */
  async uploadParts(
    parts: AsyncIterable<HostArray>,
    shape: readonly number[],
    dtype: Tensor["dtype"],
  ): Promise<Tensor> {
    expectDType("device.uploadParts", dtype);
    expectShape("device.uploadParts", 1, shape);
    const spec = { shape, dtype };
    const bytes = byteSize(spec);
    const storage = this.buffers.allocate(bytes, `array ${show(spec)}`);
    try {
      let at = 0;
      for await (const part of parts) {
        if (!(part instanceof ARRAYS[dtype])) {
          throw new TypeError(`device.uploadParts: a part of ${show(spec)} is ${what(part)}`);
        }
        if (dtype === "bool" && part.some((v) => v > 1)) {
          throw new RangeError(
            `device.uploadParts: a part of ${show(spec)} has others than 0 and 1`,
          );
        }
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

  /**
   * Values of a tensor on the host, row-major, in memory of their own: a `Float32Array`, `Float16Array`, `Int32Array` or
   * `Uint32Array`; truth values are 0 and 1 in a `Uint32Array`.
   *
   * @param t lies on this device, is a constant, or is computed for this from what does
   * @throws TypeError when it is no tensor, or an argument of a function that is being traced
   * @throws DeviceError when its memory was freed, donated or overwritten, or the GPU failed
   */
  async read(t: Tensor): Promise<HostArray> {
    expectTensor("device.read", "its argument", t);
    const constant = constantValues(t);
    if (constant) return constant.slice();
    if (!storageOf(t)) return await this.#readComputed(t);
    const storage = this.#storage("device.read", t);
    await this.settled();
    this.#storage("device.read", t); // What the GPU has said meanwhile.
    if (t.size === 0) return viewBytes(t.dtype, new ArrayBuffer(0), 0);
    const bytes = await this.#readback.read(storage, byteSize(t.spec));
    await this.buffers.reclaimed();
    this.check();
    return viewBytes(t.dtype, bytes, t.size);
  }

  /** Reads what is computed for that alone. */
  async #readComputed(t: Tensor): Promise<HostArray> {
    const computed = Device.#compute(this, t);
    if (computed === t) deviceStorage("device.read", t);
    const values = await this.read(computed);
    this.free(computed);
    return values;
  }

  /**
   * Values of a tensor as lists of numbers, or of true and false, nested as deep as its shape; of a scalar its number. See
   * {@linkcode Device.read}.
   */
  async toArray(t: Tensor): Promise<NestedNumbers> {
    expectTensor("device.toArray", "its argument", t);
    return nest(await this.read(t), t.spec);
  }

  /**
   * The value of a tensor of one element, 0 or 1 of bool: see {@linkcode Device.read}.
   *
   * @throws DeviceError when it has none or several
   */
  async item(t: Tensor): Promise<number> {
    expectTensor("device.item", "its argument", t);
    if (t.size !== 1) {
      throw new DeviceError(`device.item reads one element, the tensor is ${show(t.spec)}`);
    }
    return Number((await this.read(t))[0]);
  }

  /**
   * Gives back memory that {@linkcode Device.upload} or `evaluate` made; using the tensors after that throws. Results of a
   * compiled function are its own, and are freed with it.
   *
   * @throws DeviceError when one of them lies elsewhere or is gone already; then none is freed
   */
  free(...tensors: Tensor[]): void {
    const storages = new Set(tensors.map((t, i) => {
      expectTensor("device.free", `argument ${i + 1}`, t);
      return this.#storage("device.free", t);
    }));
    for (const storage of storages) this.buffers.free(storage);
  }

  /**
   * Runs a function, and frees what {@linkcode Device.upload}, `evaluate` and donation made for it meanwhile, but for what it
   * returns: a tree of tensors, or anything without them. Scopes may lie in each other; what one returns belongs to the one
   * around.
   *
   * @throws TypeError when it returns a promise: what it would compute later is in no scope. Whatever the function throws;
   *   then everything is freed
   */
  scope<R>(run: () => R): R {
    expectFunction("device.scope", 0, "run", run);
    return this.buffers.scope(run, (result) => {
      if (typeof (result as PromiseLike<unknown> | undefined)?.then === "function") {
        throw new TypeError(
          "device.scope: its function returned a promise. What lies in a scope does not wait; read what it returns",
        );
      }
      return flatten<unknown>(result as Tree<unknown>).flatMap(([, leaf]) => {
        const storage = leaf instanceof Tensor ? storageOf(leaf) : undefined;
        return storage instanceof DeviceStorage ? [storage] : [];
      });
    });
  }

  #storage(who: string, t: Tensor): DeviceStorage {
    const storage = deviceStorage(who, t);
    if (this.buffers.has(storage.buffer)) return storage;
    throw new DeviceError(`${who}: the tensor ${show(t.spec)} lies on another device`);
  }

  /** Closes the device; everything on it is gone. */
  destroy(): void {
    this.work.forget();
    this.gpu.destroy();
  }

  /** Closes the device at the end of a `using` scope. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}

/** Refuses what is no device. */
export function expectDevice(who: string, device: unknown): void {
  if (device instanceof Device) return;
  throw new TypeError(
    `${who}: argument 1 (device) is ${what(device)}, not a device: const device = await gpu()`,
  );
}

/** The device memory behind a tensor that `who` was given. Throws when it has none or lost it. */
export function deviceStorage(who: string, t: Tensor): DeviceStorage {
  const storage = storageOf(t);
  if (!(storage instanceof DeviceStorage)) throw new DeviceError(`${who}: ${withoutMemory(t)}`);
  storage.check(() => `${who}: the tensor ${show(t.spec)}`);
  return storage;
}
