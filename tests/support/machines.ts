/** Machines as there are none here: adapters that only say what they are, and variables of the environment. */
import { CpuDevice } from "../../device/cpu/device.ts";
import { VARIABLES } from "../../device/environment.ts";

/** An adapter with these words; what it opens computes on the CPU. */
export function adapter(
  info: Partial<GPUAdapterInfo>,
  open: () => Promise<unknown> = () => CpuDevice.open({ threads: 1 }),
): GPUAdapter {
  const words = { vendor: "", architecture: "", device: "", description: "" };
  return {
    info: { ...words, isFallbackAdapter: false, ...info },
    features: new Set(),
    limits: { maxBufferSize: 2 ** 30, maxStorageBufferBindingSize: 2 ** 30 },
    requestDevice: open,
  } as unknown as GPUAdapter;
}

/** What WebGPU has to offer: an adapter, none (null), no WebGPU at all (undefined), or an error where it is asked. */
export type Offer = GPUAdapter | null | undefined | Error;

/** Runs with that WebGPU, and with no variables but these. The process is not to do anything else. */
export async function withMachine<T>(
  offer: Offer,
  variables: Readonly<Record<string, string>>,
  run: () => Promise<T>,
): Promise<T> {
  const names = Object.values(VARIABLES);
  const before = names.map((name) => Deno.env.get(name));
  for (const name of names) Deno.env.delete(name);
  for (const [name, value] of Object.entries(variables)) Deno.env.set(name, value);
  const requestAdapter = () =>
    offer instanceof Error ? Promise.reject(offer) : Promise.resolve(offer);
  const value = offer === undefined ? undefined : { requestAdapter };
  Object.defineProperty(navigator, "gpu", { value, configurable: true });
  try {
    return await run();
  } finally {
    delete (navigator as { gpu?: unknown }).gpu;
    for (const [i, name] of names.entries()) {
      if (before[i] === undefined) Deno.env.delete(name);
      else Deno.env.set(name, before[i]);
    }
  }
}
