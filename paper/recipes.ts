/**
 * How a delta comes to be, as plain data: the same data, the same file. That is what lets a run that was cut off go on,
 * and a delta be trained once that several tables show.
 */
import type { CompressTarget } from "../concepts/deltas/compress.ts";
import { defaultSteps, INITIALIZERS } from "../concepts/defaults.ts";
import { METHODS, type Trains } from "../concepts/training/methods.ts";
import type { RateSchedule } from "../concepts/training/rates.ts";
import type { ModelDefaults } from "../concepts/training/model_settings.ts";
import { conceptNamed } from "../world/mod.ts";
import type { Settings } from "./settings.ts";
import type { Regularization, Variant } from "./variants.ts";
import { sha256 } from "../files/sha256.ts";

/** One training run. */
export interface Training {
  readonly kind: "training";
  /** What is taught, by name. */
  readonly concepts: readonly string[];
  /** V* of each. */
  readonly tokens: readonly string[];
  /** Vocabulary entry that each V* starts from. */
  readonly initializers: readonly string[];
  /** Captions say V* alone, without the class. */
  readonly alone: boolean;
  readonly trains: Trains;
  readonly freezeTokens: boolean;
  readonly cutStartToken: boolean;
  readonly augment: boolean;
  readonly regularization: Regularization;
  /** Regularization pictures of each class. */
  readonly count: number;
  readonly steps: number;
  readonly rate: number;
  readonly schedule?: RateSchedule;
  /** Ends there, a part of the whole run: all of it where left out. */
  readonly until?: number;
  readonly batch: number;
  readonly decay: number;
  readonly template: string;
  readonly seed: number;
  /** Goes on from the model that this gave. */
  readonly after?: Training;
}

/** Deltas of other deltas: in closed form, or simply used together. */
export type Recipe =
  | Training
  | { readonly kind: "merged"; readonly of: readonly Training[]; readonly ridge: number }
  | { readonly kind: "together"; readonly of: readonly Training[] }
  | { readonly kind: "compressed"; readonly of: Training; readonly target: CompressTarget };

/** The n-th V*. */
export const token = (n: number): string => `<new${n + 1}>`;

/** The recipe of a variant for one concept or two; undefined for the untouched model. */
export function recipeOf(
  variant: Variant,
  concepts: readonly string[],
  seed: number,
  settings: Settings,
  defaults: ModelDefaults,
): Recipe | undefined {
  if (!variant.method) return undefined;
  const train = (names: readonly string[], first = 0, after?: Training): Training =>
    training(variant, names, first, seed, settings, defaults, after);
  switch (variant.composition) {
    case "sequential":
      return train(concepts.slice(1), 1, train(concepts.slice(0, 1)));
    case "merged":
    case "together": {
      const { composition: kind } = variant, of = concepts.map((name) => train([name]));
      return kind === "merged" ? { kind, of, ridge: defaults.merging.ridge } : { kind, of };
    }
    default:
      return train(concepts);
  }
}

/** @param first number of the first V* */
function training(
  { method = "custom", ...variant }: Variant,
  concepts: readonly string[],
  first: number,
  seed: number,
  { shorter, batch, regularization: count }: Settings,
  defaults: ModelDefaults,
  after?: Training,
): Training {
  const preset = METHODS[method], numbers = defaults.methods[method], less = shorter[method];
  const { trains, cutStartToken } = preset;
  const { regularization = "real", augment = true } = variant;
  // A method that never has regularization has its own steps.
  const whole = regularization !== "none" || preset.priorImages === 0;
  const steps = defaultSteps(numbers.steps, concepts.length, whole) / less;
  const entry = (name: string, i: number) =>
    trains === "token"
      ? `${conceptNamed(name).category}</w>`
      : variant.initializer ?? INITIALIZERS[first + i];
  return {
    kind: "training",
    concepts,
    tokens: concepts.map((_, i) => token(first + i)),
    initializers: concepts.map(entry),
    alone: trains === "token",
    ...{ trains, cutStartToken, augment, regularization, batch, seed },
    freezeTokens: variant.freezeTokens ?? preset.freezeTokens,
    count: regularization === "none" ? 0 : count,
    steps: Math.max(1, Math.round(steps)),
    rate: trains === "token" ? numbers.rate : numbers.rate * less,
    ...(numbers.schedule && { schedule: numbers.schedule }),
    ...{ decay: numbers.decay, template: numbers.template },
    ...(after && { after }),
  };
}

/** All training runs that a recipe rests on, in the order in which they must be done. */
export function trainingsOf(recipe: Recipe | undefined): Training[] {
  if (!recipe) return [];
  switch (recipe.kind) {
    case "training":
      return [...trainingsOf(recipe.after), recipe];
    case "compressed":
      return trainingsOf(recipe.of);
    default:
      return recipe.of.flatMap(trainingsOf);
  }
}

/** The step at which a run ends. */
export const endOf = ({ until, steps }: Training): number => until ?? steps;

/** A name for files: words for people, and 64 bits of a hash of everything that decides the content. */
export async function keyOf(words: readonly string[], ...content: unknown[]): Promise<string> {
  const hash = await sha256(new TextEncoder().encode(JSON.stringify(content)));
  return [...words.map((w) => w.replace(/[^\w+.-]+/g, "_")), hash.slice(0, 16)].join("-");
}
