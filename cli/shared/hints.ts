/** What the command says of its own accord: what was probably meant, and what to type next. */
import type { Command } from "npm:commander@15.1.0";
import { commandLine } from "../../terminal/shell.ts";

/** Words that are no prompt by themselves: an argument that is one is a part of a prompt without quotes. */
const PARTS = /^(a|an|the|on|in|at|of|with|and|or|to|by|from|under|over|near)$/i;

/** Whether prompts look like the words of one that was not quoted, and what to say then. */
export interface QuoteHint {
  /** Whether that is beyond doubt. */
  readonly sure: boolean;
  /** One line. */
  readonly line: string;
}

/**
 * Looks for a prompt without quotes, `a toy on a beach`, which a shell hands over as five.
 *
 * @param args as typed
 * @param prompts those of them that were taken for prompts
 */
export function quoteHint(args: readonly string[], prompts: string[]): QuoteHint | undefined {
  if (prompts.length < 2) return undefined;
  const curly = prompts.some((p) => /^[“”‘„«]/.test(p) && !/\s/.test(p));
  const sure = curly || prompts.some((p) => PARTS.test(p));
  if (!sure && prompts.some((p) => /\s/.test(p))) return undefined;
  const rest = [...args];
  for (const prompt of prompts) {
    const at = rest.indexOf(prompt);
    if (at >= 0) rest.splice(at, 1);
  }
  const meant = prompts.join(" ").replace(/[“”„«»]/g, "");
  const shown = prompts.slice(0, 6).map((p) => JSON.stringify(p)).join(", ");
  return {
    sure,
    line: `${shown}${prompts.length > 6 ? ", …" : ""} are ${prompts.length} prompts` +
      `${curly ? " (curly quotes are letters to a shell)" : ""}. If they are one, quote it: ` +
      commandLine([...rest, meant]),
  };
}

/** What begins like a flag in other programs, or was copied from a page that made one dash of two hyphens. */
const DASHED = /^(?:-|[–—―−‒]-?)([a-z][a-z-]+)(=.*)?$/i;

/** The flag of a verb that was meant by `-steps` or `–steps`; undefined where nothing of the kind was typed. */
export function flagHint(command: Command, args: readonly string[]): string | undefined {
  const end = args.indexOf("--");
  for (const arg of end < 0 ? args : args.slice(0, end)) {
    const long = `--${DASHED.exec(arg)?.[1].toLowerCase()}`;
    if (!command.options.some((option) => option.long === long)) continue;
    return `${arg.replace(/=.*/, "")}: flags begin with two hyphens. Did you mean ${long}?`;
  }
}

/** What is said of arguments that a verb has no use for: most often they are the words behind a flag. */
export const excessHint = 'A value of several words goes in quotes: --caption "a photo of a {}"';

/** The line that says what to type next. */
export const nextLine = (args: readonly string[]): string => `next: ${commandLine(args)}`;

/** Pictures of what a delta teaches, where the model is known; else what is in it. */
export function nextAfterDelta(
  model: string | undefined,
  delta: string,
  words: readonly string[],
): string {
  if (model === undefined || !words.length) return nextLine(["inspect", delta]);
  const prompt = `photo of ${words.map((w) => `a ${w}`).join(" and ")}`;
  return nextLine(["generate", "--model", model, "--delta", delta, prompt]);
}
