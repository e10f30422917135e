/** The CPU as a {@linkcode Device}: what kernels are to know of it, and what reports say. */
import type { AdapterProfile } from "../tensor/kernel.ts";
import { cpuAnswers } from "./cpu/answers.ts";
import { coreCount, CpuDevice, type CpuThreads } from "./cpu/device.ts";
import { features as engineHas } from "./cpu/wasm/features.ts";
import { type CpuFacts, Device } from "./device.ts";
import { isThreads, MOST_THREADS, setting, VARIABLES } from "./environment.ts";
import { AdapterError } from "./errors.ts";
import { type BufferOptions, wantedBuffer } from "./largest.ts";

export type { CpuThreads };

/** How the CPU is opened. */
export interface CpuOptions extends CpuThreads, BufferOptions {
  /** Whether kernels may use f16 (default), or not even then. For tests. */
  readonly f16?: boolean;
}

/**
 * Opens the CPU.
 *
 * @param why it was chosen
 * @throws AdapterError where WebAssembly or its vectors are missing, and for a variable that is no number of threads or no size
 * @throws RangeError for no whole number of threads, or more than 256, and for what is no size
 */
export async function openCpu(options: CpuOptions, why: string): Promise<Device> {
  if (!cpuAnswers()) throw new AdapterError("this runtime has no WebAssembly with SIMD");
  const wanted = wantedBuffer(options) ?? Infinity;
  const cpu = await CpuDevice.open({ ...options, threads: options.threads ?? threadsByVariable() });
  const { limits, features } = cpu;
  const f16 = options.f16 ?? true;
  const maxBuffer = Math.min(limits.maxBufferSize, wanted);
  const profile: AdapterProfile = {
    cpu: true,
    f16,
    workgroupStorage: limits.maxComputeWorkgroupStorageSize,
    maxInvocations: limits.maxComputeInvocationsPerWorkgroup,
    maxBinding: Math.min(limits.maxStorageBufferBindingSize, maxBuffer),
    maxStorageBuffers: limits.maxStorageBuffersPerShaderStage,
    maxBuffer,
  };
  const facts = factsOf(cpu, options, await coreCount()), n = facts.threads;
  return new Device(cpu as unknown as GPUDevice, profile, {
    backend: "cpu",
    why,
    software: false,
    cpu: facts,
    vendor: "moongate",
    description: `CPU (WebAssembly, ${n} ${n === 1 ? "thread" : "threads"}${
      facts.sharedMemory ? "" : ", no shared memory"
    })`,
    features: [...features].filter((f) => f16 || f !== "shader-f16"),
    largestBuffer: maxBuffer,
  });
}

function threadsByVariable(): number | undefined {
  const text = setting(VARIABLES.threads);
  if (text === undefined) return undefined;
  if (isThreads(Number(text))) return Number(text);
  throw new AdapterError(
    `${VARIABLES.threads} is "${text}": a whole number of threads from 1 to ${MOST_THREADS} is expected`,
  );
}

function factsOf(
  { threads: { count }, memory }: CpuDevice,
  { threads }: CpuOptions,
  cores: number,
): CpuFacts {
  const { fused, wide } = engineHas();
  const sharedMemory = typeof SharedArrayBuffer !== "undefined";
  const by = threads === undefined ? VARIABLES.threads : "asked for";
  const fewer = count >= cores
    ? undefined
    : sharedMemory && (memory.shared || count === 1)
    ? by
    : "memory is not shared here: a page needs cross-origin isolation for that";
  return { threads: count, cores, fewer, relaxedSimd: fused, sharedMemory, memory64: wide };
}

/** What a device computes on where that is the CPU. */
const cpuOf = ({ gpu }: Device): CpuDevice | undefined =>
  (gpu as unknown) instanceof CpuDevice ? gpu as unknown as CpuDevice : undefined;

/** Seconds from a call till every other thread of the CPU device has woken up and answered; undefined where there is none. */
export async function wakeThreads(device: Device): Promise<number | undefined> {
  const threads = cpuOf(device)?.threads;
  if (!threads || threads.count === 1) return undefined;
  // Threads keep no script alive, so something else must while they are waited for.
  const timer = setTimeout(() => {}, 60_000);
  const began = performance.now();
  try {
    await threads.wake();
    return (performance.now() - began) / 1000;
  } finally {
    clearTimeout(timer);
  }
}
