/**
 * Parts: what a thing is made of before it has a place, a size or a style.
 *
 * A thing is a list of parts in its own frame: foot at (0, 0), y UP, about one unit tall. Drawing a part turns that
 * frame into the picture's, and lays colour, pattern and light on it.
 */
import type { Canvas, Paint, Rgb, Ring, Sprite } from "./canvas.ts";
import { mix } from "./canvas.ts";
import type { Texture, Thing } from "./scene.ts";

/** `body` carries the thing's colour and pattern; `plain` only its colour; `shade` and `tint` are darker and lighter. */
export type Tone = "body" | "plain" | "shade" | "tint" | Rgb;

export interface Part {
  rings: Ring[];
  tone: Tone;
  /** Lit like a ball and not like a wall. */
  round?: boolean;
  /** Too small for an outline of its own. */
  detail?: boolean;
}

/** Where things are worn, in the thing's own frame. */
export interface Anchors {
  /** The crown: centre of a hat's rim, and its half width. */
  hat: readonly [x: number, y: number, half: number];
  /** Centre of a bow, and its half width. */
  bow: readonly [x: number, y: number, half: number];
  /** Height at which another thing can stand on this one. */
  top: number;
}

export interface Figure extends Anchors {
  parts: Part[];
  /** A drawing under the parts, and the same with the pattern's second colour. */
  sprite?: { first: Sprite; second: Sprite };
}

/** How many of a thing's units a sprite is wide: what is wider than high gets so much more room. */
export const SPRITE_WIDTH = 1.12;

export const INK: Rgb = [38, 34, 40];
export const CREAM: Rgb = [252, 244, 226];

/** Is the second colour of the pattern shown at (x, y) of the thing's frame? */
function patterned(texture: Texture, x: number, y: number): boolean {
  switch (texture) {
    case "plain":
      return false;
    case "striped":
      return mod(y + 0.04, 0.2) < 0.09;
    case "dotted": {
      const row = Math.floor((y + 0.04) / 0.155);
      const dx = mod(x + (row & 1 ? 0.095 : 0), 0.19) - 0.095;
      const dy = mod(y + 0.04, 0.155) - 0.0775;
      return dx * dx + dy * dy < 0.055 * 0.055;
    }
    case "checkered":
      return ((Math.floor((x + 10) / 0.145) + Math.floor((y + 10) / 0.145)) & 1) === 0;
    case "two-tone":
      return x > 0;
  }
}

function mod(a: number, b: number): number {
  return a - b * Math.floor(a / b);
}

/** Draws one part of `thing`; `lit` is how strongly light and shade show (0 for flat styles). */
export function drawPart(
  canvas: Canvas,
  part: Part,
  thing: Thing,
  base: Rgb,
  second: Rgb,
  lit: number,
): void {
  const c = Math.cos(thing.tilt), s = Math.sin(thing.tilt);
  const mirror = thing.flip ? -1 : 1;
  const rings = part.rings.map((ring) => {
    const moved: Ring = new Array(ring.length);
    for (let i = 0; i < ring.length; i += 2) {
      const x = ring[i] * mirror, y = ring[i + 1];
      moved[i] = thing.x + thing.size * (c * x + s * y);
      moved[i + 1] = thing.y + thing.size * (s * x - c * y);
    }
    return moved;
  });
  let x0 = Infinity, x1 = -Infinity, y0 = Infinity, y1 = -Infinity;
  for (let i = 0; i < rings[0].length; i += 2) {
    x0 = Math.min(x0, rings[0][i]);
    x1 = Math.max(x1, rings[0][i]);
    y0 = Math.min(y0, rings[0][i + 1]);
    y1 = Math.max(y1, rings[0][i + 1]);
  }
  const { tone } = part;
  const colour: Rgb = typeof tone !== "string"
    ? tone
    : tone === "shade"
    ? mix(base, [20, 16, 30], 0.32)
    : tone === "tint"
    ? mix(base, [255, 255, 255], 0.35)
    : base;
  const texture = tone === "body" ? thing.texture : "plain";
  const paint: Paint = (px, py, out) => {
    let from = colour;
    if (texture !== "plain") {
      const dx = (px - thing.x) / thing.size, dy = (py - thing.y) / thing.size;
      if (patterned(texture, (c * dx + s * dy) * mirror, s * dx - c * dy)) from = second;
    }
    const u = (px - x0) / (x1 - x0), v = (py - y0) / (y1 - y0);
    let light: number;
    if (part.round) {
      const d = (u - 0.34) * (u - 0.34) + (v - 0.3) * (v - 0.3);
      light = 1.16 - 0.62 * d;
    } else light = 1.1 - 0.2 * u - 0.1 * v;
    light = 1 + (light - 1) * lit;
    for (let k = 0; k < 3; k++) {
      out[k] = light > 1 ? from[k] + (255 - from[k]) * (light - 1) * 1.6 : from[k] * light;
    }
  };
  canvas.fill(rings, paint, 1, !part.detail);
}

/** Draws the sprite of a figure, its foot at the thing's. */
export function drawSprite(canvas: Canvas, sprite: Required<Figure>["sprite"], thing: Thing): void {
  const c = Math.cos(thing.tilt), s = Math.sin(thing.tilt), mirror = thing.flip ? -1 : 1;
  const { side } = sprite.first, unit = side / SPRITE_WIDTH;
  // The thing's own frame: y up from the foot.
  const frame = (px: number, py: number): [number, number] => {
    const dx = (px - thing.x) / thing.size, dy = (py - thing.y) / thing.size;
    return [(c * dx + s * dy) * mirror, s * dx - c * dy];
  };
  const reach = 1.3 * thing.size;
  canvas.stamp(
    [thing.x - reach, thing.y - reach, thing.x + reach, thing.y + reach / 3],
    (px, py, out) => {
      const [x, y] = frame(px, py);
      out[0] = side / 2 + x * unit;
      out[1] = side - y * unit;
    },
    (px, py) =>
      thing.texture !== "plain" && patterned(thing.texture, ...frame(px, py))
        ? sprite.second
        : sprite.first,
  );
}
