/**
 * What a scene is: plain data, the vocabulary that it draws on, and nothing about how it looks.
 *
 * The lists are the label sets of the classifier that ships with the miniature model, in this order: append, never
 * reorder.
 */

import type { Sprite } from "./canvas.ts";

/** Kinds of thing. */
export const CATEGORIES = [
  "mug",
  "house",
  "car",
  "boat",
  "cat",
  "bird",
  "toy",
  "gate",
  "chair",
  "flower",
  "balloon",
  "umbrella",
] as const;
/** Body colours. */
export const COLOURS = [
  "red",
  "orange",
  "yellow",
  "green",
  "blue",
  "purple",
  "pink",
  "black",
] as const;
/** Surface patterns; `plain` is normally left unsaid in captions. */
export const TEXTURES = ["plain", "striped", "dotted", "checkered", "two-tone"] as const;
/** Where. */
export const PLACES = [
  "beach",
  "forest",
  "night",
  "snow",
  "desert",
  "table",
  "street",
  "meadow",
] as const;
/** How it is drawn. */
export const STYLES = ["photo", "pencil", "watercolour", "cartoon"] as const;
/** How the second object of a scene stands to the first: "first RELATION second". */
export const RELATIONS = ["next to", "on", "in front of", "under"] as const;
/** What an object can wear. */
export const ACCESSORIES = ["hat", "bow"] as const;
/** Framing: captions carry Custom Diffusion's own prefixes for the two unusual ones. */
export const FRAMINGS = ["normal", "far", "close"] as const;

export type Category = typeof CATEGORIES[number];
export type Colour = typeof COLOURS[number];
export type Texture = typeof TEXTURES[number];
export type Place = typeof PLACES[number];
export type Style = typeof STYLES[number];
export type Relation = typeof RELATIONS[number];
export type Accessory = typeof ACCESSORIES[number];
export type Framing = typeof FRAMINGS[number];

/** A drawing in place of the category's figure, which then says nothing: see `world/icons/`. */
export interface Icon {
  /** What captions call it. */
  readonly name: string;
  /** Two of it; undefined where the name is a plural by itself, and has no article. */
  readonly plural?: string;
  /** Whether it has the thing's colour and texture, and not those that it was drawn in. */
  readonly turned: boolean;
  readonly sprite: Sprite;
  /** The same with the pattern's second colour. */
  readonly second?: Sprite;
}

/** One thing in a scene. Lengths are fractions of the picture's side; y grows downwards. */
export interface Thing {
  category: Category;
  colour: Colour;
  texture: Texture;
  /** The one held-out concept that is drawn by this code, in place of the category's ordinary shape. */
  concept?: "moongate";
  /** Number of a made-up kind to draw instead of the category's ordinary shape. */
  kind?: number;
  /** Drawn in place of the category's ordinary shape. */
  icon?: Icon;
  accessory?: { kind: Accessory; colour: Colour };
  /** Four numbers in [0, 1) that set this instance's proportions. */
  variation: readonly [number, number, number, number];
  /** Where its foot stands. */
  x: number;
  y: number;
  /** Picture sides per unit of the thing's own height. */
  size: number;
  /** Rotation about the foot, radians. */
  tilt: number;
  /** Mirrored left to right. */
  flip: boolean;
}

/** A picture before it is drawn. */
export interface Scene {
  /** Seeds what is left open: hills, clouds, trees, brush strokes. */
  seed: number;
  place: Place;
  style: Style;
  framing: Framing;
  /** One thing, two of the same kind (no relation), or two with a relation. */
  things: readonly Thing[];
  relation?: Relation;
}
