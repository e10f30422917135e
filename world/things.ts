/**
 * The twelve categories: each a function from four numbers (the instance's proportions) to a figure.
 *
 * They are drawn so that a silhouette of 30 pixels tells them apart, with enough room in the proportions that "this
 * particular mug" means something.
 */
import type { Rgb } from "./canvas.ts";
import { CREAM, type Figure, INK, type Part } from "./parts.ts";
import type { Category } from "./scene.ts";
import { arc, box, curve, ellipse, stroke } from "./shapes.ts";

type Variation = readonly [number, number, number, number];

const GLASS: Rgb = [190, 226, 240];
const WOOD: Rgb = [140, 92, 56];
const STEEL: Rgb = [120, 122, 130];
const { PI } = Math;

function mug([a, b, c]: Variation): Figure {
  const w = 0.29 + 0.1 * a, h = 0.62 + 0.24 * b, taper = 0.06 * c;
  const hy = h * 0.5, r = 0.15 + 0.05 * c;
  return {
    parts: [
      {
        rings: [ellipse(w * 0.96, hy, r, r * 1.15), ellipse(w * 0.96, hy, r * 0.52, r * 0.62)],
        tone: "shade",
      },
      { rings: [[-w, h, ...arc(0, 0.07, w - taper, 0.08, PI, 2 * PI), w, h]], tone: "body" },
      { rings: [ellipse(0, h, w, 0.075)], tone: "tint" },
      { rings: [ellipse(0, h - 0.008, w * 0.8, 0.045)], tone: [84, 52, 36], detail: true },
    ],
    hat: [0, h + 0.03, 0.2],
    bow: [0, h * 0.52, 0.2],
    top: h,
  };
}

function house([a, b, c, d]: Variation): Figure {
  const w = 0.36 + 0.1 * a, h = 0.44 + 0.14 * b, roof = 0.28 + 0.16 * c;
  const door = d < 0.5 ? -0.16 : 0.14;
  return {
    parts: [
      { rings: [box(0.17, h + 0.05, 0.28, h + roof * 0.95)], tone: [150, 84, 70] },
      { rings: [box(-w, 0, w, h)], tone: "body" },
      { rings: [[-w - 0.08, h, w + 0.08, h, 0, h + roof]], tone: [98, 76, 74] },
      { rings: [box(door - 0.08, 0, door + 0.08, 0.27, 0.03)], tone: [92, 58, 40] },
      { rings: [box(-door * 1.1 - 0.1, 0.16, -door * 1.1 + 0.1, 0.34)], tone: [255, 236, 160] },
    ],
    hat: [0, h + roof - 0.04, 0.2],
    bow: [0, h * 0.98, 0.2],
    top: h + roof * 0.72,
  };
}

function car([a, b, c]: Variation): Figure {
  const w = 0.5 + 0.12 * a, h = 0.27 + 0.06 * b, roof = 0.2 + 0.08 * c, r = 0.115 + 0.02 * b;
  const y0 = r * 0.8, y1 = y0 + h;
  const cabin = (inset: number): number[] => [
    -w * 0.62 + inset,
    y1,
    -w * 0.4 + inset * 0.8,
    y1 + roof - inset,
    w * 0.28 - inset * 0.6,
    y1 + roof - inset,
    w * 0.58 - inset,
    y1,
  ];
  const wheel = (x: number): Part[] => [
    { rings: [ellipse(x, r, r)], tone: [44, 44, 52] },
    { rings: [ellipse(x, r, r * 0.45)], tone: [205, 208, 214], detail: true },
  ];
  return {
    parts: [
      { rings: [cabin(0)], tone: "plain" },
      { rings: [cabin(0.05)], tone: GLASS },
      { rings: [box(-0.03, y1, 0.03, y1 + roof - 0.02)], tone: "plain", detail: true },
      { rings: [box(-w, y0, w, y1, 0.1)], tone: "body" },
      {
        rings: [ellipse(w - 0.05, y0 + h * 0.62, 0.05, 0.055)],
        tone: [255, 240, 150],
        detail: true,
      },
      ...wheel(-w * 0.55),
      ...wheel(w * 0.55),
    ],
    hat: [-0.04, y1 + roof, 0.2],
    bow: [-w * 0.05, y0 + h * 0.6, 0.18],
    top: y1 + roof,
  };
}

function boat([a, b, c]: Variation): Figure {
  const w = 0.46 + 0.12 * a, h = 0.27 + 0.08 * b, sail = 0.5 + 0.14 * c;
  return {
    parts: [
      { rings: [box(-0.025, h, 0.025, h + sail + 0.05)], tone: WOOD },
      { rings: [[0.05, h + 0.06, 0.05, h + sail, w * 0.82, h + 0.06]], tone: CREAM },
      {
        rings: [[-0.05, h + 0.06, -0.05, h + sail * 0.8, -w * 0.66, h + 0.06]],
        tone: [236, 226, 206],
      },
      { rings: [[-w, h, w, h, w * 0.66, 0, -w * 0.6, 0]], tone: "body" },
      { rings: [box(-w - 0.02, h - 0.045, w + 0.02, h + 0.02)], tone: "shade" },
    ],
    hat: [0, h + sail + 0.03, 0.17],
    bow: [0, h * 0.6, 0.18],
    top: h + sail,
  };
}

/** Eyes that read at two pixels. */
export function eyes(x: number, y: number, gap: number, r: number, tone: Rgb = INK): Part[] {
  return [
    { rings: [ellipse(x - gap, y, r, r * 1.2)], tone, detail: true },
    { rings: [ellipse(x + gap, y, r, r * 1.2)], tone, detail: true },
  ];
}

function cat([a, b, c]: Variation): Figure {
  const w = 0.24 + 0.06 * a, h = 0.5 + 0.1 * b, r = 0.21 + 0.035 * c;
  const hy = h + r * 0.55;
  const ear = (s: number): number[] => [
    s * r * 0.98,
    hy + r * 0.2,
    s * r * 0.95,
    hy + r * 1.5,
    s * r * 0.12,
    hy + r * 0.85,
  ];
  const tail = curve((t) => [w * 0.6 + 0.3 * Math.sin(t * 2.3), 0.08 + 0.5 * t * t + 0.08 * t], 14);
  return {
    parts: [
      { rings: [stroke(tail, 0.1)], tone: "shade" },
      {
        rings: [[
          ...arc(0, 0.1, w * 1.12, 0.1, PI, 2 * PI),
          ...arc(0, h * 0.62, w * 0.82, h * 0.42, 0, PI),
        ]],
        tone: "body",
        round: true,
      },
      { rings: [ear(-1)], tone: "plain" },
      { rings: [ear(1)], tone: "plain" },
      { rings: [ellipse(0, hy, r * 1.12, r)], tone: "plain", round: true },
      ...eyes(0, hy + 0.02, r * 0.45, r * 0.22, [250, 250, 210]),
      ...eyes(0, hy + 0.02, r * 0.45, r * 0.13),
      {
        rings: [[-0.035, hy - r * 0.28, 0.035, hy - r * 0.28, 0, hy - r * 0.5]],
        tone: [245, 140, 150],
        detail: true,
      },
    ],
    hat: [0, hy + r * 0.82, 0.18],
    bow: [0, h * 0.78, 0.19],
    top: hy + r,
  };
}

function bird([a, b, c, d]: Variation): Figure {
  const rx = 0.31 + 0.07 * a, ry = 0.22 + 0.05 * b, y = 0.24 + ry, r = 0.16 + 0.03 * c;
  const hx = rx * 0.72, hy = y + ry * 0.95 + r * 0.35;
  return {
    parts: [
      { rings: [stroke([-0.06, 0, -0.04, 0.3], 0.045)], tone: [236, 150, 50] },
      { rings: [stroke([0.1, 0, 0.08, 0.3], 0.045)], tone: [236, 150, 50] },
      {
        rings: [[
          -rx * 0.7,
          y + 0.05,
          -rx - 0.24,
          y + 0.2 + 0.08 * d,
          -rx - 0.2,
          y,
          -rx * 0.6,
          y - 0.12,
        ]],
        tone: "shade",
      },
      { rings: [ellipse(0, y, rx, ry, 0.25)], tone: "body", round: true },
      {
        rings: [[hx + r * 0.8, hy + 0.06, hx + r + 0.17, hy - 0.02, hx + r * 0.8, hy - 0.09]],
        tone: [245, 160, 40],
      },
      { rings: [ellipse(hx, hy, r)], tone: "plain", round: true },
      { rings: [ellipse(-0.06, y + 0.03, rx * 0.55, ry * 0.5, 0.35)], tone: "shade" },
      { rings: [ellipse(hx + r * 0.3, hy + 0.03, 0.045)], tone: CREAM, detail: true },
      { rings: [ellipse(hx + r * 0.35, hy + 0.03, 0.028)], tone: INK, detail: true },
    ],
    hat: [hx - 0.02, hy + r * 0.8, 0.15],
    bow: [hx - 0.04, hy - r * 1.05, 0.15],
    top: hy + r,
  };
}

function toy([a, b, c]: Variation): Figure {
  const w = 0.23 + 0.06 * a, h = 0.26 + 0.04 * b, r = 0.21 + 0.04 * c;
  const by = 0.1 + h, hy = by + h * 0.8 + r * 0.7;
  const pair = (
    x: number,
    y: number,
    rx: number,
    ry: number,
    turn: number,
    tone: Part["tone"],
  ): Part[] => [
    { rings: [ellipse(-x, y, rx, ry, -turn)], tone, round: true },
    { rings: [ellipse(x, y, rx, ry, turn)], tone, round: true },
  ];
  return {
    parts: [
      ...pair(r * 0.8, hy + r * 0.78, 0.1, 0.1, 0, "shade"),
      ...pair(w * 1.15, by + h * 0.3, 0.09, 0.2, 0.6, "plain"),
      { rings: [ellipse(0, by, w, h)], tone: "body", round: true },
      ...pair(w * 0.75, 0.11, 0.13, 0.11, 0, "shade"),
      { rings: [ellipse(0, hy, r * 1.1, r)], tone: "plain", round: true },
      { rings: [ellipse(0, hy - r * 0.38, r * 0.5, r * 0.38)], tone: CREAM },
      { rings: [ellipse(0, hy - r * 0.22, 0.05, 0.036)], tone: INK, detail: true },
      ...eyes(0, hy + r * 0.22, r * 0.42, 0.034),
    ],
    hat: [0, hy + r * 0.85, 0.18],
    bow: [0, hy - r * 1.0, 0.19],
    top: hy + r,
  };
}

function gate([a, b, c]: Variation): Figure {
  const w = 0.42 + 0.08 * a, h = 0.66 + 0.12 * b, o = w - 0.17 - 0.03 * c;
  const spring = h - 0.1;
  const bars: Part[] = [-0.6, -0.2, 0.2, 0.6].map((k) => ({
    rings: [box(k * o - 0.025, 0, k * o + 0.025, 0.42)],
    tone: WOOD,
    detail: true,
  }));
  return {
    parts: [
      {
        rings: [
          [-w, 0, ...arc(0, h, w, 0.26, PI, 0), w, 0],
          [-o, 0, ...arc(0, spring, o, 0.16, PI, 0), o, 0],
        ],
        tone: "body",
      },
      ...bars,
      { rings: [box(-o, 0.26, o, 0.32)], tone: WOOD, detail: true },
    ],
    hat: [0, h + 0.23, 0.19],
    bow: [0, h + 0.1, 0.19],
    top: h + 0.25,
  };
}

function chair([a, b, c]: Variation): Figure {
  const w = 0.27 + 0.07 * a, seat = 0.36 + 0.06 * b, back = 0.42 + 0.14 * c;
  return {
    parts: [
      { rings: [box(-w + 0.02, 0.06, -w + 0.09, seat + 0.05)], tone: WOOD },
      { rings: [box(w - 0.09, 0.06, w - 0.02, seat + 0.05)], tone: WOOD },
      { rings: [box(-w, seat, w, seat + back, 0.09)], tone: "body" },
      {
        rings: [[-w, seat + 0.1, w, seat + 0.1, w + 0.09, seat - 0.04, -w - 0.09, seat - 0.04]],
        tone: "tint",
      },
      { rings: [box(-w - 0.09, seat - 0.11, w + 0.09, seat - 0.03)], tone: "shade" },
      { rings: [box(-w - 0.07, 0, -w + 0.01, seat - 0.1)], tone: WOOD },
      { rings: [box(w - 0.01, 0, w + 0.07, seat - 0.1)], tone: WOOD },
    ],
    hat: [0, seat + back - 0.02, 0.2],
    bow: [0, seat + back * 0.6, 0.2],
    top: seat + back,
  };
}

function flower([a, b, c, d]: Variation): Figure {
  const n = 5 + Math.floor(4 * d), r = 0.19 + 0.04 * a, stem = 0.52 + 0.12 * b, p = 0.15 + 0.03 * c;
  const parts: Part[] = [
    { rings: [stroke([0, 0, 0.02, stem / 2, 0, stem], 0.055)], tone: [70, 130, 60] },
    { rings: [ellipse(0.13, 0.2, 0.14, 0.06, 0.6)], tone: [86, 152, 70] },
    { rings: [ellipse(-0.12, 0.13, 0.13, 0.06, -0.6)], tone: [86, 152, 70] },
  ];
  for (let i = 0; i < n; i++) {
    const angle = (i / n) * 2 * PI + PI / 2;
    const x = r * Math.cos(angle), y = stem + 0.08 + r * Math.sin(angle);
    parts.push({
      rings: [ellipse(x, y, p * 1.05, p * (n > 6 ? 0.62 : 0.78), angle)],
      tone: "body",
      round: true,
    });
  }
  parts.push({ rings: [ellipse(0, stem + 0.08, 0.125)], tone: [116, 74, 40], round: true });
  return {
    parts,
    hat: [0, stem + 0.08 + r + p * 0.7, 0.17],
    bow: [0, stem * 0.55, 0.18],
    top: stem + 0.08 + r + p,
  };
}

function balloon([a, b, c]: Variation): Figure {
  const rx = 0.27 + 0.06 * a, ry = 0.31 + 0.06 * b, y = 0.46 + 0.08 * c + ry;
  const string = curve((t) => [0.035 * Math.sin(t * 7), (y - ry) * t], 14);
  return {
    parts: [
      { rings: [stroke(string, 0.028)], tone: [150, 150, 156], detail: true },
      { rings: [[-0.055, y - ry - 0.07, 0.055, y - ry - 0.07, 0, y - ry + 0.03]], tone: "shade" },
      { rings: [ellipse(0, y, rx, ry)], tone: "body", round: true },
      {
        rings: [ellipse(-rx * 0.4, y + ry * 0.45, rx * 0.16, ry * 0.22, -0.5)],
        tone: [255, 255, 255],
        detail: true,
      },
    ],
    hat: [0, y + ry - 0.03, 0.18],
    bow: [0, y - ry - 0.02, 0.18],
    top: y + ry,
  };
}

function umbrella([a, b, c]: Variation): Figure {
  const w = 0.44 + 0.1 * a, h = 0.34 + 0.1 * b, y = 0.5 + 0.06 * c;
  const rim: number[] = [];
  for (let i = 0; i < 4; i++) {
    const x0 = w - i * w / 2, x1 = x0 - w / 2;
    for (let k = 1; k <= 6; k++) {
      const t = k / 6;
      rim.push(x0 + (x1 - x0) * t, y + 0.09 * Math.sin(PI * t));
    }
  }
  const hook = curve((t) => [0.075 - 0.075 * Math.cos(PI * t), 0.08 - 0.08 * Math.sin(PI * t)], 10);
  return {
    parts: [
      { rings: [stroke([0, y + 0.1, 0, 0.08], 0.045)], tone: STEEL },
      { rings: [stroke(hook, 0.055)], tone: WOOD },
      { rings: [box(-0.018, y + h - 0.02, 0.018, y + h + 0.07)], tone: STEEL, detail: true },
      { rings: [[...arc(0, y, w, h, PI, 0), ...rim]], tone: "body", round: true },
    ],
    hat: [0, y + h, 0.18],
    bow: [0, y + h * 0.45, 0.19],
    top: y + h,
  };
}

/** The figure of each category. */
export const FIGURES: Record<Category, (variation: Variation) => Figure> = {
  mug,
  house,
  car,
  boat,
  cat,
  bird,
  toy,
  gate,
  chair,
  flower,
  balloon,
  umbrella,
};
