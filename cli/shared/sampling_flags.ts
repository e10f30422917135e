/** The flags of the verbs that make pictures: prompts, deltas with their strengths, and how to sample. */
import type { Ui } from "./ui.ts";
import { type Context, withUi } from "./verb.ts";
import { type Command, InvalidArgumentError, Option } from "npm:commander@15.1.0";
import { SAMPLER_NAMES } from "../../diffusion/samplers/samplers.ts";
import { readLines } from "../../files/text.ts";
import { UsageError } from "../../terminal/errors.ts";
import { real, side, whole } from "../../terminal/parse.ts";
import { quoteHint } from "./hints.ts";
import type { DeltaRequest, SampledRequest } from "./sampled_request.ts";

/** The keys of a request that these flags fill in, as commander gives them. */
export type SamplingFlags =
  & Pick<SampledRequest, "negative" | "count" | "steps" | "guidance" | "sampler" | "eta">
  & Pick<SampledRequest, "size" | "width" | "height" | "batch" | "seed">
  & { promptsFrom?: string };

/** Adds the flags. Deltas and their strengths go into `deltas`, since each strength belongs to the delta before it. */
export function withSampling(command: Command, deltas: GivenDelta[]): Command {
  return command
    .option(
      "--delta <path>",
      "a taught concept, file or folder, of any format; again for more, in any order",
      (path) => void deltas.push({ path }),
    )
    .option(
      "--strength <x>",
      "how much of the --delta before it: 0 none, 1 as it was taught (default: 1)",
      (text) => giveStrength(deltas, text),
    )
    .option("--negative <text>", "what should not be in the pictures", "")
    .option("-n, --count <n>", "pictures for each prompt", whole(1), 1)
    .option("--steps <n>", "sampling steps (default: 50, or the model's own)", whole(1, 1000))
    .option(
      "--guidance <x>",
      "classifier-free guidance scale (default: 6, or the model's own)",
      real(0),
    )
    .addOption(
      new Option("--sampler <name>", "how noise becomes a picture (default: the model's own)")
        .choices(SAMPLER_NAMES),
    )
    .option("--eta <x>", "how much of DDIM's noise is fresh; 1 makes it DDPM", real(0, 1))
    .option("--size <pixels>", "width and height (default: the model's)", side(8))
    .option("--width <pixels>", "width, where it is not the height", side(8))
    .option("--height <pixels>", "height, where it is not the width", side(8))
    .option("--batch <n>", "pictures made at once", whole(1), 1)
    .option(
      "--seed <n>",
      "random seed of a prompt's first picture; the next ones count on",
      whole(0, 2 ** 32 - 1),
      42,
    );
}

/** Adds the flag of the verbs that take many prompts. */
export const withPromptsFrom = (command: Command): Command =>
  command.option("--prompts-from <file>", "more prompts, one a line");

/**
 * A `--delta`, with the `--strength` that followed it.
 *
 * Why two flags and not `path:0.8`: a path may hold colons, and what a command means should not hang on what is there.
 */
export interface GivenDelta {
  /** As typed. */
  readonly path: string;
  /** Undefined until its flag is met. */
  strength?: number;
}

function giveStrength(deltas: GivenDelta[], text: string): void {
  const last = deltas.at(-1), strength = text.trim() === "" ? NaN : Number(text);
  if (!Number.isFinite(strength)) throw new InvalidArgumentError("It must be a number.");
  if (!last || last.strength !== undefined) {
    throw new InvalidArgumentError(
      last ? `${last.path} has a strength already.` : "It goes after the --delta that it is for.",
    );
  }
  last.strength = strength;
}

/** The deltas with every strength filled in. */
export function deltaRequests(given: readonly GivenDelta[]): DeltaRequest[] {
  return given.map(({ path, strength = 1 }) => ({ path, strength }));
}

/** The prompts of the command line, then those of the file. @throws UsageError when there is none */
export async function promptsGiven(
  prompts: string[],
  file: string | undefined,
  none: string,
): Promise<string[]> {
  const more = file === undefined ? [] : await readLines(file);
  const all = [...prompts.map((line) => line.trim()).filter(Boolean), ...more];
  if (all.length) return all;
  throw new UsageError(
    file === undefined ? none : `${file} has no prompts: one a line is expected`,
  );
}

/**
 * Refuses a prompt that was not quoted, and so came as one prompt for each of its words.
 *
 * @param args as typed
 * @returns a remark where that is likely, and not sure
 */
function checkQuotes(args: readonly string[], prompts: string[]): string | undefined {
  const hint = quoteHint(args, prompts);
  if (hint?.sure) throw new UsageError(hint.line);
  return hint?.line;
}

/** What a verb that takes prompts was asked to show, and with which deltas. */
export interface Asked {
  prompts: string[];
  deltas: DeltaRequest[];
}

/** Prompts as typed or from a file, and the deltas that were typed. See {@linkcode promptsGiven}. */
export const asked = async (
  prompts: string[],
  { promptsFrom }: { promptsFrom?: string },
  deltas: readonly GivenDelta[],
  none: string,
): Promise<Asked> => ({
  prompts: await promptsGiven(prompts, promptsFrom, none),
  deltas: deltaRequests(deltas),
});

/** Runs a verb that takes prompts; what looks like a prompt without quotes is remarked on, or refused before anything else. */
export async function runPrompted<R, T>(
  context: Context,
  prompts: string[],
  { quiet = false }: { quiet?: boolean },
  request: () => Promise<R>,
  run: (request: R, ui: Ui) => Promise<T>,
): Promise<T> {
  const remark = checkQuotes(context.args, prompts);
  const wish = await request();
  return await withUi(context, quiet, (ui) => {
    if (remark) ui.progress.note(remark);
    return run(wish, ui);
  });
}
