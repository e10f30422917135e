/**
 * Trains the miniature model from nothing, by moongate itself: the renders, configs and losses of `world/pytorch/`.
 *
 *     deno run -A world/train.ts --stage all --out DIR
 *     deno run -A world/train.ts --stage unet --out DIR --resume
 *
 * DIR becomes a model folder in the layout of diffusers; logs and checkpoints lie in DIR/training/. Ctrl-C saves, and
 * `--resume` goes on bit by bit. What is there already is kept, unless `--overwrite`.
 *
 * What it takes. FLOPs are 2×MAC, backward counted as twice forward; the times at 10 TFLOP/s are arithmetic and a lower
 * bound (small kernels are bound by their launch, and one thread of the host makes the batches); nobody has run it on a
 * GPU yet. Measured: seconds a step at batch 8, the configs of then, on a software adapter with two busy cores.
 *
 * | stage      | a picture  | default        | in all     | measured | at 10 GFLOP/s | at 10 TFLOP/s |
 * |------------|------------|----------------|------------|----------|---------------|---------------|
 * | vae        | 859 MFLOP  | 10,000 × 32    | 275 TFLOP  | 1.0 s    | 7.6 h         | 28 s          |
 * | clip       | 408 MFLOP  | 4,000 × 128    | 209 TFLOP  | 0.30 s   | 5.8 h         | 21 s          |
 * | classifier | 342 MFLOP  | 1,500 × 128    | 66 TFLOP   | 0.37 s   | 1.8 h         | 7 s           |
 * | unet       | 658 MFLOP  | 20,000 × 64    | 842 TFLOP  | 0.46 s   | 23 h          | 84 s          |
 *
 * The table is of the earlier miniature, whose UNet had 4.25 million parameters and not 6.6. The row of `unet` is older than
 * two more things that the stage does now, and says less than it takes: the text encoder learns with the UNet, at half the
 * rate (`clip/` keeps the one to score with), and half of its pictures show 4,000 made-up kinds, so 20,000 more pictures are
 * encoded before. The scenes are those without drawings.
 *
 * Drawing the 48,000 pictures, and for `unet` those 20,000, comes on top: 11 to 30 ms each and core.
 */
import { parseArgs } from "node:util";
import { beside } from "../files/beside.ts";
import { report, UsageError } from "../terminal/errors.ts";
import { catchInterrupt, Interrupted, interrupted } from "../terminal/interrupt.ts";
import { whole } from "../terminal/parse.ts";
import { createProgress } from "../terminal/progress.ts";
import { gpu } from "../device/adapter.ts";
import { claim } from "../files/outputs.ts";
import { SETTINGS, type Settings, type Stage, STAGES, trainWorld, WRITES } from "./train/mod.ts";
import { TRAINED } from "./train/settings.ts";

const HELP = `Trains the miniature model from nothing, by moongate itself.

  deno run -A world/train.ts --stage all --out DIR

  --out DIR          the model's folder, made where it is missing
  --stage NAMES      all, or some of ${STAGES.join(", ")}, with commas between
  --resume           go on from the checkpoints in DIR
  --overwrite        train stages again that were trained into DIR before
  --template DIR     folder with the configs of all parts (default: the shipped miniature)
  --steps N          optimizer steps of each stage (default: ${each("steps")})
  --batch N          pictures a step (default: ${each("batch")})
  --pictures N       different renders to train on (default: ${SETTINGS.pictures})
  --kinds N          made-up kinds that half of unet's pictures show (default: ${SETTINGS.unet.kinds})
  --kind-pictures N  different renders of them (default: ${SETTINGS.unet.kindPictures})
  --seed N           random seed (default: ${SETTINGS.seed})
  --save-every N     steps between checkpoints (default: 500)
  --log-every N      steps between lines of the log (default: 50)
  --quiet            no progress`;

/** Flags that take a whole number, as typed. */
type Flags = {
  readonly [
    name in
      | ("steps" | "batch" | "pictures" | "kinds" | "kind-pictures")
      | ("seed" | "save-every" | "log-every")
  ]?: string;
};

function each(what: "steps" | "batch"): string {
  return TRAINED.map((stage) => `${stage} ${SETTINGS[stage][what]}`).join(", ");
}

/** A whole number that was given. Throws UsageError naming the flag for anything else. */
function number(flags: Flags, name: keyof Flags, least: number): number | undefined {
  const text = flags[name];
  if (text === undefined) return undefined;
  try {
    return whole(least)(text);
  } catch (error) {
    throw new UsageError(`--${name} is "${text}". ${(error as Error).message}`);
  }
}

/** The stages that `--stage` names. Throws UsageError for one that there isn't. */
function stagesOf(text: string): readonly Stage[] {
  if (text === "all") return STAGES;
  return text.split(",").map((name) => {
    const stage = STAGES.find((s) => s === name);
    if (!stage) throw new UsageError(`there is no stage "${name}": ${STAGES.join(", ")} or all`);
    return stage;
  });
}

function settingsOf(flags: Flags): Settings {
  const settings = {
    ...SETTINGS,
    pictures: number(flags, "pictures", 1) ?? SETTINGS.pictures,
    seed: number(flags, "seed", 0) ?? SETTINGS.seed,
  };
  const steps = number(flags, "steps", 1), batch = number(flags, "batch", 1);
  const stages = TRAINED.map((stage) => [stage, {
    ...SETTINGS[stage],
    steps: steps ?? SETTINGS[stage].steps,
    batch: batch ?? SETTINGS[stage].batch,
  }]);
  const all: Settings = { ...settings, ...Object.fromEntries(stages) };
  const kinds = number(flags, "kinds", 1) ?? all.unet.kinds;
  const kindPictures = number(flags, "kind-pictures", 1) ?? all.unet.kindPictures;
  return { ...all, unet: { ...all.unet, kinds, kindPictures } };
}

/** Runs the command; gives the exit code. */
async function main(args: string[]): Promise<number> {
  const text = { type: "string" } as const, flag = { type: "boolean", default: false } as const;
  const { values } = parseArgs({
    args,
    options: {
      out: text,
      stage: { ...text, default: "all" },
      template: { ...text, default: beside("./miniature", import.meta.url) },
      steps: text,
      batch: text,
      pictures: text,
      kinds: text,
      "kind-pictures": text,
      seed: text,
      "save-every": text,
      "log-every": text,
      resume: flag,
      overwrite: flag,
      quiet: flag,
      help: flag,
    },
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const { out } = values;
  if (!out) throw new UsageError("--out is needed: the model's folder. --help shows all options");
  const stages = stagesOf(values.stage),
    settings = settingsOf({
      steps: values.steps,
      batch: values.batch,
      seed: values.seed,
      pictures: values.pictures,
      kinds: values.kinds,
      "kind-pictures": values["kind-pictures"],
    });
  const saveEvery = number(values, "save-every", 1), logEvery = number(values, "log-every", 1);
  if (values.resume && values.overwrite) {
    throw new UsageError("--resume goes on, --overwrite starts again: give one of them");
  }
  const holds = stages.flatMap((stage) => WRITES[stage]);
  await using _ = await claim([{ path: out, flag: "--out", holds }], {
    reads: [values.template],
    overwrite: values.resume || values.overwrite,
    existing: { what: "stages that were trained", advice: "Go on with them by --resume. " },
  });
  const progress = createProgress({ quiet: values.quiet });
  using device = await gpu({ onCompile: progress.compiling });
  using interrupt = catchInterrupt({
    write: values.quiet ? console.error : progress.note,
    beforeSaved: progress.stop,
  });
  const { template, resume } = values;
  try {
    await trainWorld(device, {
      ...{ out, template, stages, settings, resume, saveEvery, logEvery, progress },
      signal: interrupt.signal,
    });
  } catch (error) {
    if (!interrupt.requested || (error as Error).name !== "AbortError") throw error;
    const typed = args.filter((a) => a !== "--resume" && a !== "--overwrite").join(" ");
    interrupt.saved(`deno run -A world/train.ts ${typed} --resume`);
  } finally {
    progress.stop();
  }
  console.log(out);
  return 0;
}

if (import.meta.main) {
  try {
    Deno.exitCode = await main(Deno.args);
  } catch (error) {
    const usage = (error as { code?: string }).code?.startsWith("ERR_PARSE_ARGS");
    Deno.exitCode = error instanceof Interrupted
      ? interrupted
      : report(usage ? new UsageError((error as Error).message) : error);
  }
}
