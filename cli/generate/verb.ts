/** `moongate generate`: pictures from prompts, with or without taught concepts. */
import type { Command } from "npm:commander@15.1.0";
import { UsageError } from "../../terminal/errors.ts";
import { real } from "../../terminal/parse.ts";
import type { GenerateRequest } from "./request.ts";
import { withMemory } from "../shared/running_flags.ts";
import * as sampling from "../shared/sampling_flags.ts";
import { type Needs, PICTURES } from "../shared/permissions.ts";
import { type Context, overwrite, verb } from "../shared/verb.ts";
import type * as work from "./work.ts";

/** What it reads and writes. */
const NEEDS: Needs = {
  read: ["--model", "--delta", "--prompts-from", "--image", "--out", PICTURES],
  write: ["--out"],
};

/** The command. */
export function generateCommand(context: Context, run: typeof work.run): Command {
  const deltas: sampling.GivenDelta[] = [];
  const command = verb(
    "generate",
    "Make pictures from prompts.",
    [
      'moongate generate --model ./sd --delta my-dog "a <new1> dog wearing a party hat" -n 4',
      'moongate generate --model ./sd --delta both "a <new1> dog on a <new2> chair" --steps 200',
      'moongate generate --model ./sd --delta my-dog --delta ink.safetensors --strength 0.6 "a <new1> dog"',
      "moongate generate --model ./sd --delta my-dog --prompts-from prompts.txt --out pictures",
      'moongate generate --model ./sd --sampler dpm++2m-karras --steps 20 --width 768 "a harbour"',
      'moongate generate --model ./sd --image sketch.png --image-strength 0.6 "a harbour at night"',
    ],
    NEEDS,
    ["model"],
  )
    .argument("[prompts...]", "what to show; one argument is one prompt")
    .option("--model <folder>", "the model: a diffusers folder");
  return withMemory(sampling.withSampling(sampling.withPromptsFrom(command), deltas))
    .option("--image <file>", "a picture to start from instead of noise: its middle")
    .option(
      "--image-strength <x>",
      "how far to go from that picture, at most 1 (default: 0.8)",
      real(0, 1, true),
    )
    .option("--plain", "take prompts without a taught word, too")
    .option("--out <folder>", "where the pictures go", "pictures")
    .option(...overwrite)
    .option("-q, --quiet", "no progress")
    .action(async (prompts: string[], options: Flags) => {
      const request = () => generateRequest(prompts, options, deltas);
      const paths = await sampling.runPrompted(context, prompts, options, request, run);
      for (const path of paths) context.out(path);
    });
}

/** What commander gives beside the prompts and the deltas. */
type Flags = Omit<GenerateRequest, "deltas" | "prompts" | "plain"> & {
  delta?: unknown;
  strength?: unknown;
  plain?: boolean;
  quiet?: boolean;
};

async function generateRequest(
  prompts: string[],
  { plain = false, quiet: _, delta: _d, strength: _s, ...flags }: Flags,
  given: sampling.GivenDelta[],
): Promise<GenerateRequest> {
  if (flags.imageStrength !== undefined && flags.image === undefined) {
    throw new UsageError("--image-strength is how far to go from a picture: name one with --image");
  }
  const none = 'no prompt given. Say what to show: moongate generate … "a <new1> dog on a beach"';
  return { ...flags, plain, ...await sampling.asked(prompts, flags, given, none) };
}
