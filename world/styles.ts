/**
 * The four styles: what happens to a finished canvas so that it looks photographed, pencilled, painted or drawn.
 *
 * A style works on samples and on the part map, never on shapes, so every thing and place (a new concept too) gets it
 * for free. Strokes of the pencil are fixed to the paper, which costs an autoencoder nothing to remember.
 */
import { type Canvas, FIRST_THING, type Rgb } from "./canvas.ts";
import { Rng } from "./random.ts";
import type { Style } from "./scene.ts";

const PAPER: Rgb = [250, 248, 242];

/** How strongly a style lets light and shade show on a thing: 1 full, 0 flat colour. */
export const LIT: Record<Style, number> = { photo: 1, pencil: 0.5, watercolour: 0.6, cartoon: 0 };

/** How dark a thing's cast shadow is. */
export const SHADOW: Record<Style, number> = {
  photo: 0.34,
  pencil: 0.22,
  watercolour: 0.22,
  cartoon: 0.2,
};

const AROUND_X = [1, 0.7071, 0, -0.7071, -1, -0.7071, 0, 0.7071];
const AROUND_Y = [0, 0.7071, 1, 0.7071, 0, -0.7071, -1, -0.7071];

/**
 * Is there an edge between parts within `reach` samples?
 * 0 none, 1 within the place, 2 around or within a thing.
 */
function edge(canvas: Canvas, x: number, y: number, reach: number): number {
  const { side, part } = canvas;
  const here = part[y * side + x];
  let found = 0;
  for (let k = 0; k < 8; k++) {
    const u = Math.min(side - 1, Math.max(0, x + Math.round(AROUND_X[k] * reach)));
    const v = Math.min(side - 1, Math.max(0, y + Math.round(AROUND_Y[k] * reach)));
    const there = part[v * side + u];
    if (there === here) continue;
    if (there >= FIRST_THING || here >= FIRST_THING) return 2;
    found = 1;
  }
  return found;
}

/** Applies `change(colour, x, y, part)` in place to every sample; x and y in samples. */
function each(
  canvas: Canvas,
  change: (rgb: Float64Array, x: number, y: number, part: number) => void,
): void {
  const { side, rgb, part } = canvas;
  const colour = new Float64Array(3);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const at = y * side + x;
      for (let c = 0; c < 3; c++) colour[c] = rgb[3 * at + c];
      change(colour, x, y, part[at]);
      for (let c = 0; c < 3; c++) rgb[3 * at + c] = colour[c];
    }
  }
}

function towards(colour: Float64Array, goal: Rgb, t: number): void {
  for (let c = 0; c < 3; c++) colour[c] += (goal[c] - colour[c]) * t;
}

function cartoon(canvas: Canvas): void {
  const thick = canvas.side / 256 * 3.2;
  each(canvas, (colour, x, y, part) => {
    const grey = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2];
    const boost = part >= FIRST_THING ? 1.12 : 1.3;
    for (let c = 0; c < 3; c++) {
      // A few flat steps of brightness take the gradients out of the sky.
      const value = grey + (colour[c] - grey) * boost;
      colour[c] = part >= FIRST_THING ? value : Math.round(value / 28) * 28;
    }
    const found = edge(canvas, x, y, thick);
    if (found === 2) towards(colour, [24, 20, 30], 0.96);
    else if (found === 1) towards(colour, [24, 20, 30], 0.5);
  });
}

function pencil(canvas: Canvas): void {
  const scale = canvas.side / 256;
  each(canvas, (colour, x, y, part) => {
    const thing = part >= FIRST_THING;
    // Diagonal strokes, four pixels apart, in step with the pixel grid.
    const phase = ((x + y) / scale / 16) % 1;
    const hatch = Math.abs(phase - 0.5) * 2;
    const grey = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2];
    towards(colour, [grey, grey, grey], thing ? 0 : 0.45);
    towards(colour, PAPER, thing ? 0.1 + 0.36 * hatch : 0.52 + 0.22 * hatch);
    const found = edge(canvas, x, y, 2.4 * scale);
    if (found === 2) towards(colour, [62, 58, 62], 0.85);
    else if (found === 1) towards(colour, [110, 108, 110], 0.5);
  });
}

function watercolour(canvas: Canvas, rng: Rng): void {
  const { side } = canvas;
  const waves = Array.from({ length: 4 }, () => ({
    u: rng.uniform(-9, 9),
    v: rng.uniform(-9, 9),
    p: rng.uniform(0, 6.28),
  }));
  each(canvas, (colour, x, y, part) => {
    const u = x / side, v = y / side;
    let pigment = 0;
    for (const w of waves) pigment += Math.sin(w.u * u + w.v * v + w.p);
    pigment /= 4;
    const thing = part >= FIRST_THING;
    towards(colour, PAPER, (thing ? 0.2 : 0.36) + (thing ? 0.1 : 0.16) * pigment);
    // Pigment gathers where a wash ends.
    const found = edge(canvas, x, y, side / 256 * 3);
    if (found) { for (let c = 0; c < 3; c++) colour[c] *= found === 2 ? 0.78 : 0.93; }
    const rim = Math.min(u, 1 - u, v, 1 - v) + 0.016 * pigment;
    if (rim < 0.075) towards(colour, PAPER, Math.min(1, (0.075 - rim) / 0.03));
  });
}

/** Turns the finished canvas into `style`, in place. @param seed seeds what the brush does */
export function applyStyle(canvas: Canvas, style: Style, seed: number): void {
  if (style === "cartoon") cartoon(canvas);
  else if (style === "pencil") pencil(canvas);
  else if (style === "watercolour") watercolour(canvas, new Rng(seed ^ 0x77a7e5));
}
