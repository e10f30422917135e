/** `moongate train`: teaches concepts from a few pictures each. */
import { type Command, Option } from "npm:commander@15.1.0";
import { CHOOSING } from "../../concepts/data/choose.ts";
import { INITIALIZERS } from "../../concepts/defaults.ts";
import { METHOD_NAMES, TRAINS } from "../../concepts/training/methods.ts";
import { PRESET_NAMES } from "../../concepts/training/presets.ts";
import { type ListedConcepts, readConceptsList } from "./concepts_list.ts";
import { UsageError } from "../../terminal/errors.ts";
import { withMemory } from "../shared/running_flags.ts";
import { optimizerFlags } from "./optimizer_flags.ts";
import { concept, distinctConcepts } from "./parse_concept.ts";
import { named, real, repeated, side, whole } from "../../terminal/parse.ts";
import type { ConceptRequest, PriorRequest, TrainRequest } from "./request.ts";
import { type Needs, PACKAGES } from "../shared/permissions.ts";
import { type Context, overwrite, verb, withUi } from "../shared/verb.ts";
import type * as work from "./work.ts";

/** What it reads and writes. */
const NEEDS: Needs = {
  read: [
    ...["--model", "--concept", "--concepts-list", "--captions", "--from", "--regularization"],
    ...["--prior-from", "--scorer", "--out", PACKAGES],
  ],
  write: ["--out"],
};

/** The command; values not given stay at the method's defaults (the paper's and its authors'). */
export function trainCommand(context: Context, run: typeof work.run): Command {
  const command = verb(
    "train",
    "Teach a model new concepts from a few pictures each.",
    [
      'moongate train --model ./stable-diffusion-v1-5 --concept "<new1> dog=./photos/my-dog" --out my-dog',
      'moongate train --model ./sd --concept "<new1> dog=./dog" --concept "<new2> chair=./chair" --out both',
      'moongate train --model ./sd --preset style --concept "<new1> art=./paintings" --out art',
      'moongate train --model ./sd --from my-dog --concept "<new2> chair=./chair" --out dog-then-chair',
      'moongate train --model ./sd --concept "moongate=./photos" --class gate --out moongate',
      'moongate train --model ./sd --method dreambooth --concept "<new1> dog=./photos" --out dreambooth',
      'moongate train --model ./sd --concept "<new1> dog=./dog" --prior-from ./my-collection --out my-dog',
      "moongate train --model ./sd --concepts-list concepts_list.json --out both",
      'moongate train --model ./sd --concept "<new1> dog=./dog" --sample-every 50 --sample-prompt "a <new1> dog at sea" --out my-dog',
      "moongate train --model ./sd --concept … --out my-dog --resume",
    ],
    NEEDS,
    ["model", "out"],
  )
    .option("--model <folder>", "the model: a diffusers folder")
    .option(
      "--concept <words=folder>",
      'what to teach and its pictures: "<new1> dog=./photos"; again for more, taught together',
      repeated(concept),
    )
    .option(
      "--concepts-list <file>",
      "concepts as diffusers lists them, in JSON, in place of those",
    )
    .option("--out <folder>", "where the delta, checkpoints, samples and metrics go")
    .option("--from <delta>", "train on top of an earlier delta; the new one holds both")
    .addOption(
      new Option(
        "--preset <name>",
        "captions, augmentation, steps and rate that suit what is taught; a flag that you give overrides it",
      ).choices(PRESET_NAMES),
    )
    .optionsGroup("Pictures and captions:")
    .option(
      "--caption <template>",
      'caption, {} stands for the words (default: "photo of a {}")',
    )
    .option(
      "--captions <file>",
      "a caption a line for a concept's pictures, in order of their names; repeatable, in order of " +
        "the concepts (default: a.txt beside a.jpg, else --caption)",
      repeated((text) => text),
    )
    .option(
      "--class <words>",
      "what a concept without a new word is a kind of, which has to be said; repeatable, in order of those concepts",
      repeated((text) => text.trim()),
    )
    .option(
      "--regularization <class=folder>",
      'pictures with captions of a class: "dog=./dogs"; repeatable',
      repeated(named),
    )
    .option(
      "--prior-from <path>",
      "choose those of other classes from your captioned pictures: a folder, list or tar archive",
    )
    .option(
      "--prior-count <n>",
      `how many for a class, at most (default: ${CHOOSING.count})`,
      whole(1),
    )
    .option(
      "--prior-similarity <x>",
      `of CLIP between caption and class prompt, to be over (default: ${CHOOSING.similarity})`,
      real(-1, 1),
    )
    .option("--scorer <folder>", "the CLIP to choose with (default: the model's own clip/)")
    .option(
      "--prior-images <n>",
      "regularization pictures to generate for a class that has none of those (default: 200; " +
        "textual-inversion: none); 0 halves the default steps",
      whole(0),
    )
    .option("--size <pixels>", "side of the training pictures (default: the model's)", side(8))
    .option("--flip", "mirror half of the pictures (default, but for faces)")
    .option("--no-flip", "do not mirror pictures (text, faces with a parting)")
    .option("--augment", "draw sizes and places, and say so in captions (default, but for faces)")
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
      "optimizer steps (default: the model's, else 250 for each concept, or the method's)",
      whole(1),
    )
    .option(
      "--batch <n>",
      "target pictures of a batch; as many regularization ones join (default: 4)",
      whole(1),
    )
    .option("--weight-decay <x>", "decoupled, on what is trained (default: 0.01)", real(0, 1))
    .option(
      "--initializer <token>",
      "vocabulary entry that a new word starts from (see moongate tokens), or random; in order, " +
        "repeatable (default: ktn, pll, ucd)",
      repeated((text) => text),
    )
    .option("--seed <n>", "random seed", whole(0), 42);
  return withMemory(optimizerFlags(command).optionsGroup("Running:"))
    .option("--save-every <n>", "steps between checkpoints, each with a delta", whole(1), 50)
    .option("--keep <n>", "checkpoints to keep, the newest", whole(1), 5)
    .option("--sample-every <n>", "steps between sample pictures (default: none)", whole(1))
    .option(
      "--sample-prompt <prompt>",
      "what they show, repeatable (default: each concept in its caption)",
      repeated((text) => text),
    )
    .option("--log-every <n>", "steps between readings of the loss", whole(1), 10)
    .option("--resume", "go on from the newest checkpoint in --out that is whole")
    .option(...overwrite)
    .option("-q, --quiet", "no progress")
    .action(async (options: Flags) => {
      const { concept, conceptsList } = options;
      if ((concept === undefined) === (conceptsList === undefined)) {
        throw new UsageError(
          concept === undefined
            ? "nothing to teach: give --concept, or --concepts-list"
            : "--concepts-list stands in place of --concept: give one of them",
        );
      }
      const listed = conceptsList === undefined ? undefined : await readConceptsList(conceptsList);
      const request = trainRequest(options, listed);
      const path = await withUi(
        context,
        options.quiet ?? false,
        (ui) => run(request, ui),
      );
      context.out(path);
    });
}

/** What commander gives. */
type Flags =
  & Omit<
    TrainRequest,
    "concepts" | "initializers" | "regularization" | "prior" | "resume" | "samplePrompts"
  >
  & {
    concept?: ConceptRequest[];
    class?: string[];
    captions?: string[];
    priorFrom?: string;
    priorCount?: number;
    priorSimilarity?: number;
    scorer?: string;
    initializer?: string[];
    samplePrompt?: string[];
    regularization?: TrainRequest["regularization"];
    resume?: boolean;
    quiet?: boolean;
  };

/** The request that flags make; what no single flag can see is checked here. */
function trainRequest(
  { concept: given = [], initializer, resume = false, captions, class: classes, quiet: _, ...rest }:
    Flags,
  listed?: ListedConcepts,
): TrainRequest {
  const { priorFrom, priorCount, priorSimilarity, scorer, ...others } = rest;
  const { samplePrompt: samplePrompts, ...flags } = others;
  if (samplePrompts && flags.sampleEvery === undefined) {
    throw new UsageError("--sample-prompt is of sample pictures: give --sample-every, how often");
  }
  const prior = priorRequest(priorFrom, { priorCount, priorSimilarity, scorer });
  const concept = withClasses(withCaptions(listed?.concepts ?? given, captions), classes);
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
  const regularization = [
    ...flags.regularization ?? [],
    ...listed?.regularization.filter((l) =>
      !flags.regularization?.some(({ name }) => name === l.name)
    ) ?? [],
  ];
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
  return {
    ...flags,
    resume,
    concepts: concept,
    regularization,
    ...(prior && { prior }),
    ...(samplePrompts && { samplePrompts }),
    initializers: initializer,
  };
}

/** Gives each concept its list of captions. */
function withCaptions(concepts: ConceptRequest[], lists: string[] = []): ConceptRequest[] {
  if (lists.length && lists.length !== concepts.length) {
    throw new UsageError(
      `--captions is given ${lists.length} times for ${concepts.length} concepts: once for each`,
    );
  }
  return concepts.map((one, i) => lists.length ? { ...one, captions: lists[i] } : one);
}

/** Gives each concept without a new word its class. */
function withClasses(concepts: ConceptRequest[], classes: string[] = []): ConceptRequest[] {
  if (!classes.length) return concepts;
  const without = concepts.filter(({ tokens }) => !tokens.length);
  if (classes.length !== without.length) {
    throw new UsageError(
      `--class is given ${classes.length} times, and ${without.length} concepts have no new word: ` +
        `once for each of those. The class of "<new1> dog" is "dog"`,
    );
  }
  return concepts.map((one) =>
    one.tokens.length ? one : { ...one, category: classes[without.indexOf(one)] }
  );
}

function priorRequest(
  from: string | undefined,
  given: Pick<Flags, "priorCount" | "priorSimilarity" | "scorer">,
): PriorRequest | undefined {
  const { priorCount: count, priorSimilarity: similarity, scorer } = given;
  if (from !== undefined) {
    const numbers = {
      count: count ?? CHOOSING.count,
      similarity: similarity ?? CHOOSING.similarity,
    };
    return { from, ...numbers, ...(scorer !== undefined && { scorer }) };
  }
  const flag = count !== undefined
    ? "--prior-count"
    : similarity !== undefined
    ? "--prior-similarity"
    : scorer !== undefined
    ? "--scorer"
    : undefined;
  if (flag === undefined) return undefined;
  throw new UsageError(`${flag} is of choosing pictures: give --prior-from, what to choose from`);
}
