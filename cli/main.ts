/**
 * The command as a function of its arguments: verbs, one error boundary, an exit code.
 */
import { Command, CommanderError } from "npm:commander@15.1.0";
import settings from "../deno.json" with { type: "json" };
import { analyseCommand } from "./analyse/verb.ts";
import { attentionCommand } from "./attention/verb.ts";
import { compressCommand } from "./compress/verb.ts";
import { convertCommand } from "./convert/verb.ts";
import { demoCommand } from "./demo/verb.ts";
import { doctorCommand } from "./doctor/verb.ts";
import { editCommand } from "./edit/verb.ts";
import { report, UsageError } from "../terminal/errors.ts";
import { evaluateCommand } from "./evaluate/verb.ts";
import { visible } from "../files/visible.ts";
import { generateCommand } from "./generate/verb.ts";
import { excessHint, flagHint } from "./shared/hints.ts";
import { inspectCommand } from "./inspect/verb.ts";
import { Interrupted, interrupted } from "../terminal/interrupt.ts";
import { mergeCommand } from "./merge/verb.ts";
import { tokensCommand } from "./tokens/verb.ts";
import { trainCommand } from "./train/verb.ts";
import type { Needs } from "./shared/permissions.ts";
import { type Context, needsOf } from "./shared/verb.ts";
import { verifyCommand } from "./verify/verb.ts";
import { door } from "./shared/door.ts";

/** The verbs: the command of each, and where its work is. */
const VERBS = [
  door(trainCommand, () => import("./train/work.ts")),
  door(generateCommand, () => import("./generate/work.ts")),
  door(editCommand, () => import("./edit/work.ts")),
  door(attentionCommand, () => import("./attention/work.ts")),
  door(mergeCommand, () => import("./merge/work.ts")),
  door(convertCommand, () => import("./convert/work.ts")),
  door(inspectCommand, () => import("./inspect/work.ts")),
  door(compressCommand, () => import("./compress/work.ts")),
  door(analyseCommand, () => import("./analyse/work.ts")),
  door(tokensCommand, () => import("./tokens/work.ts")),
  door(evaluateCommand, () => import("./evaluate/work.ts")),
  door(verifyCommand, () => import("./verify/work.ts")),
  door(demoCommand, () => import("./demo/work.ts")),
  door(doctorCommand, () => import("./doctor/work.ts")),
];

/** What each verb reads and writes, by its name. */
export const needs = (): Record<string, Needs> => {
  const commands = VERBS.map((make) => make({ out: () => {}, err: () => {}, args: [] }));
  return Object.fromEntries(commands.map((command) => [command.name(), needsOf(command)]));
};

/**
 * Runs the command.
 *
 * @param args as typed, without the program's name
 * @param context replaces the work and where lines go, for tests
 * @returns the exit code: 0, 1 after an error, 130 after Ctrl-C
 */
export async function main(args: string[], context: Partial<Context> = {}): Promise<number> {
  const { out = console.log, err = console.error } = context;
  const full: Context = {
    ...{ args, ...context },
    // Whatever is shown may hold what a file holds.
    out: (line) => out(visible(line)),
    err: (line) => err(visible(line)),
  };
  const program = new Command("moongate")
    .description(
      "Teaches a text-to-image diffusion model new concepts from a few pictures, on any GPU or none.",
    )
    .version(settings.version, "-v, --version")
    .showHelpAfterError("(moongate --help shows all verbs)")
    .addHelpText("after", "\nmoongate <verb> --help shows a verb's options and examples.");
  for (const make of VERBS) program.addCommand(make(full));
  // Every command throws instead of leaving the process, and writes where the caller wants.
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({
      writeOut: (text) => full.out(text.trimEnd()),
      writeErr: (text) => full.err(text.trimEnd()),
      // Help has no colours; asked whether it may, commander would ask the environment, which needs a permission.
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
  }
  try {
    if (args.length === 0) {
      full.out(program.helpInformation().trimEnd());
      return 0;
    }
    const chosen = program.commands.find((command) => command.name() === args[0]);
    const hint = chosen && flagHint(chosen, args);
    if (hint) throw new UsageError(hint);
    await program.parseAsync(args, { from: "user" });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.code === "commander.excessArguments") full.err(excessHint);
      return error.exitCode === 0 ? 0 : 1;
    }
    if (error instanceof Interrupted) return interrupted;
    return report(error, full.err);
  }
}
