/** `moongate attention`: pictures, and where they attend to each word of their prompts. */
import type { Command } from "npm:commander@15.1.0";
import type { AttentionRequest } from "./request.ts";
import { withMemory } from "../shared/running_flags.ts";
import * as sampling from "../shared/sampling_flags.ts";
import { beside, type Needs } from "../shared/permissions.ts";
import { type Context, overwrite, verb } from "../shared/verb.ts";
import type * as work from "./work.ts";

/** What it reads and writes. */
const NEEDS: Needs = {
  read: ["--model", "--delta", "--prompts-from", beside("--out")],
  write: [beside("--out")],
};

/** The command. */
export function attentionCommand(context: Context, run: typeof work.run): Command {
  const deltas: sampling.GivenDelta[] = [];
  const command = verb(
    "attention",
    "Show where pictures attend to each word of their prompts.",
    [
      'moongate attention --model ./sd --delta my-dog "a <new1> dog and a cat" --out maps.png',
      'moongate attention --model ./sd "a dog and a cat" -n 4 --steps 30',
    ],
    NEEDS,
    ["model"],
  )
    .argument("[prompts...]", "what to show; one argument is one prompt")
    .option("--model <folder>", "the model: a diffusers folder");
  return withMemory(sampling.withSampling(sampling.withPromptsFrom(command), deltas))
    .option("--out <file>", "the sheet of pictures and maps, a PNG", "attention.png")
    .option(...overwrite)
    .option("-q, --quiet", "no progress")
    .action(async (prompts: string[], options: Flags) => {
      const { quiet: _q, delta: _d, strength: _s, ...flags } = options;
      const none = 'no prompt given. Say what to show: moongate attention … "a dog and a cat"';
      const request = async (): Promise<AttentionRequest> => ({
        ...flags,
        ...await sampling.asked(prompts, flags, deltas, none),
      });
      context.out(await sampling.runPrompted(context, prompts, options, request, run));
    });
}

/** What commander gives beside the prompts and the deltas. */
type Flags = Omit<AttentionRequest, "deltas" | "prompts"> & {
  delta?: unknown;
  strength?: unknown;
  quiet?: boolean;
};
