/** The command in this process, as tests run it, and a folder for it to work in. */
import { main } from "../../cli/main.ts";
import type { Context } from "../../cli/shared/verb.ts";

/** How a run ended, and what it printed. */
export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs the command; with `work` in place of a verb's own. */
export async function run(args: string[], work?: Context["work"]): Promise<Ran> {
  const out: string[] = [], err: string[] = [];
  const code = await main(args, { out: (l) => out.push(l), err: (l) => err.push(l), work });
  return { code, out: out.join("\n"), err: err.join("\n") };
}

/** Runs in a temporary folder. */
export async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
