/** `moongate verify`: whether this machine computes a model as PyTorch does. */
import type { Command } from "npm:commander@15.1.0";
import { VerificationError } from "../../terminal/errors.ts";
import type { VerifyRequest } from "./request.ts";
import type { Needs } from "../shared/permissions.ts";
import { withDevice } from "../shared/running_flags.ts";
import { type Context, verb, withUi } from "../shared/verb.ts";
import type * as work from "./work.ts";

/** What it reads and writes. */
const NEEDS: Needs = { read: ["--model", "--gold"], write: [] };

/** The command. */
export function verifyCommand(context: Context, run: typeof work.run): Command {
  const command = verb(
    "verify",
    "Compare what this machine computes of a model with PyTorch's numbers.",
    [
      "moongate verify --model ./stable-diffusion-v1-5 --gold gold.safetensors",
      "moongate verify --model ./sd --gold gold.safetensors --json > verified.json",
    ],
    NEEDS,
    ["model", "gold"],
  )
    .option("--model <folder>", "the model: a diffusers folder")
    .option("--gold <file>", "what PyTorch computed with it, by tests/golden/verify_gold.py");
  return withDevice(command)
    .option("--json", "everything that was found, as JSON")
    .option("-q, --quiet", "no progress")
    .action(async ({ json = false, quiet = false, ...request }: Flags) => {
      const found = await withUi(context, quiet, (ui) => run(request, ui));
      if (json) context.out(JSON.stringify(found.facts, null, 2));
      else for (const line of found.lines) context.out(line);
      if (found.wrong.length) throw new VerificationError(request.gold, found.wrong);
    });
}

type Flags = VerifyRequest & { json?: boolean; quiet?: boolean };
