/**
 * Which device computes, and why: the one place that asks for an adapter. A GPU if one answers, else the CPU; a software
 * adapter, which is a program that stands in for a GPU and slower than the CPU device, only where WebGPU is asked for.
 */
import { cpuAnswers } from "./cpu/answers.ts";
import { AdapterError } from "./errors.ts";
import { type Backend, BACKENDS, setting, VARIABLES } from "./environment.ts";
import { quietly } from "./quiet.ts";

/** What was chosen. */
export interface Choice {
  /** The adapter that computes; undefined where the CPU does. */
  readonly adapter?: GPUAdapter;
  /** Why this one, in words that follow a colon. */
  readonly why: string;
}

/** What is asked for. */
export interface WantedDevice {
  /**
   * What computes. Default: what the environment variable `MOONGATE_DEVICE` says; without it a GPU where one answers, else
   * the CPU. Software adapters are opened for "webgpu" alone.
   */
  readonly backend?: Backend;
  /** Refuse software adapters and the CPU. */
  readonly hardware?: boolean;
}

/** What to do where an adapter was asked for and none answers. */
export const INSTALL =
  "Install your GPU's driver, on Linux its Vulkan driver. Without a GPU a software adapter answers, too: " +
  "apt-get install mesa-vulkan-drivers on Debian and Ubuntu, dnf install mesa-vulkan-drivers on Fedora";

/** What needs no adapter. */
export const ON_CPU =
  `compute on the CPU, for which nothing is installed: --device cpu, ${VARIABLES.device}=cpu, or ` +
  'gpu({ backend: "cpu" })';

/**
 * Chooses.
 *
 * @throws AdapterError when what was asked for is missing (WebGPU, an adapter, hardware), and for a variable that names
 *   no device
 * @throws RangeError for a backend that does not exist
 */
export async function choose({ backend, hardware = false }: WantedDevice): Promise<Choice> {
  if (backend !== undefined && !BACKENDS.includes(backend)) {
    throw new RangeError(`there is no device "${backend}": it is "cpu" or "webgpu"`);
  }
  const variable = backend === undefined ? setting(VARIABLES.device) : undefined;
  if (variable !== undefined && !BACKENDS.includes(variable as Backend)) {
    throw new AdapterError(
      `${VARIABLES.device} is "${variable}", and there is no such device: it is "cpu" or "webgpu"`,
    );
  }
  const asked = backend ?? variable;
  const by = variable === undefined ? "asked for" : `${VARIABLES.device}=${variable}`;
  if (asked === "cpu") {
    if (hardware) throw new AdapterError("the CPU was chosen, and hardware was asked for");
    return { why: by };
  }
  const { adapter, missing } = await look();
  const software = adapter && isSoftware(adapter.info);
  if (hardware && software) {
    throw new AdapterError(
      `the only adapter is software (${nameOf(adapter.info)}); install the GPU's Vulkan driver`,
    );
  }
  if (adapter && (asked === "webgpu" || !software)) {
    return { adapter, why: asked === "webgpu" ? by : "a GPU answers" };
  }
  if (asked === "webgpu" || hardware) {
    throw new AdapterError(`${missing}. ${INSTALL}. Or ${ON_CPU}`);
  }
  if (cpuAnswers()) {
    return {
      why: adapter ? `no GPU answers, only software (${nameOf(adapter.info)})` : missing,
    };
  }
  if (adapter) return { adapter, why: "no WebAssembly with vectors for the CPU, and no GPU" };
  throw new AdapterError(
    `${missing}, and this runtime has no WebAssembly with vectors for the CPU`,
  );
}

/** The best adapter that answers; where there is none, why. */
async function look(): Promise<{ adapter?: GPUAdapter; missing: string }> {
  try {
    const adapter = await requestAdapter();
    return { adapter: adapter ?? undefined, missing: "no adapter of WebGPU answers" };
  } catch (error) {
    return { missing: (error as Error).message };
  }
}

/**
 * The best adapter that answers, or null; without a word on stderr where the environment may be changed.
 *
 * @throws AdapterError when this runtime has no WebGPU
 */
export async function requestAdapter(): Promise<GPUAdapter | null> {
  const api = (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
  if (!api) throw new AdapterError("this runtime has no WebGPU (navigator.gpu)");
  return await quietly(() => api.requestAdapter({ powerPreference: "high-performance" }));
}

/** Programs that stand in for a GPU, as drivers and browsers name them. */
const PROGRAMS = /llvmpipe|lavapipe|softpipe|swiftshader|basic render|\bwarp\b/i;

/** Whether an adapter is a program that computes on the CPU. */
export const isSoftware = (info: GPUAdapterInfo): boolean =>
  info.isFallbackAdapter ||
  PROGRAMS.test(`${info.architecture} ${info.device} ${info.description}`);

/** An adapter in words; browsers leave some of them empty. */
export const nameOf = (info: GPUAdapterInfo): string =>
  info.description || info.device || `${info.vendor} ${info.architecture}`.trim() || "unnamed";
