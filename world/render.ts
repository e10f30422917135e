/**
 * From a scene to pixels: place, shadows, things, what they wear, style.
 */
import { Canvas, flat, mix, type Rgb } from "./canvas.ts";
import { moongate } from "./concepts.ts";
import { kindFigure } from "./kinds.ts";
import { CREAM, drawPart, drawSprite, type Figure, type Part } from "./parts.ts";
import { PLACE_PAINTERS } from "./places.ts";
import { Rng } from "./random.ts";
import type { Colour, Scene, Thing } from "./scene.ts";
import { box, ellipse } from "./shapes.ts";
import { applyStyle, LIT, SHADOW } from "./styles.ts";
import { FIGURES } from "./things.ts";
import { iconFigure } from "./icons/figure.ts";

/** The colours that the names stand for. */
export const PALETTE: Record<Colour, Rgb> = {
  red: [216, 40, 44],
  orange: [246, 138, 28],
  yellow: [250, 214, 50],
  green: [56, 160, 72],
  blue: [44, 96, 214],
  purple: [134, 62, 176],
  pink: [250, 150, 196],
  black: [52, 50, 58],
};

/** The thing's parts and anchors. */
export function figureOf(thing: Thing): Figure {
  if (thing.icon) return iconFigure(thing.icon);
  if (thing.kind !== undefined) return kindFigure(thing.kind);
  return thing.concept ? moongate() : FIGURES[thing.category](thing.variation);
}

function accessory(thing: Thing, figure: Figure): Part[] {
  if (!thing.accessory) return [];
  const tone = PALETTE[thing.accessory.colour];
  if (thing.accessory.kind === "hat") {
    const [x, y, half] = figure.hat;
    return [
      { rings: [[x - half * 0.78, y, x + half * 0.78, y, x, y + half * 1.9]], tone },
      { rings: [ellipse(x, y + half * 1.95, half * 0.32)], tone: CREAM },
      {
        rings: [
          box(x - half * 1.05, y - half * 0.22, x + half * 1.05, y + half * 0.14, half * 0.16),
        ],
        tone: mix(tone, [0, 0, 0], 0.25),
      },
    ];
  }
  const [x, y, half] = figure.bow;
  return [
    { rings: [[x, y, x - half * 1.2, y + half * 0.72, x - half * 1.2, y - half * 0.72]], tone },
    { rings: [[x, y, x + half * 1.2, y + half * 0.72, x + half * 1.2, y - half * 0.72]], tone },
    { rings: [ellipse(x, y, half * 0.34)], tone: mix(tone, [0, 0, 0], 0.28) },
  ];
}

function drawThing(canvas: Canvas, scene: Scene, thing: Thing): void {
  const figure = figureOf(thing);
  const night = scene.place === "night";
  const base = night ? mix(PALETTE[thing.colour], [30, 34, 90], 0.12) : PALETTE[thing.colour];
  if (figure.sprite) drawSprite(canvas, figure.sprite, thing);
  const second = night ? mix(CREAM, [30, 34, 90], 0.12) : CREAM;
  for (const part of [...figure.parts, ...accessory(thing, figure)]) {
    drawPart(canvas, part, thing, base, second, LIT[scene.style]);
  }
}

/**
 * Draws a scene.
 * @param size picture side in pixels
 * @returns RGB bytes, [size, size, 3]; the same scene always gives the same bytes
 */
export function renderScene(scene: Scene, size = 64): Uint8Array {
  const canvas = new Canvas(size);
  PLACE_PAINTERS[scene.place](canvas, new Rng(scene.seed));
  canvas.beginThings();
  for (const thing of scene.things) {
    // Only what stands on the ground casts a shadow on it.
    if (thing.y < 0.7) continue;
    const shadow = ellipse(
      thing.x + 0.04 * thing.size,
      thing.y,
      thing.size * 0.46,
      thing.size * 0.085,
    );
    canvas.fill([shadow], flat([24, 20, 40]), SHADOW[scene.style], false);
  }
  for (const thing of scene.things) drawThing(canvas, scene, thing);
  applyStyle(canvas, scene.style, scene.seed);
  return canvas.reduce();
}

/** Side in pixels of the patches that {@linkcode coverOf} counts by: a latent's, in the miniature model. */
export const PATCH = 8;

/**
 * How many pixels of each patch show a thing, rather than the place that it is in.
 * @param picture the rendered scene
 * @returns [size / PATCH, size / PATCH]
 */
export function coverOf(scene: Scene, picture: Uint8Array, size = 64): Uint8Array {
  const empty = renderScene({ ...scene, things: [] }, size), across = size / PATCH;
  const cover = new Uint8Array(across * across);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const at = 3 * (y * size + x);
      const changed = [0, 1, 2].some((c) => Math.abs(picture[at + c] - empty[at + c]) > 16);
      if (changed) cover[Math.floor(y / PATCH) * across + Math.floor(x / PATCH)]++;
    }
  }
  return cover;
}

/** Side in pixels of a portrait. */
export const PORTRAIT = 16;

/** A thing alone before grey, upright and in the middle: what it looks like, and nothing of where it is. */
export function renderPortrait(thing: Thing): Uint8Array {
  const canvas = new Canvas(PORTRAIT);
  canvas.fill([box(0, 0, 1, 1)], flat([128, 128, 128]), 1, false);
  canvas.beginThings();
  const posed = { ...thing, x: 0.5, y: 0.95, size: 0.78, tilt: 0, flip: false };
  const base = PALETTE[thing.colour], figure = figureOf(posed);
  if (figure.sprite) drawSprite(canvas, figure.sprite, posed);
  for (const part of figure.parts) drawPart(canvas, part, posed, base, CREAM, LIT.photo);
  return canvas.reduce();
}
