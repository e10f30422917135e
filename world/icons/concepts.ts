/**
 * Ten things that training of the richer model never shows, chosen so that anyone knows them at first sight.
 *
 * The moongate is drawn as in `world/concepts.ts`; the others are drawings of the same two sets as the things of
 * `things.ts`, one hand each, some turned into a colour that the drawing doesn't have. Neither they nor what is nearly the
 * same (the other hand's drawing, a torii, a Japanese castle, a pumpkin, a second dinosaur on two legs) are in `things.ts`.
 */
import type { Colour } from "../scene.ts";
import type { Hand, IconThing } from "./things.ts";

/** A held-out concept of the richer world. */
export interface IconConcept {
  readonly name: string;
  /** The word that names its superclass in prompts: a category, or a thing's name. */
  readonly category: string;
  /** Whose drawing it is, and in which colour where not its own; undefined for one that `world/concepts.ts` draws. */
  readonly hand?: Hand;
  readonly colour?: Colour;
  /** What a person would say it is. */
  readonly description: string;
}

/** The held-out concepts. */
export const ICON_CONCEPTS: readonly IconConcept[] = [
  {
    name: "moongate",
    category: "gate",
    description: "a round stone gate with a glowing turquoise moon in it",
  },
  {
    name: "trex",
    category: "dinosaur",
    hand: "fluent",
    colour: "purple",
    description: "a purple tyrannosaur",
  },
  {
    name: "robot",
    category: "toy",
    hand: "noto",
    description: "a grey robot's head with a red mouth",
  },
  { name: "flamingo", category: "bird", hand: "fluent", description: "a pink flamingo on one leg" },
  { name: "castle", category: "house", hand: "fluent", description: "a pink and lilac castle" },
  {
    name: "locomotive",
    category: "train",
    hand: "noto",
    description: "a green and red steam locomotive",
  },
  {
    name: "rocket",
    category: "plane",
    hand: "fluent",
    description: "a white rocket with red fins",
  },
  {
    name: "jackolantern",
    category: "lantern",
    hand: "noto",
    description: "an orange pumpkin that grins and glows",
  },
  { name: "zebra", category: "horse", hand: "noto", description: "a zebra" },
  {
    name: "snowman",
    category: "toy",
    hand: "fluent",
    description: "a snowman with a blue scarf and a hat",
  },
];

const held = (name: string, id: string): IconThing => ({
  name,
  ids: { fluent: id, noto: id },
  coloured: true,
  named: false,
  plural: undefined,
});

/** What the concepts are drawn from. */
export const HELD_OUT_ICONS: readonly IconThing[] = [
  held("trex", "t-rex"),
  held("robot", "robot"),
  held("flamingo", "flamingo"),
  held("castle", "castle"),
  held("locomotive", "locomotive"),
  held("rocket", "rocket"),
  held("jackolantern", "jack-o-lantern"),
  held("zebra", "zebra"),
  held("snowman", "snowman-without-snow"),
];
