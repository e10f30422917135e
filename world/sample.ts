/**
 * Drawing scenes at random: what the world is like on average.
 *
 * Two out of three show one thing of ordinary size; the rest have two things, something worn, or an unusual framing.
 */
import { kindCategory } from "./kinds.ts";
import { Rng } from "./random.ts";
import {
  ACCESSORIES,
  CATEGORIES,
  type Category,
  type Colour,
  COLOURS,
  type Framing,
  type Place,
  PLACES,
  type Relation,
  RELATIONS,
  type Scene,
  type Style,
  STYLES,
  type Texture,
  TEXTURES,
  type Thing,
} from "./scene.ts";
import { figureOf } from "./render.ts";

/** What to hold fixed; everything left out is drawn at random. */
export interface SceneOptions {
  category?: Category;
  colour?: Colour;
  texture?: Texture;
  place?: Place;
  style?: Style;
  /** `null` asks for a single thing; "two" for two of a kind. */
  relation?: Relation | "two" | null;
  framing?: Framing;
  accessory?: boolean;
}

/** Things that another thing can stand on. */
const FLAT: readonly Category[] = ["mug", "house", "car", "chair", "gate", "toy", "cat"];

/** Half the width of the widest of each category, in its own units: keeps things inside the picture. */
const HALF: Partial<Record<Category, number>> = {
  car: 0.62,
  boat: 0.6,
  umbrella: 0.54,
  bird: 0.55,
  house: 0.54,
};

function thing(rng: Rng, options: SceneOptions, taken?: Thing): Thing {
  const others = CATEGORIES.filter((name) => name !== taken?.category);
  const category = options.category ?? rng.pick(others);
  const colours = COLOURS.filter((name) => name !== taken?.colour);
  return {
    category,
    colour: options.colour ?? rng.pick(colours),
    texture: options.texture ?? (rng.chance(0.4) ? "plain" : rng.pick(TEXTURES.slice(1))),
    variation: [rng.next(), rng.next(), rng.next(), rng.next()],
    x: 0.5,
    y: rng.uniform(0.85, 0.93),
    size: 0.6,
    tilt: rng.uniform(-0.09, 0.09),
    flip: rng.chance(0.5),
  };
}

/** Puts a single thing on the ground, whole or nearly so. */
function settle(rng: Rng, it: Thing, framing: Framing): Thing {
  const size = framing === "far"
    ? rng.uniform(0.2, 0.28)
    : framing === "close"
    ? rng.uniform(0.92, 1.15)
    : rng.uniform(0.5, 0.68);
  const half = Math.min(0.47, (HALF[it.category] ?? 0.45) * size);
  const room = Math.max(0.04, 0.5 - half);
  const y = framing === "far"
    ? rng.uniform(0.74, 0.93)
    : framing === "close"
    ? rng.uniform(0.98, 1.12)
    : rng.uniform(0.83, 0.93);
  return { ...it, size, y, x: 0.5 + rng.uniform(-room, room) };
}

function pair(rng: Rng, a: Thing, b: Thing, relation: Relation | "two"): Thing[] {
  if (relation === "next to" || relation === "two") {
    const size = rng.uniform(0.38, 0.45), y = rng.uniform(0.82, 0.92);
    const x = rng.uniform(0.245, 0.275);
    // What is named first stands on the left, as one reads: a picture then leaves nothing open that its caption doesn't.
    const left = relation === "next to" || rng.chance(0.5);
    return [
      { ...a, x: left ? x : 1 - x, y, size, tilt: a.tilt / 2 },
      {
        ...b,
        x: left ? 1 - x : x,
        y: y + rng.uniform(-0.03, 0.03),
        size: rng.uniform(0.38, 0.45),
        tilt: b.tilt / 2,
      },
    ];
  }
  if (relation === "in front of") {
    const side = rng.chance(0.5) ? 1 : -1, x = rng.uniform(0.46, 0.54);
    return [
      { ...a, x: x + side * 0.17, y: rng.uniform(0.92, 0.96), size: rng.uniform(0.33, 0.38) },
      { ...b, x: x - side * 0.08, y: 0.84, size: rng.uniform(0.6, 0.68), tilt: b.tilt / 2 },
    ];
  }
  const [upper, lower] = relation === "on" ? [a, b] : [b, a];
  const x = rng.uniform(0.42, 0.58), y = rng.uniform(0.91, 0.95), size = rng.uniform(0.46, 0.52);
  const below = { ...lower, x, y, size, tilt: 0 };
  const above = {
    ...upper,
    x,
    y: y - figureOf(below).top * size + 0.012,
    size: rng.uniform(0.34, 0.4),
    tilt: upper.tilt / 2,
  };
  return relation === "on" ? [above, below] : [below, above];
}

/**
 * A random scene.
 * @param seed a seed, or a generator to go on with; the same seed and options give the same scene
 */
export function randomScene(seed: number | Rng, options: SceneOptions = {}): Scene {
  const rng = typeof seed === "number" ? new Rng(seed) : seed;
  const place = options.place ?? rng.pick(PLACES);
  const style = options.style ?? (rng.chance(0.4) ? "photo" : rng.pick(STYLES));
  const open = options.relation === undefined;
  const draw = rng.next(), which = rng.pick(RELATIONS), rare = rng.next();
  const relation = !open ? options.relation : draw < 0.18 ? which : draw < 0.23 ? "two" : null;
  const base = { seed: rng.seed(), place, style };
  let first = thing(rng, options);
  if (relation) {
    let second: Thing;
    if (relation === "two") {
      second = { ...first, flip: rng.chance(0.5), tilt: rng.uniform(-0.06, 0.06) };
    } else {
      second = thing(
        rng,
        relation === "on" ? { category: rng.pick(FLAT.filter((n) => n !== first.category)) } : {},
        first,
      );
      if (relation === "under" && !FLAT.includes(first.category) && !options.category) {
        first = { ...first, category: rng.pick(FLAT.filter((name) => name !== second.category)) };
      }
    }
    const things = pair(rng, first, second, relation);
    return { ...base, framing: "normal", things, ...(relation === "two" ? {} : { relation }) };
  }
  const framing = options.framing ?? (rare < 0.07 ? "far" : rare < 0.13 ? "close" : "normal");
  const worn = options.accessory ?? (options.accessory === undefined && rare > 0.86);
  if (worn) {
    first = { ...first, accessory: { kind: rng.pick(ACCESSORIES), colour: rng.pick(COLOURS) } };
  }
  first = settle(rng, first, framing);
  if (first.accessory?.kind === "hat" && framing === "normal") {
    first = { ...first, size: first.size * 0.86, y: Math.max(first.y, 0.88) };
  }
  return { ...base, framing, things: [first] };
}

/** A plain photo of one thing of a category, as concepts are shown, unless options say otherwise. */
export function plainScene(
  category: Category,
  seed: number | Rng,
  options: SceneOptions = {},
): Scene {
  return randomScene(seed, {
    style: "photo",
    framing: "normal",
    accessory: false,
    relation: null,
    ...options,
    category,
    texture: "plain",
  });
}

/** A scene that shows a made-up kind, alone or beside something else. */
export function kindScene(
  kind: number,
  seed: number | Rng,
  relation: Relation | null = null,
): Scene {
  const scene = randomScene(seed, {
    accessory: false,
    relation,
    category: kindCategory(kind),
    colour: COLOURS[kind % COLOURS.length],
    texture: "plain",
  });
  const [first, ...others] = scene.things;
  return { ...scene, things: [{ ...first, kind }, ...others] };
}
