/** What the demo teaches, in which words, and how long: everything that is decided before a GPU is asked for. */
import { beside } from "../../files/beside.ts";
import type { CaptionedPicture, Concept } from "../../concepts/data/batches.ts";
import { METHODS } from "../../concepts/training/methods.ts";
import { modelDefaults, type SamplingDefaults } from "../../concepts/training/model_settings.ts";
import { INITIALIZERS, type TrainingDefaults } from "../../concepts/defaults.ts";
import type { Picture } from "../../files/pictures/picture.ts";
import {
  conceptNamed,
  freshPictures,
  openDrawings,
  placeWords,
  regularizationPictures,
  styleWords,
  targetPictures,
} from "../../world/mod.ts";
import { UsageError } from "../../terminal/errors.ts";
import type { DemoRequest } from "./request.ts";

/** A concept of the demo. */
export interface DemoConcept extends Concept {
  /** Its folder's name. */
  readonly name: string;
  /** In a person's words. */
  readonly description: string;
  readonly initializer: string;
  /** Whole pictures, without masks. */
  readonly pictures: readonly Picture[];
  readonly regularization: readonly CaptionedPicture[];
  /** New scenes to ask for. */
  readonly prompts: readonly string[];
  /** The very pictures that they ask for: drawings of the concept in those places. */
  readonly ideal: readonly Picture[];
}

/** The whole plan. */
export interface DemoPlan {
  /** The model's folder. */
  readonly model: string;
  readonly concepts: readonly DemoConcept[];
  /** Both concepts in one picture. */
  readonly pairPrompts: readonly string[];
  /** All of the model's own numbers, but for the steps where others are asked for. */
  readonly training: TrainingDefaults;
  readonly sampling: SamplingDefaults;
  /** Of the merge. */
  readonly ridge: number;
}

/** Of the pairs that were measured the one in which both are seen most often (`world/miniature/README.md`), unless others are asked for. */
const CHOSEN = ["moongate", "jackolantern"];

/** Where and how the new pictures show them. The pictures that they are taught from are photos on a beach, in a meadow and so on. */
const SCENES = [
  { style: "photo", place: "beach" },
  { style: "photo", place: "street" },
  { style: "watercolour", place: "forest" },
  { style: "cartoon", place: "snow" },
  { style: "pencil", place: "meadow" },
] as const;

/** Prompts for something in each of the scenes. */
const prompts = (what: string): string[] =>
  SCENES.map(({ style, place }) => `${styleWords(style)} ${what} ${placeWords(place)}`);

/** Names of the concepts to teach. Throws UsageError unless they are two. */
export function demoConcepts({ concepts = CHOSEN }: DemoRequest): string[] {
  if (concepts.length === 2 && concepts[0] !== concepts[1]) return concepts;
  throw new UsageError(
    `--concept: the demo teaches two different concepts, not ${new Set(concepts).size}`,
  );
}

/** Plans the demo. Throws UsageError for concepts that do not ship. */
export async function demoPlan(request: DemoRequest): Promise<DemoPlan> {
  const names = demoConcepts(request);
  const model = beside("../../world/miniature", import.meta.url);
  const concepts = await Promise.all(names.map(demoConcept));
  const { methods, sampling, merging } = await modelDefaults(model);
  const { steps = methods.custom.steps } = request;
  const words = concepts.map((c) => `${c.token} ${c.className}`);
  return {
    model,
    concepts,
    pairPrompts: prompts(`a ${words[0]} next to a ${words[1]}`),
    training: { ...methods.custom, steps },
    sampling,
    ridge: merging.ridge,
  };
}

async function demoConcept(name: string, index: number): Promise<DemoConcept> {
  let known;
  try {
    known = conceptNamed(name);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const token = `<new${index + 1}>`;
  const { category } = known, drawings = await openDrawings();
  return {
    name,
    description: known.description,
    token,
    className: category,
    initializer: INITIALIZERS[index],
    pictures: await targetPictures(name),
    regularization: regularizationPictures(drawings, category, METHODS.custom.priorImages),
    prompts: prompts(`a ${token} ${category}`),
    ideal: freshPictures(drawings, name, SCENES),
  };
}
