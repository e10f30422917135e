/** A real browser without a window, which shows one page at a time and is heard by what the page sends its server. */

/** Where Chromium, and what is made of it, is found. */
const PLACES = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/usr/bin/microsoft-edge",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/** The SwiftShader that Debian's Chromium brings: a driver for Deno, too. */
export const SWIFTSHADER = "/usr/lib/chromium/vk_swiftshader_icd.json";

/** The path of a browser; `CHROMIUM` names another. Undefined where there is none. */
export function chromium(): string | undefined {
  const named = Deno.env.get("CHROMIUM");
  return named ? named : PLACES.find(isThere);
}

/** Whether a file is there. */
export function isThere(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/** Seconds that a page may take, on a busy machine. */
const PATIENCE = Number(Deno.env.get("PATIENCE") ?? 300);

const FLAGS = [
  "--headless=new",
  "--no-sandbox", // Tests run as root in containers, where it can't work.
  "--disable-dev-shm-usage",
  "--no-first-run",
  "--disable-extensions",
  "--disable-background-networking",
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--enable-features=Vulkan",
  "--use-angle=swiftshader",
  "--disable-gpu-watchdog",
];

/**
 * Shows a page until `told` is there, and ends the browser.
 *
 * @throws Error with the browser's last words where it ended before
 */
export async function show<T>(address: string, told: Promise<T>): Promise<T> {
  const profile = await Deno.makeTempDir();
  const child = new Deno.Command(chromium()!, {
    args: [...FLAGS, `--user-data-dir=${profile}`, address],
    env: { XDG_RUNTIME_DIR: "/tmp" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const words = new Response(child.stderr).text();
  let late: ReturnType<typeof setTimeout> | undefined;
  try {
    return await Promise.race([
      told,
      new Promise<never>((_, reject) => {
        const why = `the page said nothing for ${PATIENCE} seconds`;
        late = setTimeout(() => reject(new Error(why)), PATIENCE * 1000);
      }),
      child.status.then(async ({ code }) => {
        throw new Error(`the browser ended with ${code}: ${(await words).slice(-2000)}`);
      }),
    ]);
  } finally {
    clearTimeout(late);
    try {
      child.kill("SIGTERM");
    } catch {
      // it has ended
    }
    await child.status;
    await words;
    await Deno.remove(profile, { recursive: true }).catch(() => {});
  }
}
