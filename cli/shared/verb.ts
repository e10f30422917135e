/**
 * What all verbs share: how a command is made, and how its work is run with progress and Ctrl-C.
 */
import { Command } from "npm:commander@15.1.0";
import { catchInterrupt } from "../../terminal/interrupt.ts";
import { createProgress } from "../../terminal/progress.ts";
import { commandLine } from "../../terminal/shell.ts";
import { type Needs, needsLine } from "./permissions.ts";
import type { Ui } from "./ui.ts";

/** What a verb runs with; tests put their own in. */
export interface Context {
  /** Does the work of verbs in place of their own, by their names. For tests. */
  // deno-lint-ignore no-explicit-any -- each verb's request is its own
  work?: Readonly<Record<string, (...args: any[]) => unknown>>;
  /** Takes a line of results. */
  out: (line: string) => void;
  /** Takes a line of progress, help on errors and remarks. */
  err: (line: string) => void;
  /** The arguments, as typed. */
  args: readonly string[];
}

const NEEDS = new WeakMap<Command, Needs>();

/** What a verb's command reads and writes. */
export const needsOf = (command: Command): Needs => NEEDS.get(command)!;

/**
 * A command with the house's defaults: a summary, examples below its help, unknown flags refused.
 *
 * @param needs what it reads and writes, as Deno asks for it
 * @param needed options that must be given. Not commander's own `requiredOption`: that one complains before it looks at
 *   unknown flags, so `--modl` would be answered by "--model is missing" and not by "did you mean --model?"
 */
export function verb(
  name: string,
  summary: string,
  examples: string[],
  needs: Needs,
  needed: string[] = [],
): Command {
  const command = new Command(name);
  NEEDS.set(command, needs);
  return command
    .description(summary)
    .hook("preAction", (_, command) => {
      for (const option of needed) {
        if (command.getOptionValue(option) !== undefined) continue;
        command.error(`error: --${option} is needed, and was not given`);
      }
    })
    .showHelpAfterError(`(moongate ${name} --help shows all options)`)
    .addHelpText("after", `\nExamples:\n${examples.map((line) => `  ${line}`).join("\n")}`)
    .addHelpText("after", `\n${needsLine(needs)}`);
}

/** The option of every verb that writes. */
export const overwrite = ["--overwrite", "replace what is there already"] as const;

/** Runs a verb's work with progress and Ctrl-C, and puts both away afterwards, however it ends. */
export async function withUi<T>(
  context: Context,
  quiet: boolean,
  run: (ui: Ui) => Promise<T>,
): Promise<T> {
  const progress = createProgress({ quiet, write: context.err });
  // Above the bar, not across it; and said with `--quiet` too.
  const write = quiet ? context.err : progress.note;
  using interrupt = catchInterrupt({ write, beforeSaved: progress.stop });
  try {
    const say = (line: string) => {
      progress.clear();
      context.out(line);
    };
    const typed = commandLine(context.args);
    return await run({ progress, interrupt, warn: write, say, typed });
  } finally {
    progress.stop();
  }
}
