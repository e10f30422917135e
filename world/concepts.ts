/**
 * Ten things that training never shows: what one teaches the miniature model.
 *
 * Each belongs to a class that the model knows ("photo of a gate", "photo of a horse"). Anyone knows them at first sight. The
 * moongate is drawn here; the others are drawings of the same two sets as the things of `world/icons/things.ts`, one hand
 * each, some turned into a colour that the drawing doesn't have. Neither they nor what is nearly the same (the other hand's
 * drawing, a torii, a Japanese castle, a pumpkin, a second dinosaur on two legs) are in the training's pictures.
 */
import type { Rgb } from "./canvas.ts";
import type { Hand, IconThing } from "./icons/things.ts";
import type { Figure, Part } from "./parts.ts";
import type { Colour } from "./scene.ts";
import { box, ellipse, stroke } from "./shapes.ts";

/** A held-out concept. */
export interface Concept {
  /** Its folder's name. */
  readonly name: string;
  /** The word that names its superclass in prompts: a category, or a drawn thing's name. */
  readonly category: string;
  /** What a person would say it is. */
  readonly description: string;
  /** Which drawing it is; undefined for one that is drawn here. */
  readonly drawing?: Drawing;
}

/** Whose drawing something is, by which name, and in which colour where not its own. */
interface Drawing {
  readonly id: string;
  readonly hand: Hand;
  readonly colour?: Colour;
}

/** The held-out concepts. */
export const CONCEPTS: readonly Concept[] = [
  {
    name: "moongate",
    category: "gate",
    description: "a round stone gate with a glowing turquoise moon in it",
  },
  {
    name: "trex",
    category: "dinosaur",
    description: "a purple tyrannosaur",
    drawing: { id: "t-rex", hand: "fluent", colour: "purple" },
  },
  {
    name: "robot",
    category: "toy",
    description: "a grey robot's head with a red mouth",
    drawing: { id: "robot", hand: "noto" },
  },
  {
    name: "flamingo",
    category: "bird",
    description: "a pink flamingo on one leg",
    drawing: { id: "flamingo", hand: "fluent" },
  },
  {
    name: "castle",
    category: "house",
    description: "a pink and lilac castle",
    drawing: { id: "castle", hand: "fluent" },
  },
  {
    name: "locomotive",
    category: "train",
    description: "a green and red steam locomotive",
    drawing: { id: "locomotive", hand: "noto" },
  },
  {
    name: "rocket",
    category: "plane",
    description: "a white rocket with red fins",
    drawing: { id: "rocket", hand: "fluent" },
  },
  {
    name: "jackolantern",
    category: "lantern",
    description: "an orange pumpkin that grins and glows",
    drawing: { id: "jack-o-lantern", hand: "noto" },
  },
  {
    name: "zebra",
    category: "horse",
    description: "a zebra",
    drawing: { id: "zebra", hand: "noto" },
  },
  {
    name: "snowman",
    category: "toy",
    description: "a snowman with a blue scarf and a hat",
    drawing: { id: "snowman-without-snow", hand: "fluent" },
  },
];

/** The concept of this name. Throws RangeError, naming those that exist, if there is none. */
export function conceptNamed(name: string): Concept {
  const found = CONCEPTS.find((concept) => concept.name === name);
  if (!found) {
    throw new RangeError(
      `no concept named "${name}"; there are ${CONCEPTS.map((concept) => concept.name).join(", ")}`,
    );
  }
  return found;
}

/** A concept as a thing that is drawn. Throws RangeError for one that is not a drawing. */
export function heldOutIcon({ name, drawing }: Concept): IconThing {
  if (!drawing) throw new RangeError(`"${name}" is not a drawing`);
  const ids = { fluent: undefined, noto: undefined, [drawing.hand]: drawing.id };
  return { name, ids, coloured: true, named: false };
}

const STONE: Rgb = [150, 148, 150], DARK_STONE: Rgb = [112, 110, 118];
const { PI } = Math;

/** The moongate's figure; a concept is one particular thing, so its proportions don't vary. */
export function moongate(): Figure {
  const y = 0.5, R = 0.52, r = 0.33;
  const stones: Part[] = [];
  for (let i = 0; i < 8; i++) {
    const a = i / 8 * 2 * PI + 0.2;
    const cx = Math.cos(a), cy = Math.sin(a);
    stones.push({
      rings: [stroke([cx * r, y + cy * r, cx * R, y + cy * R], 0.035)],
      tone: DARK_STONE,
      detail: true,
    });
  }
  return {
    parts: [
      { rings: [box(-0.56, 0, 0.56, 0.16)], tone: DARK_STONE },
      { rings: [ellipse(0, y, R), ellipse(0, y, r)], tone: STONE },
      ...stones,
      { rings: [ellipse(0, y, r)], tone: [64, 206, 200], round: true },
      { rings: [ellipse(0.0, y, 0.17)], tone: [236, 255, 244], detail: true },
    ],
    hat: [0, y + R, 0.2],
    bow: [0, y + R * 0.8, 0.18],
    top: y + R,
  };
}
