/** `moongate train`: teaches concepts from a few pictures each. */
import { type Command, Option } from "npm:commander@15.1.0";
import { INITIALIZERS } from "../concepts/defaults.ts";
import { METHOD_NAMES, TRAINS } from "../concepts/methods.ts";
import { UsageError } from "./errors.ts";
import { concept, distinctConcepts, memory, named, real, repeated, side, whole } from "./parse.ts";
import type { ConceptRequest, TrainRequest } from "./requests.ts";
import { type Context, verb, withUi } from "./verb.ts";

/** The command; values not given stay at the method's defaults (the paper's and its authors'). */
export function trainCommand(context: Context): Command {
  return verb("train", "Teach a model new concepts from a few pictures each.", [
    'moongate train --model ./stable-diffusion-v1-5 --concept "<new1> dog=./photos/my-dog" --out my-dog',
    'moongate train --model ./sd --concept "<new1> dog=./dog" --concept "<new2> chair=./chair" --out both',
    'moongate train --model ./sd --concept "<new1> art=./paintings" --caption "painting in the style of {}" --out art',
    'moongate train --model ./sd --method dreambooth --concept "<new1> dog=./photos" --out dreambooth',
    "moongate train --model ./sd --concept … --out my-dog --resume",
  ], ["model", "concept", "out"])
    .option("--model <folder>", "the model: a diffusers folder")
    .option(
      "--concept <words=folder>",
      'what to teach and its pictures: "<new1> dog=./photos"; again for more, taught together',
      repeated(concept),
    )
    .option("--out <folder>", "where the delta, checkpoints and metrics go")
    .optionsGroup("Pictures and captions:")
    .option(
      "--caption <template>",
      'caption, {} stands for the words (default: "photo of a {}")',
    )
    .option(
      "--regularization <class=folder>",
      'pictures with captions of a class: "dog=./dogs"; generated where left out; repeatable',
      repeated(named),
    )
    .option(
      "--prior-images <n>",
      "regularization pictures generated for a class (default: 200; textual-inversion: none)",
      whole(0),
    )
    .option("--size <pixels>", "side of the training pictures (default: the model's)", side(8))
    .option("--no-flip", "do not mirror pictures (text, faces with a parting)")
    .option("--no-augment", "do not draw sizes and places")
    .optionsGroup("Training (a model folder may set other defaults in its moongate.json):")
    .addOption(
      new Option(
        "--method <name>",
        "Custom Diffusion, the same with the whole UNet, or what the paper compares it with",
      ).choices(METHOD_NAMES).default("custom"),
    )
    .addOption(
      new Option(
        "--trains <what>",
        "beside the new words: keys and values, all of the cross-attention, the UNet, or no more (default: the method's)",
      ).choices(TRAINS),
    )
    .option("--freeze-tokens", "new words keep the rows that they start from")
    .option(
      "--steps <n>",
      "optimizer steps (default: 250 for each concept, or the method's)",
      whole(1),
    )
    .option(
      "--batch <n>",
      "target pictures a step; as many regularization ones join (default: 4)",
      whole(1),
    )
    .option(
      "--learning-rate <x>",
      "for each example; multiplied by the whole batch (default: 1e-5, or the method's)",
      real(0, 1, true),
    )
    .option("--weight-decay <x>", "decoupled, on what is trained (default: 0.01)", real(0, 1))
    .option(
      "--initializer <token>",
      "vocabulary entry that a new word starts from, in order; repeatable (default: ktn, pll, ucd)",
      repeated((text) => text),
    )
    .option("--seed <n>", "random seed", whole(0), 42)
    .optionsGroup("Running:")
    .addOption(
      new Option(
        "--precision <type>",
        "of the frozen weights (default: f32; f16 where --memory asks for it)",
      ).choices(["f32", "f16"]),
    )
    .option("--memory <size>", 'GPU memory to stay within, "6GB" (default: no limit)', memory)
    .option("--save-every <n>", "steps between checkpoints", whole(1), 50)
    .option("--log-every <n>", "steps between readings of the loss", whole(1), 10)
    .option("--resume", "go on from the newest checkpoint in --out")
    .option("-q, --quiet", "no progress")
    .action(async (options: Flags) => {
      const request = trainRequest(options);
      const path = await withUi(
        context,
        options.quiet ?? false,
        (ui) => context.work.train(request, ui),
      );
      context.out(path);
    });
}

/** What commander gives. */
type Flags =
  & Omit<TrainRequest, "concepts" | "initializers" | "regularization" | "resume">
  & {
    concept: ConceptRequest[];
    initializer?: string[];
    regularization?: TrainRequest["regularization"];
    resume?: boolean;
    quiet?: boolean;
  };

/** The request that flags make; what no single flag can see is checked here. */
function trainRequest(
  { concept, initializer, resume = false, quiet: _, ...flags }: Flags,
): TrainRequest {
  distinctConcepts(concept);
  for (const { words, tokens } of concept) {
    if (tokens.length <= 1) continue;
    throw new UsageError(`"${words}" has ${tokens.length} new words: a concept takes one`);
  }
  if (flags.caption !== undefined && flags.caption.split("{}").length !== 2) {
    throw new UsageError(
      `--caption "${flags.caption}" has ${
        flags.caption.includes("{}") ? "more than one" : "no"
      } {} for the concept's words, as in "photo of a {}"`,
    );
  }
  const regularization = flags.regularization ?? [];
  for (const { name } of regularization) {
    if (concept.some(({ category }) => category === name)) continue;
    const classes = concept.map(({ category }) => `"${category}"`).join(", ");
    throw new UsageError(
      `--regularization names the class "${name}", but the concepts' are ${classes}`,
    );
  }
  const tokens = concept.reduce((sum, { tokens }) => sum + tokens.length, 0);
  const initializers = initializer ?? INITIALIZERS;
  if (tokens > initializers.length) {
    throw new UsageError(
      `${tokens} new words need as many initializers, but there are ${initializers.length} ` +
        `(${initializers.join(", ")}). Add --initializer for each`,
    );
  }
  return { ...flags, resume, concepts: concept, regularization, initializers: initializer };
}
