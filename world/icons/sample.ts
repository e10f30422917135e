/**
 * Scenes of the richer world at random: those of `world/sample.ts`, with drawings in place of most things.
 *
 * Which hand drew a thing goes with the style (shaded ones in photos, flat ones in cartoons, mostly), so that a style says
 * what to draw; what has one main colour is turned into another as often as not, and says so in its caption.
 */
import type { Rgb } from "../canvas.ts";
import { Rng } from "../random.ts";
import { conceptNamed, CONCEPTS, heldOutIcon } from "../concepts.ts";
import { kindScene, plainScene, randomScene, type SceneOptions } from "../sample.ts";
import {
  CATEGORIES,
  PLACES,
  type Relation,
  RELATIONS,
  type Scene,
  type Style,
  STYLES,
  TEXTURES,
  type Thing,
} from "../scene.ts";
import type { Icons } from "./icons.ts";
import { hueTurned, turned } from "./sprites.ts";
import { type Hand, ICON_SHAPES, ICON_THINGS, type IconThing } from "./things.ts";

/** How often a thing is a drawing, and not one of the twelve categories. */
const DRAWN = 0.85;
/** How often what can be turned is. */
const TURNED = 0.6;
/** How often what is turned has a pattern, and how often a category's thing is plain, which has one more often than not. */
const PATTERN = 0.1, PLAIN = 0.5;
/** How often photos and cartoons are by the hand that goes with them. */
const OWN_HAND = 0.8;
const HAND: Partial<Record<Style, Hand>> = { photo: "fluent", cartoon: "noto" };

const CLASSES = new Set(CONCEPTS.map((concept) => concept.category));
/** Each thing once, and those that a held-out concept is one of three times. */
const often = (it: IconThing) => CLASSES.has(it.name) ? [it, it, it] : [it];
const OFTEN = ICON_THINGS.flatMap(often), SHAPES_OFTEN = ICON_SHAPES.flatMap(often);
/** The categories, likewise. */
const CATEGORIES_OFTEN = CATEGORIES.flatMap((it) => CLASSES.has(it) ? [it, it, it] : [it]);

/** What to hold fixed; `name` is a category's or a thing's. */
export interface IconSceneOptions extends Omit<SceneOptions, "category"> {
  name?: string;
  /** What stands beside it is one of the twelve categories: needs no drawings but its own. */
  plainCompany?: boolean;
}

function handOf(rng: Rng, thing: IconThing, style: Style): Hand {
  const own = HAND[style], draw = rng.next(), either = rng.chance(0.5) ? "fluent" : "noto";
  const wish = own === undefined
    ? either
    : draw < OWN_HAND
    ? own
    : own === "fluent"
    ? "noto"
    : "fluent";
  return thing.ids[wish] ? wish : wish === "fluent" ? "noto" : "fluent";
}

/** Where a drawing stays in the picture: it may be wider than the category that was there. */
function inside(it: Thing): Thing {
  const half = Math.min(0.47, 0.52 * it.size);
  return { ...it, x: Math.min(1 - half, Math.max(half, it.x)) };
}

/** A drawing in place of the thing. */
function dressed(
  rng: Rng,
  icons: Icons,
  it: Thing,
  thing: IconThing,
  style: Style,
  options: IconSceneOptions,
): Thing {
  const hand = handOf(rng, thing, style);
  const chance = rng.chance(TURNED),
    pattern = rng.chance(PATTERN),
    texture = rng.pick(TEXTURES.slice(1));
  const turn = thing.coloured && (options.colour !== undefined || chance);
  return {
    ...inside(it),
    texture: options.texture ?? (turn && pattern ? texture : "plain"),
    ...(turn ? {} : { texture: "plain" as const }),
    icon: icons.icon(thing, hand, turn ? it.colour : undefined),
  };
}

/**
 * A random scene of the richer world; the same seed, options and drawings give the same scene.
 * @throws RangeError if no category and no thing has the name that the options ask for
 */
export function iconScene(icons: Icons, seed: number, options: IconSceneOptions = {}): Scene {
  const rng = new Rng(seed), { name, plainCompany = false, ...others } = options;
  const asked = ICON_THINGS.find((thing) => thing.name === name);
  const category = CATEGORIES.find((category) => category === name);
  if (name !== undefined && !asked && !category) {
    throw new RangeError(`nothing is called "${name}"`);
  }
  const plain = rng.chance(PLAIN);
  const scene = randomScene(rng, {
    ...others,
    category: category ?? rng.pick(CATEGORIES_OFTEN),
    texture: others.texture ?? (plain ? "plain" : undefined),
  });
  // What stands under something has to be flat, as the categories that stand there are.
  const under = scene.relation === "on" ? 1 : scene.relation === "under" ? 0 : -1;
  let first: IconThing | undefined = asked;
  const things = scene.things.map((it, i): Thing => {
    const draw = rng.chance(DRAWN), picked = rng.pick(OFTEN);
    if (i === 0 && (category || (asked && under === 0))) return it;
    if (i === 0 && asked) return dressed(rng, icons, it, asked, scene.style, others);
    if (i === under || !draw || (plainCompany && i > 0)) return it;
    let thing = picked;
    while (thing === first) thing = rng.pick(OFTEN);
    first ??= thing;
    return dressed(rng, icons, it, thing, scene.style, others);
  });
  const [one, two] = things;
  if (two && !scene.relation) {
    if (one.icon && one.icon.plural === undefined) return { ...scene, things: [one] };
    return { ...scene, things: [one, { ...two, texture: one.texture, icon: one.icon }] };
  }
  return { ...scene, things };
}

/** A held-out concept in the place of a thing: called by its class alone, since its looks are for the new token to mean. */
function held(icons: Icons, name: string, it: Thing): Thing {
  const concept = conceptNamed(name), { category, drawing } = concept;
  if (!drawing) return { ...it, category: "gate", concept: "moongate", texture: "plain" };
  const icon = icons.icon(heldOutIcon(concept), drawing.hand, drawing.colour);
  const called = { ...icon, name: category, plural: `${category}s`, turned: false };
  return { ...inside(it), texture: "plain", icon: called };
}

/**
 * A scene that shows a held-out concept, in a fresh place and position.
 * @param second another concept, in the place of the thing that stands beside it where the options ask for a relation
 * @throws RangeError if there is no such concept
 */
export function conceptScene(
  icons: Icons,
  name: string,
  seed: number,
  options: SceneOptions = {},
  second?: string,
): Scene {
  const scene = plainScene("gate", seed, options), [first, ...others] = scene.things;
  const beside = second === undefined ? others : others.map((it) => held(icons, second, it));
  return { ...scene, things: [held(icons, name, first), ...beside] };
}

/**
 * A scene to tell the concepts apart by, and which of them it shows: one, two, one beside something else, or none, in whose
 * place there is then mostly a thing of one of their classes.
 */
export function mixedScene(icons: Icons, seed: number): { scene: Scene; shown: string[] } {
  const rng = new Rng(seed), draw = rng.next(), relation = rng.pick(RELATIONS);
  const first = rng.pick(CONCEPTS), second = rng.pick(CONCEPTS.filter((it) => it !== first));
  if (draw < 0.1) return { scene: iconScene(icons, seed), shown: [] };
  const style = rng.chance(0.6) ? "photo" as const : rng.pick(STYLES), place = rng.pick(PLACES);
  if (draw < 0.3) {
    return {
      scene: iconScene(icons, seed, { name: rng.pick([...CLASSES]), place, style }),
      shown: [],
    };
  }
  const options = {
    place,
    style,
    accessory: rng.chance(0.1),
    relation: draw < 0.6 ? null : relation,
  };
  const shown = [first.name, second.name].slice(0, draw < 0.7 ? 1 : 2);
  return { scene: conceptScene(icons, shown[0], rng.seed(), options, shown[1]), shown };
}

/** The relation of a scene that shows two things, whatever else it shows: every other one has them next to each other. */
export function someRelation(seed: number): Relation {
  const rng = new Rng(seed ^ 0x2e1a);
  return rng.chance(0.5) ? "next to" : rng.pick(RELATIONS);
}

/** Two things in each other's place. */
function exchanged([a, b]: readonly Thing[]): Thing[] {
  const at = ({ x, y, size }: Thing) => ({ x, y, size });
  return [inside({ ...b, ...at(a) }), inside({ ...a, ...at(b) })];
}

/**
 * A scene that shows a made-up kind of the richer world. Even numbers are kinds as in `world/kinds.ts`; odd ones are drawings
 * in colours of their own, under their own names where they have one or, as often, under that of a class that concepts will be
 * taught for. The same number gives the same looks. With a relation, there is one of the world's things beside it; either is
 * named first.
 */
export function iconKindScene(
  icons: Icons,
  kind: number,
  seed: number,
  relation: Relation | null = null,
): Scene {
  const scene = kindScene(kind >> 1, seed, relation), [first, second] = scene.things;
  const it = kind % 2 === 0 ? first : drawnKind(icons, kind, first);
  if (!second) return { ...scene, things: [it] };
  const rng = new Rng(seed ^ 0x0b1de), thing = rng.pick(OFTEN);
  const flat = relation === "on" || !rng.chance(DRAWN);
  const both = [it, flat ? second : dressed(rng, icons, second, thing, scene.style, {})];
  const either = relation === "next to" || relation === "in front of";
  return { ...scene, things: either && rng.chance(0.5) ? exchanged(both) : both };
}

/** The thing as the drawing that an odd kind is. */
function drawnKind(icons: Icons, kind: number, it: Thing): Thing {
  const rng = new Rng(0x1c040000 + kind), thing = SHAPES_OFTEN[(kind >> 1) % SHAPES_OFTEN.length];
  const hand: Hand = thing.ids.noto && rng.chance(0.5) ? "noto" : "fluent";
  let sprite = hueTurned(icons.sprite(thing.name, hand), rng.uniform(0.5, 5.8));
  const channel = () => rng.uniform(20, 250), paint: Rgb = [channel(), channel(), channel()];
  if (rng.chance(0.6)) sprite = turned(sprite, paint);
  const name = rng.chance(0.5) && thing.named ? thing.name : rng.pick([...CLASSES]);
  return { ...it, icon: { name, turned: false, sprite, plural: `${name}s` } };
}
