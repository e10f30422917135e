/** Opening the device that was chosen (`choice.ts`), with every limit and feature that it has. */
import type { AdapterProfile } from "../tensor/kernel.ts";
import { choose, isSoftware, nameOf, ON_CPU, type WantedDevice } from "./choice.ts";
import type { CpuOptions } from "./cpu.ts";
import { Device } from "./device.ts";
import { AdapterError } from "./errors.ts";
import { largestBuffer, wantedBuffer } from "./largest.ts";
import { expectOptions } from "../tensor/arguments.ts";
import type { CompileProgress } from "./pipelines.ts";

export type { Backend } from "./environment.ts";
export { requestAdapter } from "./choice.ts";

/** Options of {@linkcode gpu}. */
export interface GpuOptions extends CpuOptions, WantedDevice {
  /** Whether shaders may use f16 where the adapter can (default), or not even then. For tests. */
  readonly f16?: boolean;
  /** Hears how far the kernels of a program are compiled, before it runs for the first time. */
  readonly onCompile?: (at: CompileProgress) => void;
}

const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxStorageBuffersPerShaderStage",
] as const;

/**
 * Opens the best device there is.
 *
 * On Linux Mesa's drivers may write two lines about XDG_RUNTIME_DIR to stderr where it is not set and Deno runs without
 * `--allow-env=XDG_RUNTIME_DIR`.
 *
 * @throws TypeError when there is no such option
 * @throws AdapterError when what was asked for is missing: WebGPU, an adapter, hardware
 * @throws RangeError for a backend that does not exist, for no whole number of threads, and for what is no size of a buffer
 */
export async function gpu(options: GpuOptions = {}): Promise<Device> {
  expectOptions("gpu", 0, options, {
    backend: "any",
    hardware: "true or false",
    f16: "true or false",
    onCompile: "function",
    largestBuffer: "any",
    threads: "number",
    narrow: "number",
    careful: "true or false",
  });
  const opened = await open(options);
  opened.onCompile = options.onCompile;
  return opened;
}

async function open(options: GpuOptions): Promise<Device> {
  const { adapter, why } = await choose(options);
  if (adapter) return await openAdapter(adapter, options, why);
  // Where a GPU answers, nobody needs the compiler to WebAssembly.
  const { openCpu } = await import("./cpu.ts");
  return await openCpu(options, why);
}

async function openAdapter(
  adapter: GPUAdapter,
  options: GpuOptions,
  why: string,
): Promise<Device> {
  const { info, limits } = adapter;
  const software = isSoftware(info);
  const f16 = (options.f16 ?? true) && adapter.features.has("shader-f16");
  const timestamps = adapter.features.has("timestamp-query");
  const requiredLimits = Object.fromEntries(LIMITS.map((k) => [k, limits[k]]));
  const wanted = wantedBuffer(options);
  const features = [...(f16 ? ["shader-f16"] : []), ...(timestamps ? ["timestamp-query"] : [])];
  let device: GPUDevice;
  try {
    device = await adapter.requestDevice({
      requiredFeatures: features as GPUFeatureName[],
      requiredLimits,
    });
  } catch (error) {
    throw new AdapterError(
      `${nameOf(info)} does not open: ${(error as Error).message}. Update its driver, or ${ON_CPU}`,
      { cause: error },
    );
  }
  const maxBuffer = await usableBuffer(device, limits.maxBufferSize, wanted, software);
  const profile: AdapterProfile = {
    cpu: false,
    f16,
    workgroupStorage: device.limits.maxComputeWorkgroupStorageSize,
    maxInvocations: device.limits.maxComputeInvocationsPerWorkgroup,
    maxBinding: Math.min(device.limits.maxStorageBufferBindingSize, maxBuffer),
    maxStorageBuffers: Math.min(16, device.limits.maxStorageBuffersPerShaderStage),
    maxBuffer,
  };
  return new Device(device, profile, {
    backend: "webgpu",
    why,
    software,
    vendor: info.vendor,
    description: nameOf(info),
    features,
    largestBuffer: maxBuffer,
  });
}

/** The largest buffer to plan with: what is asked for, else what a GPU makes. Programs that stand in for one make what they list. */
async function usableBuffer(
  device: GPUDevice,
  listed: number,
  wanted: number | undefined,
  software: boolean,
): Promise<number> {
  if (wanted !== undefined || software) return Math.min(listed, wanted ?? listed);
  try {
    return await largestBuffer(device, listed);
  } catch (error) {
    device.destroy();
    throw error;
  }
}
