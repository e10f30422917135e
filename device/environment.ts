/** What may be asked for of devices, and what the environment asks for where a program does not. */

/** What computes: the CPU by our own kernels, or an adapter of WebGPU, which may be software too. */
export type Backend = "cpu" | "webgpu";

/** The backends by name. */
export const BACKENDS: readonly Backend[] = ["cpu", "webgpu"];

/** More threads than any machine has that people have; each takes memory of its own. */
export const MOST_THREADS = 256;

/** Whether so many threads can be asked for. */
export const isThreads = (n: number): boolean => Number.isInteger(n) && n >= 1 && n <= MOST_THREADS;

/** The variables: which device, how many threads of the CPU's, and how large a buffer may be. */
export const VARIABLES = {
  device: "MOONGATE_DEVICE",
  threads: "MOONGATE_THREADS",
  largestBuffer: "MOONGATE_LARGEST_BUFFER",
} as const;

interface Runtime {
  readonly Deno?: {
    permissions: { querySync(what: { name: string; variable: string }): { state: string } };
  };
  readonly process?: { readonly env?: Readonly<Record<string, string | undefined>> };
}

/**
 * What a variable says; undefined where it is not set, is empty, or may not be read: asking without a permission would
 * put a question to the user.
 */
export function setting(variable: string): string | undefined {
  const { Deno, process } = globalThis as Runtime;
  if (Deno && Deno.permissions.querySync({ name: "env", variable }).state !== "granted") return;
  return process?.env?.[variable] || undefined;
}
