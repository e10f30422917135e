/**
 * Runs `deno <arguments>` with an adapter of WebGPU that answers; without arguments, only sees to it that one does.
 *
 * Why: on a fresh Linux machine there is often no Vulkan driver at all, and what exercises real WebGPU would fail for the
 * same uninteresting reason. Nothing else goes through here: the CPU device needs no driver. It asks for an adapter in a
 * child process (drivers are looked up once per process, so an installation is only seen by a new one), and where none
 * answers it installs Mesa's drivers, the software one among them, if it may, or says in one line what is missing.
 *
 * Usage: `deno run -A tools/vulkan.ts run -A tools/test.ts`
 */
import { INSTALL } from "../device/choice.ts";
import { install, mayInstall } from "./apt.ts";

const ask = `
  const adapter = await navigator.gpu?.requestAdapter();
  Deno.exit(adapter ? 0 : 3);
`;

/** Vulkan on Linux (the GL backend answers too, with fewer limits), and a runtime folder so that EGL is quiet. */
function environment(): Record<string, string> {
  if (Deno.build.os !== "linux") return {};
  const env: Record<string, string> = {};
  if (!Deno.env.get("DENO_WEBGPU_BACKEND")) env.DENO_WEBGPU_BACKEND = "vulkan";
  if (!Deno.env.get("XDG_RUNTIME_DIR")) env.XDG_RUNTIME_DIR = "/tmp";
  return env;
}

/** Whether an adapter of WebGPU answers a new process. */
export async function adapterAnswers(): Promise<boolean> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-lock", "--no-config", ask],
    env: environment(),
    stdout: "null",
    stderr: "null",
  });
  return (await child.output()).success;
}

if (import.meta.main) {
  if (!await adapterAnswers()) {
    const installed = mayInstall() &&
      await install("mesa-vulkan-drivers", "no adapter of WebGPU answers");
    if (!installed || !await adapterAnswers()) {
      console.error(`no adapter of WebGPU answers. ${INSTALL}`);
      Deno.exit(1);
    }
  }
  if (Deno.args.length) Deno.exit(await run());
}

/** Runs Deno with this command's arguments; its exit code. */
async function run(): Promise<number> {
  // Ctrl-C reaches the whole process group; this one must outlive the child to hand on its exit code.
  Deno.addSignalListener("SIGINT", () => {});
  const child = new Deno.Command(Deno.execPath(), { args: Deno.args, env: environment() }).spawn();
  if (Deno.build.os !== "windows") Deno.addSignalListener("SIGTERM", () => child.kill("SIGTERM"));
  return (await child.status).code;
}
