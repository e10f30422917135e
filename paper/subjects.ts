/**
 * What is taught and asked for: a concept's pictures, prompts that put it where it never was, and, since this world is
 * drawn, the very pictures that those prompts ask for.
 */
import type { Picture } from "../files/pictures/picture.ts";
import {
  captionOf,
  conceptNamed,
  conceptScene,
  draw,
  type Icons,
  openDrawings,
  PLACES,
  type Scene,
  type SceneOptions,
  SEEDS,
  targetPictures,
} from "../world/mod.ts";
import { token } from "./recipes.ts";

/** One concept, or two that are asked for in one picture. */
export interface Subject {
  readonly names: readonly string[];
  readonly categories: readonly string[];
  /** The pictures that each is taught from. */
  readonly targets: readonly (readonly Picture[])[];
  /** What is asked for, with the classes alone. */
  readonly captions: readonly string[];
  /** For each caption the picture that it asks for, drawn with the concepts themselves. */
  readonly ideal: readonly Picture[];
}

/** How a prompt calls a concept: by its class, by V* and the class, or by V* alone. */
export type Naming = "class" | "both" | "token";

/**
 * Twenty scenes of the paper's four kinds: another place, a style, a thing worn, another thing beside it. The kinds take
 * turns, so that the first few are a fair share of each.
 */
const SCENES: readonly SceneOptions[] = [
  { place: "beach" },
  { style: "pencil" },
  { place: "snow", accessory: true },
  { place: "night" },
  { relation: "next to" },
  { place: "forest" },
  { style: "watercolour" },
  { place: "desert" },
  { place: "meadow", accessory: true },
  { place: "street" },
  { style: "cartoon" },
  { place: "table" },
  { relation: "in front of" },
  { place: "meadow" },
  { style: "pencil", place: "snow" },
  { accessory: true },
  { style: "cartoon", place: "beach" },
  { place: "snow" },
  { relation: "on" },
  { style: "watercolour", place: "night" },
];

/** The subject of these names with so many prompts. */
export async function subjectOf(names: readonly string[], prompts: number): Promise<Subject> {
  const categories = names.map((name) => conceptNamed(name).category);
  const drawings = await openDrawings();
  const scenes = Array.from(
    { length: prompts },
    (_, i) => names.length === 1 ? alone(drawings, names[0], i) : together(drawings, names, i),
  );
  return {
    names,
    categories,
    targets: await Promise.all(names.map(targetPictures)),
    captions: scenes.map((scene) => captionOf(scene)),
    ideal: scenes.map(draw),
  };
}

const alone = (drawings: Icons, name: string, i: number): Scene =>
  conceptScene(drawings, name, SEEDS.fresh + i, SCENES[i % SCENES.length]);

/** Both in a place, side by side or one before the other. */
function together(drawings: Icons, [first, second]: readonly string[], i: number): Scene {
  const relation = i % 2 ? "in front of" : "next to", place = PLACES[i % PLACES.length];
  return conceptScene(drawings, first, SEEDS.fresh + i, { place, relation }, second);
}

/** What the model is asked for. */
export function promptsOf({ captions, categories }: Subject, naming: Naming): string[] {
  if (naming === "class") return [...captions];
  return captions.map((caption) =>
    categories.reduce(
      (text, category, i) =>
        text.replace(
          new RegExp(`\\b${category}\\b`),
          naming === "token" ? token(i) : `${token(i)} ${category}`,
        ),
      caption,
    )
  );
}
