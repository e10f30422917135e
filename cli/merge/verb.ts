/** `moongate merge`: several taught concepts in one delta, in closed form. */
import type { Command } from "npm:commander@15.1.0";
import { UsageError } from "../../terminal/errors.ts";
import { real, whole } from "../../terminal/parse.ts";
import type { MergeRequest } from "./request.ts";
import type { Needs } from "../shared/permissions.ts";
import { withDevice } from "../shared/running_flags.ts";
import { type Context, overwrite, verb, withUi } from "../shared/verb.ts";
import type * as work from "./work.ts";

/** What it reads and writes. */
const NEEDS: Needs = { read: ["--model", "<deltas>", "--captions", "--out"], write: ["--out"] };

/** The command. */
export function mergeCommand(context: Context, run: typeof work.run): Command {
  const command = verb(
    "merge",
    "Put concepts that were taught separately into one delta, in seconds.",
    [
      "moongate merge --model ./sd my-dog my-chair --out dog-and-chair",
      "moongate merge --model ./sd my-dog my-chair my-cat --captions captions.txt --ridge 1e-6 --out three",
    ],
    NEEDS,
    ["model", "out"],
  )
    .argument("<deltas...>", "two deltas or more, files or folders")
    .option("--model <folder>", "the model that all of them were taught to")
    .option("--out <folder>", "where the merged delta goes")
    .option("--captions <file>", "captions, one a line, whose pictures should stay as they are")
    .option("--caption-count <n>", "how many of them are used", whole(1), 1000)
    .option(
      "--ridge <x>",
      "keeps the change small in directions that no caption covers (default: 0, or the model's own)",
      real(0),
    );
  return withDevice(command)
    .option(...overwrite)
    .option("-q, --quiet", "no progress")
    .action(async (deltas: string[], options: Flags) => {
      if (deltas.length < 2) {
        throw new UsageError(`merging takes two deltas or more, and only ${deltas[0]} was given`);
      }
      const { quiet = false, ...flags } = options;
      const request: MergeRequest = { ...flags, deltas };
      context.out(await withUi(context, quiet, (ui) => run(request, ui)));
    });
}

type Flags = Omit<MergeRequest, "deltas"> & { quiet?: boolean };
