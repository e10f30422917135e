/** Packages of Debian and its children, for tools that need one to be there. */

/** Whether `apt-get install` can work here: Debian or a child of it, and root. */
export function mayInstall(): boolean {
  if (Deno.build.os !== "linux" || Deno.uid() !== 0) return false;
  try {
    return /^ID(_LIKE)?=.*(debian|ubuntu)/m.test(Deno.readTextFileSync("/etc/os-release"));
  } catch {
    return false;
  }
}

/** Installs a package, and says before for what; whether it is there then. */
export async function install(name: string, why: string): Promise<boolean> {
  console.error(`${why}: installing ${name} by apt-get`);
  const quiet = { DEBIAN_FRONTEND: "noninteractive" };
  const apt = async (...args: string[]): Promise<boolean> => {
    const { success, stderr } = await new Deno.Command("apt-get", {
      args,
      env: quiet,
      stdin: "null",
    }).output();
    if (!success) Deno.stderr.writeSync(stderr);
    return success;
  };
  try {
    await apt("update", "-qq"); // A mirror that fails here need not be the one that has the package.
    return await apt("install", "-y", "-qq", "--no-install-recommends", name);
  } catch (error) {
    console.error(`apt-get could not be run: ${(error as Error).message}`);
    return false;
  }
}
