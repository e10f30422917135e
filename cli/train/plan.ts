/**
 * Everything about a training run that can be known before a GPU is asked for: the pictures are read, words and folders
 * are checked, and what is not given is taken from the model's defaults.
 */
import type { Concept } from "../../concepts/data/batches.ts";
import { defaultSteps, scaledRate } from "../../concepts/defaults.ts";
import { initializerOf, METHODS, type Trains } from "../../concepts/training/methods.ts";
import { presetDefaults, PRESETS } from "../../concepts/training/presets.ts";
import { fill } from "../../concepts/data/prompts.ts";
import { type RateSchedule, scheduleOf } from "../../concepts/training/rates.ts";
import type { ClipFolder } from "../../evaluate/clip.ts";
import { messageOf } from "../../files/errors.ts";
import { randomSeed } from "../../models/clip/new_tokens.ts";
import { TokenError } from "../../models/clip/tokenizer.ts";
import { type NamedDelta, openDeltas, tokensOf } from "../shared/deltas.ts";
import { UsageError } from "../../terminal/errors.ts";
import {
  inspectModel,
  inspectScorer,
  type ModelFacts,
  sideFor,
  unknownWords,
} from "../shared/model.ts";
import type { TrainRequest } from "./request.ts";
import { type ClassSet, readClasses, readPhotos } from "./pictures.ts";
import { trainRemarks } from "./remarks.ts";

/** A run that can start. */
export interface TrainPlan {
  /** The model. */
  model: ModelFacts;
  /** With their pictures. */
  concepts: Concept[];
  /** What to train on top of. */
  start?: NamedDelta;
  /** New words and the vocabulary entries that they start from. */
  addTokens: Record<string, string>;
  /** One for each class. */
  classes: ClassSet[];
  /** Regularization pictures to make for a class that has none. */
  priorImages: number;
  /** What captions of a collection are compared by; undefined where nothing is chosen from one. */
  scorer?: ClipFolder;
  /** Whether the steps were halved, since there is no regularization. */
  halved: boolean;
  /** Numbers, with defaults filled in; `batch` counts targets and regularization pictures. */
  settings: {
    trains: Trains;
    freezeTokens: boolean;
    cutStartToken: boolean;
    steps: number;
    rate: number;
    schedule: RateSchedule;
    warmUp: number;
    batch: number;
    accumulate: number;
    clip?: number;
    decay: number;
    template: string;
    size: number;
    seed: number;
    augment: boolean;
    flip: boolean;
  };
  /** Prompts of the pictures to make on the way. */
  samplePrompts: string[];
  /** What the user should know before it starts. */
  remarks: string[];
}

/** Checks a request and reads its pictures. Writes nothing. */
export async function planTraining(request: TrainRequest): Promise<TrainPlan> {
  const model = await inspectModel(request.model);
  const start = request.from === undefined
    ? undefined
    : (await openDeltas([request.from], model))[0];
  const method = METHODS[request.method];
  const preset = request.preset === undefined ? undefined : PRESETS[request.preset];
  checkPreset(request);
  const own = model.defaults.methods[request.method];
  const training = preset ? presetDefaults(preset, own) : own;
  const trains = request.trains ??
    (preset && request.method === "custom" ? preset.trains : method.trains);
  const freezeTokens = request.freezeTokens ?? method.freezeTokens;
  checkTrains(request, trains, freezeTokens);
  const size = sideFor(model, request.size);
  const batch = request.batch === undefined ? training.batch : 2 * request.batch;
  const template = request.caption ?? training.template;
  const addTokens = newTokens(request, model, start);
  const concepts: Concept[] = [], remarks: string[] = [];
  const remark = (text: string) => void remarks.push(text);
  for (const one of request.concepts) {
    const { tokens: [token = ""], category } = one;
    const initializer = token ? addTokens[token] : undefined;
    const photos = await readPhotos(one, size, template, remark);
    concepts.push({ token, className: category, ...photos, initializer });
  }
  const priorImages = request.priorImages ?? method.priorImages;
  const classTemplate = preset?.classTemplate ?? template;
  const classes = await readClasses(request, size, classTemplate, priorImages, remark);
  const scorer = classes.some((c) => c.collection)
    ? await inspectScorer({ scorer: request.prior?.scorer, model: request.model })
    : undefined;
  // Textual inversion is without regularization by itself: its steps are its own.
  const samplePrompts = promptsOf(request, Object.keys(addTokens), template);
  const regularized = classes.length > 0 || method.priorImages === 0;
  const steps = request.steps ?? defaultSteps(training.steps, concepts.length, regularized);
  const rates = checkRates(request, training.schedule, steps);
  const { accumulate = 1, clip, learningRate, scaleRate = true } = request;
  const seen = { rate: training.rate, batch: training.batch };
  if (learningRate !== undefined) Object.assign(seen, { rate: learningRate, batch: 1 });
  const plan = {
    model,
    concepts,
    start,
    addTokens,
    classes,
    priorImages,
    scorer,
    halved: !regularized && request.steps === undefined,
    settings: {
      ...{ trains, freezeTokens, cutStartToken: method.cutStartToken },
      steps,
      rate: scaleRate ? scaledRate(seen, batch * accumulate) : seen.rate,
      ...rates,
      ...{ batch, accumulate, clip },
      decay: request.weightDecay ?? training.decay,
      template,
      size,
      seed: request.seed,
      augment: request.augment ?? preset?.augment ?? true,
      flip: request.flip ?? preset?.flip ?? true,
    },
    samplePrompts,
    remarks,
  };
  remarks.push(...trainRemarks(plan, request.concepts));
  return plan;
}

/** Refuses a preset whose numbers are not the method's. */
function checkPreset({ preset, method }: TrainRequest): void {
  if (preset !== "face" || method === "custom") return;
  throw new UsageError(
    `--preset face is of --method custom: what ${method} takes for faces was not measured. ` +
      "Say --no-augment --no-flip in its place",
  );
}

/** The schedule of the rate: the one asked for, or else the model's own. */
function checkRates(
  { schedule: asked, warmUp = 0 }: TrainRequest,
  own: RateSchedule | undefined,
  steps: number,
): { schedule: RateSchedule; warmUp: number } {
  if (warmUp >= steps && warmUp > 0) {
    throw new UsageError(
      `--warm-up ${warmUp} leaves nothing of ${steps} steps: give a smaller one`,
    );
  }
  // An even rate that nobody asked for is no reason to refuse a warm-up.
  const schedule = asked ?? (own === "constant" ? undefined : own);
  try {
    return { schedule: scheduleOf({ schedule, warmUp }), warmUp };
  } catch (error) {
    throw new UsageError(`--schedule, --warm-up: ${messageOf(error).replace(/^\w+: /, "")}`, {
      cause: error,
    });
  }
}

/** Refuses a run in which nothing would train. */
function checkTrains(request: TrainRequest, trains: Trains, freezeTokens: boolean): void {
  const without = request.concepts.find(({ tokens }) => !tokens.length);
  const alike = request.concepts.find(({ tokens, words, category }) =>
    !tokens.length && words === category
  );
  if (alike && trains !== "token") {
    const { words } = alike;
    throw new UsageError(
      `"${words}" has no new word and is its own class, so that pictures of the class would be captioned as its own are. ` +
        `Give it a new word, "<new1> ${words}=…", or say by --class what it is a kind of`,
    );
  }
  if (trains !== "token") return;
  if (without) {
    throw new UsageError(
      `"${without.words}" has no new word, and nothing else would train. ` +
        `Give it one: "<new1> ${without.words}=…"`,
    );
  }
  if (freezeTokens) {
    throw new UsageError("--freeze-tokens leaves nothing to train: the new words alone were to");
  }
}

/** What samples are made of: the prompts that were given, or each concept in the template. */
function promptsOf(
  { samplePrompts, concepts }: TrainRequest,
  taught: string[],
  template: string,
): string[] {
  for (const prompt of samplePrompts ?? []) {
    const unknown = prompt.match(/<[^<>\s]+>/g)?.find((word) => !taught.includes(word));
    if (unknown === undefined) continue;
    throw new UsageError(
      `--sample-prompt "${prompt}" has ${unknown}, which nobody teaches: ${
        taught.length ? `the new words are ${taught.join(", ")}` : "there is no new word"
      }`,
    );
  }
  return samplePrompts ?? concepts.map(({ words }) => fill(template, words));
}

/** Checks the new words, what they start from, and the class words. */
function newTokens(
  request: TrainRequest,
  model: ModelFacts,
  start?: NamedDelta,
): Record<string, string> {
  const { tokenizer } = model;
  // Earlier words are known first, and have used up their initializers.
  const earlier = start ? tokensOf([start], model) : {};
  for (const token of Object.keys(earlier)) tokenizer.addToken(token);
  const pairs: [string, string][] = [];
  for (const { words, tokens, category } of request.concepts) {
    const [unknown] = unknownWords(model, category);
    if (unknown !== undefined) {
      throw new UsageError(
        `"${words}": the model does not know the class "${unknown}". Name a class that it knows: ` +
          `what it has learnt of the class is what the new word starts from` +
          (tokens.length ? "" : `. For a word that is itself to be learnt, name it by --class`),
      );
    }
    for (const token of tokens) {
      if (token in earlier) continue; // It is taught on.
      const order = Object.keys(earlier).length + pairs.length;
      const initializer = request.initializers?.[pairs.length] ??
        initializerOf(request.method, category, order, (e) => tokenizer.rawId(e) !== undefined);
      if (randomSeed(initializer) === undefined && tokenizer.rawId(initializer) === undefined) {
        throw new TokenError(
          token,
          `can't start from "${initializer}", which is no entry of this model's vocabulary. ` +
            `Name another with --initializer ("moongate tokens" lists rare ones)`,
        );
      }
      tokenizer.addToken(token); // Throws when it is in the vocabulary already.
      pairs.push([token, initializer]);
    }
  }
  return { ...earlier, ...Object.fromEntries(pairs) };
}
