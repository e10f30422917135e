/** `moongate tokens`: vocabulary entries that are rare enough for a new word to start from. */
import type { Command } from "npm:commander@15.1.0";
import { UsageError } from "../../terminal/errors.ts";
import { whole } from "../../terminal/parse.ts";
import type { Needs } from "../shared/permissions.ts";
import { type Context, verb } from "../shared/verb.ts";
import type * as work from "./work.ts";

/** What it reads and writes. */
const NEEDS: Needs = { read: ["--model", "--captions"], write: [] };

/** The command. */
export function tokensCommand(context: Context, run: typeof work.run): Command {
  return verb(
    "tokens",
    "List rare vocabulary entries for a new word to start from.",
    [
      "moongate tokens --model ./stable-diffusion-v1-5 --captions captions.txt",
      "moongate tokens --model ./sd --captions ./laion-00000.tar --low 2 --high 4 --json",
      'moongate train --model ./sd --concept "<new1> dog=./dog" --initializer ktn --out my-dog',
    ],
    NEEDS,
    ["model", "captions"],
  )
    .option("--model <folder>", "the model, whose vocabulary is looked through")
    .option(
      "--captions <path>",
      "what to count in: a text file with a caption a line, or captioned pictures (a folder, list or tar archive)",
    )
    .option("--low <n>", "fewest occurrences", whole(0), 5)
    .option("--high <n>", "most occurrences", whole(0), 10)
    .option("-n, --count <n>", "how many to list", whole(1), 20)
    .option("--json", "all of them, as JSON")
    .action(async ({ json = false, ...request }: Flags) => {
      if (request.low > request.high) {
        throw new UsageError(`--low ${request.low} is over --high ${request.high}`);
      }
      const { facts, lines } = await run(request);
      if (json) context.out(JSON.stringify(facts, null, 2));
      else for (const line of lines) context.out(line);
    });
}

interface Flags {
  model: string;
  captions: string;
  low: number;
  high: number;
  count: number;
  json?: boolean;
}
