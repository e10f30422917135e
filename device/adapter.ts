/** Choosing and opening a device: a GPU if there is one, else the CPU; every limit it has, clear words when there is none. */
import type { AdapterProfile } from "../tensor/kernel.ts";
import { type CpuOptions, openCpu } from "./cpu.ts";
import { Device } from "./device.ts";
import { AdapterError } from "./errors.ts";
import { expectOptions } from "../tensor/arguments.ts";
import type { CompileProgress } from "./pipelines.ts";
import { quietly } from "./quiet.ts";
import { cpuAnswers } from "./cpu/device.ts";

/** What computes: the CPU by our own kernels, or an adapter of WebGPU, which may be software too. */
export type Backend = "cpu" | "webgpu";

/** Options of {@linkcode gpu}. */
export interface GpuOptions extends CpuOptions {
  /**
   * What computes. Default: what the environment variable `MOONGATE_DEVICE` says; without it WebGPU where an adapter
   * answers, else the CPU.
   */
  readonly backend?: Backend;
  /** Refuse software adapters and the CPU. */
  readonly hardware?: boolean;
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
 * The best adapter that answers, or null; without a word on stderr where the environment may be changed.
 *
 * @throws AdapterError when this runtime has no WebGPU
 */
export async function requestAdapter(): Promise<GPUAdapter | null> {
  const api = (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
  if (!api) {
    throw new AdapterError("this runtime has no WebGPU (navigator.gpu); use Deno 2.9 or newer");
  }
  return await quietly(() => api.requestAdapter({ powerPreference: "high-performance" }));
}

/**
 * Opens the best device there is.
 *
 * On Linux Mesa's drivers may write two lines about XDG_RUNTIME_DIR to stderr where it is not set and Deno runs without
 * `--allow-env=XDG_RUNTIME_DIR`.
 *
 * @throws TypeError when there is no such option
 * @throws AdapterError when what was asked for is missing: WebGPU, an adapter, hardware
 * @throws RangeError for a backend that does not exist, and for no whole number of threads
 */
export async function gpu(options: GpuOptions = {}): Promise<Device> {
  expectOptions("gpu", 0, options, {
    backend: "any",
    hardware: "true or false",
    f16: "true or false",
    onCompile: "function",
    threads: "number",
    narrow: "number",
    careful: "true or false",
  });
  const opened = await open(options);
  opened.onCompile = options.onCompile;
  return opened;
}

async function open(options: GpuOptions): Promise<Device> {
  const backend = options.backend ?? wanted();
  if (backend !== undefined && backend !== "cpu" && backend !== "webgpu") {
    throw new RangeError(`there is no device "${backend}": it is "cpu" or "webgpu"`);
  }
  if (backend === "cpu") {
    if (options.hardware) throw new AdapterError("the CPU was chosen, and hardware was asked for");
    return openCpu(options);
  }
  const { navigator } = globalThis as { navigator?: { gpu?: GPU } };
  const cpu = backend === undefined && !options.hardware && cpuAnswers();
  const adapter = cpu && !navigator?.gpu ? null : await requestAdapter();
  if (adapter) return openAdapter(adapter, options);
  if (!cpu) {
    throw new AdapterError(
      "no GPU adapter answered. On Debian or Ubuntu without a GPU: apt-get install mesa-vulkan-drivers. " +
        "With one: install its Vulkan driver",
    );
  }
  return openCpu(options);
}

/** What the environment asks for; nothing where it may not be read. */
function wanted(): Backend | undefined {
  const { Deno, process } = globalThis as {
    Deno?: {
      permissions: { querySync(d: { name: string; variable: string }): { state: string } };
    };
    process?: { env?: Record<string, string | undefined> };
  };
  const variable = "MOONGATE_DEVICE";
  // Asking for a variable without permission would put a question to the user.
  if (Deno && Deno.permissions.querySync({ name: "env", variable }).state !== "granted") return;
  return (process?.env?.[variable] || undefined) as Backend | undefined;
}

async function openAdapter(adapter: GPUAdapter, options: GpuOptions): Promise<Device> {
  const { info, limits } = adapter;
  const software = info.isFallbackAdapter ||
    /llvmpipe|swiftshader|lavapipe|softpipe|basic render/i.test(info.description);
  if (options.hardware && software) {
    throw new AdapterError(
      `the only adapter is software (${info.description}); install the GPU's Vulkan driver`,
    );
  }
  const f16 = (options.f16 ?? true) && adapter.features.has("shader-f16");
  const timestamps = adapter.features.has("timestamp-query");
  const requiredLimits = Object.fromEntries(LIMITS.map((k) => [k, limits[k]]));
  const features = [...(f16 ? ["shader-f16"] : []), ...(timestamps ? ["timestamp-query"] : [])];
  const device = await adapter.requestDevice({
    requiredFeatures: features as GPUFeatureName[],
    requiredLimits,
  });
  const profile: AdapterProfile = {
    cpu: false,
    f16,
    workgroupStorage: device.limits.maxComputeWorkgroupStorageSize,
    maxInvocations: device.limits.maxComputeInvocationsPerWorkgroup,
    maxBinding: device.limits.maxStorageBufferBindingSize,
    maxStorageBuffers: Math.min(16, device.limits.maxStorageBuffersPerShaderStage),
    maxBuffer: device.limits.maxBufferSize,
  };
  return new Device(device, profile, {
    vendor: info.vendor,
    description: info.description,
    features,
  });
}
