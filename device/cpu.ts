/** The CPU as a {@linkcode Device}: what kernels are to know of it, and what reports say. */
import type { AdapterProfile } from "../tensor/kernel.ts";
import { cpuAnswers, CpuDevice, type CpuThreads } from "./cpu/device.ts";
import { Device } from "./device.ts";
import { AdapterError } from "./errors.ts";

export type { CpuThreads };

/** How the CPU is opened. */
export interface CpuOptions extends CpuThreads {
  /** Whether kernels may use f16 (default), or not even then. For tests. */
  readonly f16?: boolean;
}

/**
 * Opens the CPU.
 *
 * @throws AdapterError where WebAssembly or its vectors are missing
 * @throws RangeError for no whole number of threads
 */
export async function openCpu(options: CpuOptions): Promise<Device> {
  if (!cpuAnswers()) throw new AdapterError("this runtime has no WebAssembly with SIMD");
  const cpu = await CpuDevice.open(options);
  const { limits, features, threads } = cpu;
  const f16 = options.f16 ?? true;
  const profile: AdapterProfile = {
    software: true,
    cpu: true,
    f16,
    subgroups: false,
    workgroupStorage: limits.maxComputeWorkgroupStorageSize,
    maxInvocations: limits.maxComputeInvocationsPerWorkgroup,
    maxBinding: limits.maxStorageBufferBindingSize,
    maxStorageBuffers: limits.maxStorageBuffersPerShaderStage,
    maxBuffer: limits.maxBufferSize,
  };
  const n = threads.count;
  return new Device(cpu as unknown as GPUDevice, profile, {
    vendor: "moongate",
    description: `CPU (WebAssembly, ${n} ${n === 1 ? "thread" : "threads"}${
      typeof SharedArrayBuffer === "undefined" ? ", no shared memory" : ""
    })`,
    features: [...features].filter((f) => f16 || f !== "shader-f16"),
  });
}
