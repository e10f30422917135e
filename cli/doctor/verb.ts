/** `moongate doctor`: what the machine has, what computes on it and how fast, and what will run. */
import type { Command } from "npm:commander@15.1.0";
import { UsageError } from "../../terminal/errors.ts";
import type { Needs } from "../shared/permissions.ts";
import { withDevice } from "../shared/running_flags.ts";
import { type Context, verb } from "../shared/verb.ts";
import type { DoctorRequest } from "./request.ts";
import type * as work from "./work.ts";

/** What it reads and writes. */
const NEEDS: Needs = { read: [], write: [] };

/** The command. */
export function doctorCommand(context: Context, run: typeof work.run): Command {
  const command = verb(
    "doctor",
    "Show what computes here and why, how fast it is, and what will run on it.",
    [
      "moongate doctor",
      "moongate doctor --device cpu --threads 1",
      "moongate doctor --json > doctor.json",
    ],
    NEEDS,
  );
  return withDevice(command)
    .option("--json", "everything that was found, as JSON")
    .action(async ({ json = false, ...request }: DoctorRequest & { json?: boolean }) => {
      const { facts, lines, problem } = await run(request);
      if (json) context.out(JSON.stringify(facts, null, 2));
      else for (const line of lines) context.out(line);
      if (problem !== undefined) throw new UsageError(problem);
    });
}
