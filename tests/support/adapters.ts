/** Whether WebGPU answers here, and how a process is started that finds no driver. */
import { requestAdapter } from "../../device/choice.ts";

/** Whether an adapter of WebGPU answers on this machine: what needs one is left out where none does. */
export const webgpuAnswers = (): Promise<boolean> =>
  requestAdapter().then((adapter) => adapter !== null, () => false);

/** Variables under which drivers are looked for where there are none. On Linux; elsewhere the driver is the system's. */
export const NO_DRIVER = {
  DENO_WEBGPU_BACKEND: "vulkan",
  VK_DRIVER_FILES: "/none",
  VK_ICD_FILENAMES: "/none",
};
