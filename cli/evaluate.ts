/** `moongate evaluate`: how well pictures fit their prompts, their targets, and real pictures. */
import type { Command } from "npm:commander@15.1.0";
import { UsageError } from "./errors.ts";
import { real, repeated, side, whole } from "./parse.ts";
import type { EvaluateRequest, GenerateRequest } from "./requests.ts";
import { type Context, verb, withUi } from "./verb.ts";

/** The command. */
export function evaluateCommand(context: Context): Command {
  return verb("evaluate", "Score pictures: text and image alignment, KID and FID.", [
    "moongate evaluate --scorer ./clip-vit-base-patch32 --generated pictures --targets photos/my-dog",
    "moongate evaluate --model ./sd --scorer ./clip --delta my-dog --prompts-from prompts.txt -n 50 --targets photos/my-dog",
    "moongate evaluate --scorer ./clip --generated pictures --real photos/dogs --json scores.json",
  ])
    .argument("[prompts...]", "what to generate and score; one argument is one prompt")
    .option("--generated <folder>", "score these pictures instead of generating some")
    .option(
      "--prompt <text>",
      "the prompt of all --generated pictures (default: their own, from the PNG files or prompts.json)",
    )
    .option(
      "--targets <folder>",
      "the concept's own pictures, for image alignment; again for more",
      repeated((text) => text),
    )
    .option("--real <folder>", "real pictures of the class, for KID and FID; two or more")
    .option("--scorer <folder>", "the CLIP to score with (default: the model's own clip/)")
    .option("--model <folder>", "the model to generate with")
    .option(
      "--delta <path>",
      "a taught concept, file or folder; again for more, in order",
      repeated((text) => text),
    )
    .option("--prompts-from <file>", "more prompts, one a line")
    .option("-n, --count <n>", "pictures for each prompt", whole(1), 1)
    .option("--steps <n>", "sampling steps (default: 50, or the model's own)", whole(1, 1000))
    .option("--guidance <x>", "guidance scale (default: 6, or the model's own)", real(0))
    .option("--eta <x>", "1: DDPM, 0: DDIM (default: 1, or the model's own)", real(0, 1))
    .option("--size <pixels>", "side of the pictures (default: the model's)", side(8))
    .option("--batch <n>", "pictures made at once", whole(1), 1)
    .option(
      "--seed <n>",
      "random seed of a prompt's first picture, and of the intervals",
      whole(0, 2 ** 32 - 1),
      42,
    )
    .option(
      "--resamples <n>",
      "bootstrap draws for the intervals (FID: at most 100)",
      whole(1),
      1000,
    )
    .option("--out <folder>", "where the report and generated pictures go", "evaluation")
    .option("--json <file>", "write the numbers here, too")
    .option("-q, --quiet", "no progress")
    .action(async (prompts: string[], options: Flags) => {
      const request = evaluateRequest(prompts, options);
      const quiet = options.quiet ?? false;
      context.out(await withUi(context, quiet, (ui) => context.work.evaluate(request, ui)));
    });
}

/** What commander gives beside the prompts. */
type Flags =
  & Pick<
    GenerateRequest,
    "count" | "steps" | "guidance" | "eta" | "size" | "batch" | "seed"
  >
  & Pick<
    EvaluateRequest,
    "generated" | "model" | "scorer" | "prompt" | "real" | "resamples" | "out" | "json"
  >
  & { delta?: string[]; targets?: string[]; promptsFrom?: string; quiet?: boolean };

function evaluateRequest(prompts: string[], flags: Flags): EvaluateRequest {
  const { generated, model, scorer, prompt, targets = [], real, resamples, out, json } = flags;
  const { delta: deltas = [], promptsFrom, count, steps, guidance, eta, size, batch, seed } = flags;
  const shared = {
    ...{ model, scorer, prompt, targets, real, resamples, out, json },
    bootstrapSeed: seed,
  };
  if (generated !== undefined) {
    if (prompts.length || promptsFrom !== undefined || deltas.length) {
      throw new UsageError(
        "--generated scores pictures that are there already: leave prompts and --delta out " +
          "(--prompt says what all of them were to show)",
      );
    }
    return { ...shared, generated };
  }
  const more = promptsFrom === undefined ? [] : Deno.readTextFileSync(promptsFrom).split(/\r?\n/);
  const all = [...new Set([...prompts, ...more].map((line) => line.trim()).filter(Boolean))];
  if (!all.length) {
    throw new UsageError(
      promptsFrom === undefined
        ? "nothing to score: give --generated, a folder of pictures, or prompts to generate from"
        : `${promptsFrom} has no prompts: one a line is expected`,
    );
  }
  if (prompt !== undefined) {
    throw new UsageError("--prompt is for --generated pictures; prompts to generate stand alone");
  }
  if (model === undefined) throw new UsageError("generating takes --model");
  const sampling = { count, steps, guidance, eta, size, batch, seed, negative: "", plain: true };
  return { ...shared, generate: { ...sampling, model, deltas, prompts: all } };
}
