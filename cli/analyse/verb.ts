/** `moongate analyse`: how much fine-tuning changed each layer of the UNet. */
import type { Command } from "npm:commander@15.1.0";
import type { AnalyseRequest } from "./request.ts";
import { beside, type Needs } from "../shared/permissions.ts";
import { type Context, overwrite, verb, withUi } from "../shared/verb.ts";
import type * as work from "./work.ts";

/** What it reads and writes. */
const NEEDS: Needs = { read: ["<before>", "<after>", beside("--plot")], write: [beside("--plot")] };

/** The command. */
export function analyseCommand(context: Context, run: typeof work.run): Command {
  return verb("analyse", "Say how much each layer of the UNet changed (Figure 3 of the paper).", [
    "moongate analyse ./sd my-dog",
    "moongate analyse ./sd ./sd-fine-tuned --plot changes.svg --json > changes.json",
  ], NEEDS)
    .argument("<before>", "the model that was fine-tuned")
    .argument("<after>", "what became of it: a delta of any format, or a whole model")
    .option("--plot <file>", "draw every layer's change as SVG")
    .option(...overwrite)
    .option("--json", "every layer, as JSON")
    .option("-q, --quiet", "no progress")
    .action(async (before: string, after: string, { json, quiet = false, ...shown }: Flags) => {
      const request = { before, after, ...shown };
      const { facts, lines } = await withUi(
        context,
        quiet,
        (ui) => run(request, ui),
      );
      if (json) context.out(JSON.stringify(facts, null, 2));
      else for (const line of lines) context.out(line);
    });
}

/** What commander gives beside the paths. */
interface Flags extends Pick<AnalyseRequest, "plot" | "overwrite"> {
  json?: boolean;
  quiet?: boolean;
}
