/**
 * Settings of the process that must be made before the GPU is first asked for.
 *
 * Why here and not only in the tasks: the command is also run by URL, where there are no tasks.
 */

/**
 * On Linux: Vulkan (the GL backend answers too, with fewer limits), and a runtime folder so that EGL prints nothing.
 *
 * What the user has set stays. Without `--allow-env` nothing is set, and nothing is lost but quiet.
 */
export function prepareGpu(): void {
  if (Deno.build.os !== "linux") return;
  for (const [name, value] of [["DENO_WEBGPU_BACKEND", "vulkan"], ["XDG_RUNTIME_DIR", "/tmp"]]) {
    try {
      if (!Deno.env.get(name)) Deno.env.set(name, value);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotCapable)) throw error;
    }
  }
}
