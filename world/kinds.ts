/**
 * Made-up kinds of thing, without end: what teaches the miniature model that a word can mean any shape in any colours.
 *
 * A large model has met ten thousands of nouns; twelve categories in one colour each would leave the miniature with
 * cross-attention that can only ask for twelve shapes, and no new word could ask for another. So it also sees kinds:
 * each has a number, always the same looks, and the class name of the category that it is closest to. They are put
 * together at random, and the held-out concepts are none of them.
 */
import { mix, type Rgb } from "./canvas.ts";
import { CREAM, type Figure, INK, type Part } from "./parts.ts";
import { Rng } from "./random.ts";
import { CATEGORIES, type Category } from "./scene.ts";
import { arc, box, ellipse, stroke } from "./shapes.ts";
import { FIGURES } from "./things.ts";

const { PI } = Math;
const PAINTS: readonly Rgb[] = [
  [216, 40, 44],
  [246, 138, 28],
  [250, 214, 50],
  [56, 160, 72],
  [44, 96, 214],
  [134, 62, 176],
  [250, 150, 196],
  [52, 50, 58],
  [36, 168, 160],
  [150, 232, 196],
  [150, 148, 150],
  [244, 240, 234],
  [236, 186, 58],
  [34, 44, 110],
  [140, 92, 56],
  [246, 230, 196],
  [120, 200, 250],
  [110, 20, 50],
];

/** A colour near one of the paints. */
function paint(rng: Rng): Rgb {
  const near = (v: number) => Math.min(255, Math.max(0, v + rng.uniform(-22, 22)));
  const [r, g, b] = rng.pick(PAINTS);
  return [near(r), near(g), near(b)];
}

/** The class of a kind. */
export const kindCategory = (kind: number): Category => CATEGORIES[kind % CATEGORIES.length];

/** The looks of a kind; the same number gives the same looks. */
export function kindFigure(kind: number): Figure {
  const rng = new Rng(0x6b1d0000 + kind), scheme = [paint(rng), paint(rng), paint(rng)];
  const figure = rng.chance(0.5)
    ? recoloured(rng, kindCategory(kind), scheme)
    : composed(rng, scheme);
  return { ...figure, parts: [...figure.parts, ...marks(rng, figure.top, scheme)] };
}

/** The category's own shape in a scheme of colours. */
function recoloured(rng: Rng, category: Category, scheme: readonly Rgb[]): Figure {
  const figure = FIGURES[category]([rng.next(), rng.next(), rng.next(), rng.next()]);
  const shift = rng.int(3);
  const parts = figure.parts.map((part, i) =>
    part.detail || rng.chance(0.15) ? part : { ...part, tone: scheme[(i + shift) % scheme.length] }
  );
  return { ...figure, parts };
}

/** One or two bodies on a foot, with something on top and at the sides. */
function composed(rng: Rng, scheme: readonly Rgb[]): Figure {
  const [main, second, third] = scheme;
  const parts: Part[] = [];
  const foot = rng.uniform(0, 0.3), split = rng.uniform(0.45, 0.8), top = rng.uniform(0.75, 1.05);
  if (foot > 0.06) parts.push(...feet(rng, foot + 0.08, third));
  if (rng.chance(0.5)) parts.push(...sides(rng, foot, top, second));
  if (rng.chance(0.45)) parts.push(...crest(rng, top, third));
  if (rng.chance(0.55)) parts.push(...body(rng, foot, top, main, second));
  else {
    const between = foot + (top - foot) * split;
    const lower = body(rng, foot, between, main, third);
    const upper = body(rng, between - 0.08, top, second, third);
    parts.push(...(rng.chance(0.5) ? [...lower, ...upper] : [...upper, ...lower]));
  }
  const middle = (foot + top) / 2;
  return { parts, hat: [0, top, 0.2], bow: [0, middle, 0.18], top };
}

/** What everything is made of: a shape from `y0` to `y1`, sometimes with another one in it. */
function body(rng: Rng, y0: number, y1: number, tone: Rgb, inner: Rgb): Part[] {
  const y = (y0 + y1) / 2, h = (y1 - y0) / 2, w = Math.min(0.56, h * rng.uniform(0.7, 1.5));
  const hole = rng.uniform(0.4, 0.72);
  switch (rng.int(8)) {
    case 0:
      return [{ rings: [ellipse(0, y, w, h)], tone, round: true }, ...core(rng, y, w, h, inner)];
    case 1:
      return [
        { rings: [box(-w, y0, w, y1, rng.chance(0.5) ? 0.08 : 0)], tone },
        ...core(rng, y, w, h, inner),
      ];
    case 2: // A dome.
      return [{ rings: [arc(0, y0, w, 2 * h, PI, 0)], tone, round: true }];
    case 3: // A bowl.
      return [{ rings: [arc(0, y1, w, 2 * h, PI, 2 * PI)], tone, round: true }];
    case 4: // A roof, or a wedge.
      return [{ rings: [rng.chance(0.7) ? [-w, y0, w, y0, 0, y1] : [-w, y1, w, y1, 0, y0]], tone }];
    case 5: {
      const narrow = w * rng.uniform(0.4, 0.8),
        [low, high] = rng.chance(0.5) ? [w, narrow] : [narrow, w];
      return [
        { rings: [[-low, y0, low, y0, high, y1, -high, y1]], tone },
        ...core(rng, y, narrow, h, inner),
      ];
    }
    case 6: // A ring with something in it.
      return [
        { rings: [ellipse(0, y, w, h), ellipse(0, y, w * hole, h * hole)], tone },
        ...(rng.chance(0.6)
          ? [{ rings: [ellipse(0, y, w * hole, h * hole)], tone: inner, round: true }]
          : []),
      ];
    default: { // A wheel of wedges.
      const n = 2 * (2 + rng.int(3));
      return Array.from({ length: n }, (_, i) => ({
        rings: [[0, y, ...arc(0, y, w, h, i / n * 2 * PI, (i + 1) / n * 2 * PI)]],
        tone: i % 2 ? inner : tone,
      }));
    }
  }
}

function core(rng: Rng, y: number, w: number, h: number, tone: Rgb): Part[] {
  if (rng.chance(0.4)) return [];
  const part = rng.uniform(0.4, 0.7), low = y - h * rng.uniform(-0.1, 0.3);
  return rng.chance(0.5)
    ? [{ rings: [ellipse(0, low, w * part, h * part)], tone, round: true }]
    : [{ rings: [box(-w * part, low - h * part, w * part, low + h * part, 0.04)], tone }];
}

function feet(rng: Rng, y: number, tone: Rgb): Part[] {
  const x = rng.uniform(0.16, 0.36);
  switch (rng.int(4)) {
    case 0:
      return [{ rings: [box(-x - 0.14, 0, x + 0.14, y * 0.7)], tone }];
    case 1:
      return [{ rings: [box(-0.08, 0, 0.08, y)], tone }];
    case 2:
      return [-x, x].map((at) => ({ rings: [box(at - 0.06, 0, at + 0.06, y)], tone }));
    default: {
      const r = Math.max(0.1, y / 2);
      return [-x, x].map((at) => ({ rings: [ellipse(at, r, r)], tone }));
    }
  }
}

function sides(rng: Rng, y0: number, y1: number, tone: Rgb): Part[] {
  const y = y0 + (y1 - y0) * rng.uniform(0.3, 0.7), x = rng.uniform(0.3, 0.42);
  switch (rng.int(4)) {
    case 0: {
      const turn = rng.uniform(0.2, 0.9);
      return [-1, 1].map((s) => ({ rings: [ellipse(s * x, y, 0.1, 0.22, s * turn)], tone }));
    }
    case 1:
      return [{ rings: [ellipse(x, y, 0.22, 0.24), ellipse(x, y, 0.11, 0.12)], tone }];
    case 2:
      return [{
        rings: [[-0.1, y + 0.1, -x - 0.22, y + rng.uniform(-0.2, 0.3), -0.1, y - 0.14]],
        tone,
      }];
    default:
      return [{ rings: [stroke([0, y, x + 0.1, y + 0.06, x + 0.16, y1], 0.1)], tone }];
  }
}

function crest(rng: Rng, y: number, tone: Rgb): Part[] {
  const x = rng.uniform(0.12, 0.26), h = rng.uniform(0.14, 0.28);
  switch (rng.int(4)) {
    case 0:
      return [-x, x].map((at) => ({
        rings: [[at - 0.09, y - 0.1, at + 0.09, y - 0.1, at * 1.2, y + h]],
        tone,
      }));
    case 1:
      return [{
        rings: [[-0.16, y - 0.06, -0.12, y + h, 0, y + 0.04, 0.12, y + h, 0.16, y - 0.06]],
        tone,
      }];
    case 2:
      return [{ rings: [ellipse(0, y + 0.08, 0.12)], tone }];
    default:
      return [{ rings: [stroke([0, y - 0.1, 0, y + h], 0.05)], tone: mix(tone, INK, 0.4) }, {
        rings: [[0, y + h, 0.26, y + h * 0.7, 0, y + h * 0.4]],
        tone,
      }];
  }
}

/** Bands, spots, an eye: what is painted on. */
function marks(rng: Rng, top: number, scheme: readonly Rgb[]): Part[] {
  const tone = rng.chance(0.5) ? scheme[2] : rng.chance(0.5) ? CREAM : paint(rng);
  const y = top * rng.uniform(0.3, 0.75);
  switch (rng.int(6)) {
    case 0:
      return [{ rings: [box(-0.3, y - 0.05, 0.3, y + 0.05)], tone }];
    case 1:
      return [-0.2, 0.02, 0.22].map((x) => ({
        rings: [ellipse(x, y + rng.uniform(-0.1, 0.1), 0.075)],
        tone,
        detail: true,
      }));
    case 2:
      return [
        { rings: [ellipse(0, y, 0.15)], tone: CREAM },
        { rings: [ellipse(0.01, y, 0.075)], tone: INK, detail: true },
      ];
    case 3:
      return [{ rings: [ellipse(0, y, 0.1)], tone, round: true }];
    default:
      return [];
  }
}
