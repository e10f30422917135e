/** `moongate attention`: pictures, and where they attend to each word of their prompts. */
import type { Command } from "npm:commander@15.1.0";
import type { AttentionRequest } from "./request.ts";
import { withMemory } from "../shared/memory_flags.ts";
import {
  checkQuotes,
  deltaRequests,
  type GivenDelta,
  promptsGiven,
  withPromptsFrom,
  withSampling,
} from "../shared/sampling_flags.ts";
import { type Context, overwrite, verb, withUi } from "../shared/verb.ts";
import type * as work from "./work.ts";

/** The command. */
export function attentionCommand(context: Context, run: typeof work.run): Command {
  const deltas: GivenDelta[] = [];
  const command = verb("attention", "Show where pictures attend to each word of their prompts.", [
    'moongate attention --model ./sd --delta my-dog "a <new1> dog and a cat" --out maps.png',
    'moongate attention --model ./sd "a dog and a cat" -n 4 --steps 30',
  ], ["model"])
    .argument("[prompts...]", "what to show; one argument is one prompt")
    .option("--model <folder>", "the model: a diffusers folder");
  return withMemory(withSampling(withPromptsFrom(command), deltas))
    .option("--out <file>", "the sheet of pictures and maps, a PNG", "attention.png")
    .option(...overwrite)
    .option("-q, --quiet", "no progress")
    .action(async (prompts: string[], options: Flags) => {
      const remark = checkQuotes(context.args, prompts);
      const { quiet = false, delta: _d, strength: _s, ...flags } = options;
      const request: AttentionRequest = {
        ...flags,
        deltas: deltaRequests(deltas),
        prompts: await promptsGiven(
          prompts,
          options.promptsFrom,
          'no prompt given. Say what to show: moongate attention … "a dog and a cat"',
        ),
      };
      const path = await withUi(context, quiet, (ui) => {
        if (remark) ui.progress.note(remark);
        return run(request, ui);
      });
      context.out(path);
    });
}

/** What commander gives beside the prompts and the deltas. */
type Flags = Omit<AttentionRequest, "deltas" | "prompts"> & {
  delta?: unknown;
  strength?: unknown;
  quiet?: boolean;
};
