/** Node for tests: of a version that is supported, whichever is installed here. */
import { assertEquals } from "@std/assert";

/** What a command prints; undefined where there is none of its name. */
async function output(command: string, args: string[]): Promise<string | undefined> {
  try {
    const signal = AbortSignal.timeout(180_000);
    const { code, stdout, stderr } = await new Deno.Command(command, { args, signal }).output();
    const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    assertEquals(code, 0, err);
    return out;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Versions that are tested: the oldest that is supported, and one behind it. */
export const NODES = ["20", "22"] as const;

/** Runs a program in a version of Node, and gives what it prints; undefined, and said, where that can't be had. */
export async function nodeOf(version: typeof NODES[number]) {
  const node = (...args: string[]) => output("npx", ["--yes", `node@${version}`, ...args]);
  const found = await node("--version").catch(() => undefined);
  if (found?.startsWith(`v${version}.`)) return async (main: string) => (await node(main))!;
  console.log(`Node ${version} can't be had here: nothing is tested on it`);
}
