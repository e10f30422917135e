/** `moongate generate`: pictures from prompts, with or without taught concepts. */
import { type Command, InvalidArgumentError, Option } from "npm:commander@15.1.0";
import { SAMPLER_NAMES } from "../diffusion/samplers.ts";
import { UsageError } from "./errors.ts";
import { real, side, whole } from "./parse.ts";
import type { GenerateRequest } from "./requests.ts";
import { type Context, verb, withUi } from "./verb.ts";

/** The command. */
export function generateCommand(context: Context): Command {
  const deltas: GivenDelta[] = [];
  return verb("generate", "Make pictures from prompts.", [
    'moongate generate --model ./sd --delta my-dog "a <new1> dog wearing a party hat" -n 4',
    'moongate generate --model ./sd --delta both "a <new1> dog on a <new2> chair" --steps 200',
    'moongate generate --model ./sd --delta my-dog --delta ink.safetensors --strength 0.6 "a <new1> dog"',
    "moongate generate --model ./sd --delta my-dog --prompts-from prompts.txt --out pictures",
    'moongate generate --model ./sd --sampler dpm++2m-karras --steps 20 --width 768 "a harbour"',
    'moongate generate --model ./sd --image sketch.png --image-strength 0.6 "a harbour at night"',
  ], ["model"])
    .argument("[prompts...]", "what to show; one argument is one prompt")
    .option("--model <folder>", "the model: a diffusers folder")
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
    .option("--prompts-from <file>", "more prompts, one a line")
    .option("--negative <text>", "what should not be in the picture", "")
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
    .option("--image <file>", "a picture to start from instead of noise: its middle")
    .option(
      "--image-strength <x>",
      "how far to go from that picture, at most 1 (default: 0.8)",
      real(0, 1, true),
    )
    .option("--batch <n>", "pictures made at once", whole(1), 1)
    .option(
      "--seed <n>",
      "random seed of a prompt's first picture; the next ones count on",
      whole(0, 2 ** 32 - 1),
      42,
    )
    .option("--plain", "take prompts without a taught word, too")
    .option("--out <folder>", "where the pictures go", "pictures")
    .option("-q, --quiet", "no progress")
    .action(async (prompts: string[], options: Flags) => {
      const request = generateRequest(prompts, options, deltas);
      const paths = await withUi(
        context,
        options.quiet ?? false,
        (ui) => context.work.generate(request, ui),
      );
      for (const path of paths) context.out(path);
    });
}

/**
 * A `--delta`, with the `--strength` that followed it.
 *
 * Why two flags and not `path:0.8`: a path may hold colons, and what a command means should not hang on what is there.
 */
interface GivenDelta {
  readonly path: string;
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

/** What commander gives beside the prompts and the deltas. */
type Flags = Omit<GenerateRequest, "deltas" | "prompts" | "plain"> & {
  delta?: unknown;
  strength?: unknown;
  plain?: boolean;
  promptsFrom?: string;
  quiet?: boolean;
};

function generateRequest(
  prompts: string[],
  { plain = false, promptsFrom, quiet: _, delta: _d, strength: _s, ...flags }: Flags,
  given: GivenDelta[],
): GenerateRequest {
  if (flags.imageStrength !== undefined && flags.image === undefined) {
    throw new UsageError("--image-strength is how far to go from a picture: name one with --image");
  }
  const more = promptsFrom === undefined ? [] : Deno.readTextFileSync(promptsFrom).split(/\r?\n/);
  const all = [...prompts, ...more].map((line) => line.trim()).filter((line) => line);
  if (!all.length) {
    throw new UsageError(
      promptsFrom === undefined
        ? 'no prompt given. Say what to show: moongate generate … "a <new1> dog on a beach"'
        : `${promptsFrom} has no prompts: one a line is expected`,
    );
  }
  const deltas = given.map(({ path, strength = 1 }) => ({ path, strength }));
  return { ...flags, plain, deltas, prompts: all };
}
