/** `moongate inspect`: what a file is; or what parameters an architecture has. */
import type { Command } from "npm:commander@15.1.0";
import { UsageError } from "../../terminal/errors.ts";
import { A_PICTURE, type Needs } from "../shared/permissions.ts";
import { type Context, verb } from "../shared/verb.ts";
import type * as work from "./work.ts";

/** What it reads and writes. */
const NEEDS: Needs = { read: ["<path>", "--model", A_PICTURE], write: [] };

/** The command. */
export function inspectCommand(context: Context, run: typeof work.run): Command {
  return verb("inspect", "Say what a file is: which model, which words, how large the changes.", [
    "moongate inspect my-dog",
    "moongate inspect delta.bin --model ./sd --json",
    "moongate inspect ./stable-diffusion-v1-5",
    "moongate inspect --architecture sd15 --component unet --json",
  ], NEEDS)
    .argument("[path]", "a delta, a checkpoint, a file of tensors, or a model folder")
    .option("--model <folder>", "the model that a delta was trained on, to measure its changes by")
    .option("--architecture <name>", "list the parameters of a named architecture instead (sd15)")
    .option("--component <name>", "which part of it", "unet")
    .option("--json", "everything, as JSON")
    .action(async (path: string | undefined, flags: Flags) => {
      const { model, architecture, component, json = false } = flags;
      if ((path === undefined) === (architecture === undefined)) {
        throw new UsageError("give a path, or --architecture with the name of one");
      }
      const report = await run(
        architecture === undefined ? { path: path!, model } : { architecture, component },
      );
      if (json) context.out(JSON.stringify(report.facts, null, 2));
      else for (const line of report.lines) context.out(line);
    });
}

interface Flags {
  model?: string;
  architecture?: string;
  component: string;
  json?: boolean;
}
