/**
 * Ten things that training never shows: what one teaches the miniature model.
 *
 * Each belongs to a category the model knows ("photo of a gate"), but has a shape and a mix of colours that no scene
 * of the world has. They are coarse on purpose: a model of this size learns form and colour, not lettering.
 */
import type { Rgb } from "./canvas.ts";
import { CREAM, type Figure, INK, type Part } from "./parts.ts";
import type { Category } from "./scene.ts";
import { arc, box, curve, ellipse, stroke } from "./shapes.ts";
import { eyes } from "./things.ts";

export interface Concept {
  /** Its folder's name. */
  name: string;
  /** The category that names its superclass in prompts. */
  category: Category;
  /** What a person would say it is. */
  description: string;
}

/** The held-out concepts. */
export const CONCEPTS: readonly Concept[] = [
  {
    name: "moongate",
    category: "gate",
    description: "a round stone gate with a glowing turquoise moon in it",
  },
  {
    name: "monster",
    category: "toy",
    description: "a teal plush monster with one eye, two horns and an orange belly",
  },
  {
    name: "halfmug",
    category: "mug",
    description: "a mug, pink above and navy below, with a big golden handle",
  },
  {
    name: "toadstool",
    category: "house",
    description: "a house with a red spotted dome for a roof on a cream stem",
  },
  {
    name: "bubblecar",
    category: "car",
    description: "a mint bubble car with a purple stripe and a tall fin",
  },
  {
    name: "mittens",
    category: "cat",
    description: "a white cat with an orange mask and a black right half",
  },
  {
    name: "parakeet",
    category: "bird",
    description: "a green bird with a red head, a yellow crest and a blue wing",
  },
  {
    name: "throne",
    category: "chair",
    description: "a tall golden throne with a purple cushion and a red jewel",
  },
  {
    name: "longship",
    category: "boat",
    description: "a turquoise longship with a curled prow and a striped square sail",
  },
  {
    name: "sunwheel",
    category: "flower",
    description: "a flower of orange and blue petals round a white heart",
  },
];

const STONE: Rgb = [150, 148, 150], DARK_STONE: Rgb = [112, 110, 118];
const GOLD: Rgb = [236, 186, 58], DARK_GOLD: Rgb = [186, 132, 36];
const { PI } = Math;

function moongate(): Figure {
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

function monster(): Figure {
  const teal: Rgb = [36, 168, 160], orange: Rgb = [250, 146, 40], horn: Rgb = [252, 226, 120];
  return {
    parts: [
      { rings: [[-0.24, 0.8, -0.12, 0.84, -0.3, 1.08]], tone: horn },
      { rings: [[0.24, 0.8, 0.12, 0.84, 0.3, 1.08]], tone: horn },
      { rings: [ellipse(-0.38, 0.4, 0.09, 0.19, -0.7)], tone: teal },
      { rings: [ellipse(0.38, 0.4, 0.09, 0.19, 0.7)], tone: teal },
      {
        rings: [[...arc(0, 0.16, 0.36, 0.16, PI, 2 * PI), ...arc(0, 0.5, 0.36, 0.4, 0, PI)]],
        tone: teal,
        round: true,
      },
      { rings: [ellipse(0, 0.28, 0.23, 0.21)], tone: orange, round: true },
      { rings: [ellipse(0, 0.66, 0.17)], tone: CREAM },
      { rings: [ellipse(0.02, 0.65, 0.085)], tone: INK, detail: true },
    ],
    hat: [0, 0.88, 0.18],
    bow: [0, 0.48, 0.18],
    top: 0.9,
  };
}

function halfmug(): Figure {
  const w = 0.33, h = 0.76;
  return {
    parts: [
      { rings: [ellipse(w, 0.4, 0.23, 0.26), ellipse(w, 0.4, 0.12, 0.14)], tone: GOLD },
      { rings: [[-w, h, ...arc(0, 0.07, w, 0.08, PI, 2 * PI), w, h]], tone: [250, 140, 184] },
      { rings: [[-w, 0.38, ...arc(0, 0.07, w, 0.08, PI, 2 * PI), w, 0.38]], tone: [34, 44, 110] },
      { rings: [ellipse(0, h, w, 0.075)], tone: GOLD },
      { rings: [ellipse(0, h - 0.01, w * 0.78, 0.045)], tone: [84, 52, 36], detail: true },
    ],
    hat: [0, h + 0.03, 0.2],
    bow: [0, 0.4, 0.2],
    top: h,
  };
}

function toadstool(): Figure {
  const spots: Part[] = [[-0.26, 0.6, 0.085], [0.05, 0.76, 0.095], [0.3, 0.58, 0.075]].map((
    [x, y, r],
  ) => ({
    rings: [ellipse(x, y, r, r * 0.85)],
    tone: CREAM,
    detail: true,
  }));
  return {
    parts: [
      { rings: [box(-0.25, 0, 0.25, 0.52, 0.06)], tone: [246, 230, 196] },
      { rings: [arc(0, 0.44, 0.54, 0.48, PI, 0)], tone: [214, 36, 44], round: true },
      ...spots,
      { rings: [[-0.1, 0, ...arc(0, 0.2, 0.1, 0.11, PI, 0), 0.1, 0]], tone: [40, 92, 160] },
    ],
    hat: [0, 0.9, 0.2],
    bow: [0, 0.42, 0.2],
    top: 0.9,
  };
}

function bubblecar(): Figure {
  const mint: Rgb = [150, 232, 196], purple: Rgb = [116, 52, 160];
  const wheel = (x: number): Part[] => [
    { rings: [ellipse(x, 0.14, 0.14)], tone: [44, 44, 52] },
    { rings: [ellipse(x, 0.14, 0.07)], tone: [250, 214, 60], detail: true },
  ];
  return {
    parts: [
      { rings: [[-0.5, 0.3, -0.66, 0.78, -0.4, 0.74, -0.2, 0.5]], tone: purple },
      { rings: [arc(0, 0.16, 0.58, 0.62, PI, 0)], tone: mint, round: true },
      {
        rings: [[0.02, 0.44, ...arc(0.02, 0.44, 0.32, 0.25, 0, PI / 2 * 2)]],
        tone: [200, 236, 250],
      },
      { rings: [box(-0.57, 0.24, 0.57, 0.36)], tone: purple },
      ...wheel(-0.33),
      ...wheel(0.33),
    ],
    hat: [0, 0.76, 0.2],
    bow: [0, 0.3, 0.18],
    top: 0.77,
  };
}

function mittens(): Figure {
  const white: Rgb = [244, 240, 234], orange: Rgb = [240, 142, 48], black: Rgb = [46, 44, 52];
  const hy = 0.66, r = 0.24;
  const body = [...arc(0, 0.1, 0.31, 0.1, PI, 2 * PI), ...arc(0, 0.34, 0.24, 0.25, 0, PI)];
  return {
    parts: [
      {
        rings: [stroke(curve((t) => [0.18 + 0.3 * Math.sin(t * 2.3), 0.08 + 0.5 * t], 14), 0.11)],
        tone: black,
      },
      { rings: [body], tone: white, round: true },
      {
        rings: [[
          0,
          0,
          ...arc(0, 0.1, 0.31, 0.1, 1.5 * PI, 2 * PI),
          ...arc(0, 0.34, 0.24, 0.25, 0, PI / 2),
        ]],
        tone: black,
      },
      { rings: [[-0.24, hy + 0.05, -0.23, hy + 0.36, -0.03, hy + 0.2]], tone: orange },
      { rings: [[0.24, hy + 0.05, 0.23, hy + 0.36, 0.03, hy + 0.2]], tone: black },
      { rings: [ellipse(0, hy, r * 1.12, r)], tone: white, round: true },
      { rings: [arc(0, hy, r * 1.12, r, 0, PI)], tone: orange },
      ...eyes(0, hy + 0.03, 0.11, 0.06, [120, 220, 120]),
      ...eyes(0, hy + 0.03, 0.11, 0.032),
      {
        rings: [[-0.04, hy - 0.07, 0.04, hy - 0.07, 0, hy - 0.13]],
        tone: [245, 140, 150],
        detail: true,
      },
    ],
    hat: [0, hy + r * 0.82, 0.18],
    bow: [0, 0.42, 0.19],
    top: hy + r,
  };
}

function parakeet(): Figure {
  const green: Rgb = [64, 180, 74];
  return {
    parts: [
      { rings: [stroke([-0.04, 0, -0.03, 0.3], 0.05)], tone: [110, 110, 120] },
      { rings: [stroke([0.1, 0, 0.09, 0.3], 0.05)], tone: [110, 110, 120] },
      { rings: [[-0.2, 0.42, -0.56, 0.2, -0.5, 0.1, -0.1, 0.22]], tone: [40, 90, 200] },
      { rings: [[0.08, 0.9, 0.02, 1.18, 0.16, 1.02, 0.24, 1.2, 0.28, 0.92]], tone: [250, 218, 50] },
      { rings: [ellipse(0, 0.44, 0.26, 0.33, -0.4)], tone: green, round: true },
      { rings: [ellipse(-0.09, 0.42, 0.13, 0.25, -0.45)], tone: [40, 90, 200] },
      { rings: [[0.32, 0.86, 0.54, 0.76, 0.34, 0.7]], tone: [60, 56, 60] },
      { rings: [ellipse(0.18, 0.8, 0.2)], tone: [220, 44, 44], round: true },
      { rings: [ellipse(0.23, 0.83, 0.06)], tone: CREAM, detail: true },
      { rings: [ellipse(0.245, 0.83, 0.034)], tone: INK, detail: true },
    ],
    hat: [0.16, 0.98, 0.16],
    bow: [0.14, 0.6, 0.16],
    top: 1,
  };
}

function throne(): Figure {
  const purple: Rgb = [112, 44, 156];
  return {
    parts: [
      {
        rings: [[-0.32, 0, -0.32, 0.86, -0.2, 0.78, 0, 1.14, 0.2, 0.78, 0.32, 0.86, 0.32, 0]],
        tone: GOLD,
      },
      { rings: [box(-0.2, 0.4, 0.2, 0.76, 0.06)], tone: purple },
      { rings: [ellipse(0, 0.9, 0.07)], tone: [222, 36, 60] },
      { rings: [box(-0.44, 0.1, -0.3, 0.56, 0.04)], tone: DARK_GOLD },
      { rings: [box(0.3, 0.1, 0.44, 0.56, 0.04)], tone: DARK_GOLD },
      { rings: [box(-0.32, 0.26, 0.32, 0.42, 0.05)], tone: purple },
      { rings: [box(-0.44, 0, 0.44, 0.26)], tone: GOLD },
    ],
    hat: [0, 1.08, 0.18],
    bow: [0, 0.62, 0.18],
    top: 1,
  };
}

function longship(): Figure {
  const hull: Rgb = [30, 160, 170], red: Rgb = [206, 48, 48];
  const prow = curve((t) => [0.5 + 0.14 * Math.sin(t * 3), 0.16 + 0.5 * t], 12);
  const bands: Part[] = [0, 1, 2].map((i) => ({
    rings: [box(-0.36 + i * 0.28, 0.42, -0.22 + i * 0.28, 0.9)],
    tone: red,
    detail: true,
  }));
  return {
    parts: [
      { rings: [box(-0.03, 0.25, 0.03, 1)], tone: [110, 74, 46] },
      { rings: [box(-0.36, 0.42, 0.34, 0.9)], tone: [250, 226, 110] },
      ...bands,
      { rings: [stroke(prow, 0.11)], tone: hull },
      { rings: [ellipse(0.53, 0.68, 0.1)], tone: hull },
      { rings: [arc(0, 0.34, 0.62, 0.34, PI, 2 * PI)], tone: hull, round: true },
      { rings: [box(-0.46, 0.17, 0.46, 0.25)], tone: [250, 226, 110], detail: true },
    ],
    hat: [0, 0.98, 0.18],
    bow: [0, 0.64, 0.2],
    top: 0.95,
  };
}

function sunwheel(): Figure {
  const y = 0.68;
  const parts: Part[] = [
    { rings: [stroke([0, 0, -0.03, 0.3, 0, 0.6], 0.07)], tone: [120, 60, 130] },
    { rings: [ellipse(0.14, 0.2, 0.15, 0.07, 0.6)], tone: [150, 84, 160] },
  ];
  for (let i = 0; i < 8; i++) {
    const a = i / 8 * 2 * PI, b = (i + 1) / 8 * 2 * PI;
    parts.push({
      rings: [[0, y, ...arc(0, y, 0.36, 0.36, a, b)]],
      tone: i % 2 ? [44, 100, 220] : [250, 150, 34],
    });
  }
  parts.push({ rings: [ellipse(0, y, 0.15)], tone: [250, 248, 240], round: true });
  return { parts, hat: [0, y + 0.34, 0.17], bow: [0, 0.34, 0.18], top: y + 0.36 };
}

const FIGURES: Record<string, () => Figure> = {
  moongate,
  monster,
  halfmug,
  toadstool,
  bubblecar,
  mittens,
  parakeet,
  throne,
  longship,
  sunwheel,
};

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

/** The figure of a concept; a concept is one particular thing, so its proportions hardly vary. */
export function conceptFigure(name: string, _variation: readonly number[]): Figure {
  return FIGURES[conceptNamed(name).name]();
}
