/**
 * A silent start on Linux. While it lists the GPUs, Mesa's Vulkan layer for choosing one asks the Wayland library whether a
 * compositor runs, and that writes "error: XDG_RUNTIME_DIR is invalid or not set" twice to stderr where no desktop session
 * has set it. Drivers read the process's environment, which only Deno lets a program change, and only where the user has
 * granted it; nobody is asked for that, and nothing but the silence is lost without it.
 */

/** What is used of Deno, where that is what runs. */
interface DenoLike {
  readonly build: { readonly os: string };
  readonly env: {
    get(name: string): string | undefined;
    set(name: string, value: string): void;
    delete(name: string): void;
  };
  readonly permissions: {
    querySync(what: { name: "env"; variable: string }): { readonly state: string };
  };
}

/**
 * Runs `work` with what keeps drivers quiet in the environment, where it may be changed without asking.
 *
 * Also names Vulkan as the backend, and leaves that: GL answers as well, with fewer limits. What the user has set stays.
 */
export async function quietly<T>(work: () => Promise<T>): Promise<T> {
  const deno = (globalThis as { Deno?: DenoLike }).Deno;
  if (deno?.build?.os !== "linux") return await work();
  const set = (variable: string, value: string): boolean => {
    if (deno.permissions.querySync({ name: "env", variable }).state !== "granted") return false;
    if (deno.env.get(variable)) return false;
    deno.env.set(variable, value);
    return true;
  };
  set("DENO_WEBGPU_BACKEND", "vulkan");
  const ours = set("XDG_RUNTIME_DIR", "/tmp");
  try {
    return await work();
  } finally {
    // Children of this process must not take /tmp for a session's folder.
    if (ours) deno.env.delete("XDG_RUNTIME_DIR");
  }
}
