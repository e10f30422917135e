/** `moongate edit`: a picture is edited by its prompt. */
import { type Command, Option } from "npm:commander@15.1.0";
import { UsageError } from "../../terminal/errors.ts";
import { real, repeated, weight } from "../../terminal/parse.ts";
import type { EditRequest } from "./request.ts";
import { withMemory } from "../shared/running_flags.ts";
import { deltaRequests, type GivenDelta, withSampling } from "../shared/sampling_flags.ts";
import type { Needs } from "../shared/permissions.ts";
import { type Context, overwrite, verb, withUi } from "../shared/verb.ts";
import type * as work from "./work.ts";

/** What it reads and writes. */
const NEEDS: Needs = { read: ["--model", "--delta", "--out"], write: ["--out"] };

/** The command. */
export function editCommand(context: Context, run: typeof work.run): Command {
  const deltas: GivenDelta[] = [];
  const command = verb(
    "edit",
    "Edit a picture by its prompt, keeping its composition.",
    [
      'moongate edit --model ./sd --delta my-dog --from "a dog on a beach" --to "a <new1> dog on a beach"',
      'moongate edit --model ./sd --delta my-dog --from "a <new1> dog in a cap" --to "a <new1> dog in a beret"',
      'moongate edit --model ./sd --from "a snowy street" --to "a snowy street" --weight "snowy=3"',
    ],
    NEEDS,
    ["model", "from", "to"],
  )
    .option("--model <folder>", "the model: a diffusers folder")
    .option("--from <prompt>", "what the picture shows")
    .option("--to <prompt>", "what it is to show instead");
  return withMemory(withSampling(command, deltas))
    .option(
      "--weight <words=x>",
      "factor on the attention to words of --to; again for more",
      repeated(weight),
    )
    .option(
      "--cross <x>",
      "share of the steps that take over attention to the prompt",
      real(0, 1),
      0.8,
    )
    .option(
      "--self <x>",
      "share of the steps that take over attention between places",
      real(0, 1),
      0.4,
    )
    .addOption(
      new Option(
        "--alignment <how>",
        "prompts word by word, or along what they share (default: as suits them)",
      ).choices(["replace", "refine"]),
    )
    .option("--out <folder>", "where the pictures go", "edited")
    .option(...overwrite)
    .option("-q, --quiet", "no progress")
    .action(async (options: Flags) => {
      const request = editRequest(options, deltas);
      const quiet = options.quiet ?? false;
      const paths = await withUi(context, quiet, (ui) => run(request, ui));
      for (const path of paths) context.out(path);
    });
}

/** What commander gives beside the deltas. */
type Flags = Omit<EditRequest, "deltas" | "weights" | "crossSteps" | "selfSteps"> & {
  weight?: ReturnType<typeof weight>[];
  cross: number;
  self: number;
  delta?: unknown;
  strength?: unknown;
  quiet?: boolean;
};

function editRequest(
  { weight = [], cross, self, quiet: _, delta: _d, strength: _s, ...flags }: Flags,
  given: GivenDelta[],
): EditRequest {
  const weights: Record<string, number> = {};
  for (const { words, factor } of weight) {
    if (Object.hasOwn(weights, words)) throw new UsageError(`"${words}" is given two --weight`);
    weights[words] = factor;
  }
  return { ...flags, weights, crossSteps: cross, selfSteps: self, deltas: deltaRequests(given) };
}
