/** `moongate evaluate`: how well pictures fit their prompts, their targets, and real pictures. */
import type { Command } from "npm:commander@15.1.0";
import { UsageError } from "../../terminal/errors.ts";
import { repeated, whole } from "../../terminal/parse.ts";
import type { EvaluateRequest } from "./request.ts";
import * as sampling from "../shared/sampling_flags.ts";
import { beside, type Needs, PACKAGES } from "../shared/permissions.ts";
import { withDevice } from "../shared/running_flags.ts";
import { type Context, overwrite, verb } from "../shared/verb.ts";
import type * as work from "./work.ts";

/** What it reads and writes. */
const NEEDS: Needs = {
  read: [
    ...["--model", "--delta", "--prompts-from", "--generated", "--targets", "--real"],
    ...["--scorer", "--dino", "--out", beside("--json"), PACKAGES],
  ],
  write: ["--out", beside("--json")],
};

/** The command. */
export function evaluateCommand(context: Context, run: typeof work.run): Command {
  const deltas: sampling.GivenDelta[] = [];
  const command = verb("evaluate", "Score pictures: text and image alignment, KID and FID.", [
    "moongate evaluate --scorer ./clip-vit-base-patch32 --generated pictures --targets photos/my-dog",
    "moongate evaluate --model ./sd --scorer ./clip --delta my-dog --prompts-from prompts.txt -n 50 --targets photos/my-dog",
    "moongate evaluate --scorer ./clip --generated pictures --real photos/dogs --json scores.json",
  ], NEEDS)
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
    .option("--dino <folder>", "a DINO (ViT-S/16) to measure image alignment with, too")
    .option("--model <folder>", "the model to generate with");
  return withDevice(sampling.withSampling(sampling.withPromptsFrom(command), deltas))
    .option(
      "--resamples <n>",
      "bootstrap draws for the intervals, by --seed (FID: at most 100)",
      whole(1),
      1000,
    )
    .option("--out <folder>", "where the report and generated pictures go", "evaluation")
    .option("--json <file>", "write the numbers here, too")
    .option(...overwrite)
    .option("-q, --quiet", "no progress")
    .action(async (prompts: string[], options: Flags) => {
      const request = () => evaluateRequest(prompts, options, deltas);
      context.out(await sampling.runPrompted(context, prompts, options, request, run));
    });
}

/** What commander gives beside the prompts. */
type Flags =
  & Omit<EvaluateRequest, "generate" | "targets" | "bootstrapSeed">
  & sampling.SamplingFlags
  & { targets?: string[]; delta?: unknown; strength?: unknown; quiet?: boolean };

async function evaluateRequest(
  prompts: string[],
  { quiet: _, delta: _d, strength: _s, ...flags }: Flags,
  given: sampling.GivenDelta[],
): Promise<EvaluateRequest> {
  const { generated, model, scorer, dino, prompt, targets = [], real, resamples, out, json } =
    flags;
  const { overwrite, device, threads } = flags;
  const { promptsFrom, negative, seed, count, steps, guidance, sampler, eta } = flags;
  const { size, width, height, batch } = flags;
  if (dino !== undefined && !targets.length) {
    throw new UsageError("--dino measures image alignment: give --targets, the concept's pictures");
  }
  const shared = {
    ...{ model, scorer, dino, prompt, targets, real, resamples, out, json, overwrite },
    ...{ device, threads, bootstrapSeed: seed },
  };
  if (generated !== undefined) {
    if (prompts.length || promptsFrom !== undefined || given.length) {
      throw new UsageError(
        "--generated scores pictures that are there already: leave prompts and --delta out " +
          "(--prompt says what all of them were to show)",
      );
    }
    return { ...shared, generated };
  }
  const all = await sampling.promptsGiven(
    prompts,
    promptsFrom,
    "nothing to score: give --generated, a folder of pictures, or prompts to generate from",
  );
  if (prompt !== undefined) {
    throw new UsageError("--prompt is for --generated pictures; prompts to generate stand alone");
  }
  if (model === undefined) throw new UsageError("generating takes --model");
  return {
    ...shared,
    generate: {
      ...{ model, deltas: sampling.deltaRequests(given), prompts: [...new Set(all)] },
      ...{ count, steps, guidance, sampler, eta, size, width, height, batch, seed },
      ...{ negative, plain: true, promptsFrom, device, threads },
    },
  };
}
