/**
 * The eight places: what is behind and under things.
 *
 * Each is painted back to front from its own random numbers. They differ in colour and in outline, so that a place
 * can be told even where a thing hides most of it, and they vary slowly: a small autoencoder keeps what is coarse.
 */
import { type Canvas, flat, mix, type Paint, type Rgb, type Ring, vertical } from "./canvas.ts";
import type { Rng } from "./random.ts";
import type { Place } from "./scene.ts";
import { box, ellipse, stroke } from "./shapes.ts";

const WHITE: Rgb = [255, 255, 255];

/** Everything below a wavy line. */
function hill(rng: Rng, level: number, swing: number): Ring {
  const a = rng.uniform(-1, 1) * swing,
    b = rng.uniform(-1, 1) * swing * 0.5,
    p = rng.uniform(0, 6.28);
  const ring: Ring = [1.02, 1.02, -0.02, 1.02];
  for (let i = 0; i <= 24; i++) {
    const x = -0.02 + 1.04 * i / 24;
    ring.push(x, level + a * Math.sin(x * 3.1 + p) + b * Math.sin(x * 7.3 + 2 * p));
  }
  return ring;
}

function sky(canvas: Canvas, top: Rgb, bottom: Rgb, to = 0.65): void {
  canvas.fill([box(-0.01, -0.01, 1.01, 1.01)], vertical(top, bottom, 0, to), 1, false);
}

function clouds(canvas: Canvas, rng: Rng, n: number, tone: Rgb = WHITE): void {
  for (let i = 0; i < n; i++) {
    const x = rng.uniform(0.05, 0.95), y = rng.uniform(0.07, 0.27), s = rng.uniform(0.7, 1.2);
    for (const [dx, dy, r] of [[-0.09, 0.012, 0.045], [0, -0.012, 0.062], [0.09, 0.015, 0.042]]) {
      canvas.fill([ellipse(x + dx * s, y + dy * s, r * s * 1.35, r * s)], flat(tone), 0.85, false);
    }
  }
}

/** A fir tree: three stacked triangles. */
function fir(canvas: Canvas, x: number, foot: number, h: number, tone: Paint, trunk: Rgb): void {
  canvas.fill([box(x - h * 0.05, foot - h * 0.2, x + h * 0.05, foot)], flat(trunk), 1, false);
  const ring: Ring = [x, foot - h];
  for (const [dx, dy] of [[0.17, 0.66], [0.09, 0.66], [0.24, 0.4], [0.13, 0.4], [0.3, 0.13]]) {
    ring.push(x + dx * h, foot - dy * h);
  }
  for (const [dx, dy] of [[0.3, 0.13], [0.13, 0.4], [0.24, 0.4], [0.09, 0.66], [0.17, 0.66]]) {
    ring.push(x - dx * h, foot - dy * h);
  }
  canvas.fill([ring], tone);
}

function beach(canvas: Canvas, rng: Rng): void {
  const horizon = rng.uniform(0.4, 0.48), shore = rng.uniform(0.62, 0.7);
  sky(canvas, [96, 182, 236], [206, 236, 246], horizon);
  canvas.fill(
    [ellipse(rng.uniform(0.08, 0.92), rng.uniform(0.1, 0.22), 0.075)],
    flat([255, 232, 120]),
    1,
    false,
  );
  clouds(canvas, rng, rng.int(3));
  canvas.fill(
    [box(-0.01, horizon, 1.01, 0.9)],
    vertical([24, 118, 178], [84, 196, 206], horizon, shore),
  );
  canvas.fill([hill(rng, shore - 0.018, 0.014)], flat([240, 250, 248]), 1, false);
  canvas.fill(
    [hill(rng, shore + 0.012, 0.014)],
    vertical([244, 222, 164], [226, 192, 126], shore, 1),
  );
}

function forest(canvas: Canvas, rng: Rng): void {
  sky(canvas, [170, 206, 178], [120, 172, 128], 0.6);
  for (const [foot, h, tone] of [[0.66, 0.5, [74, 130, 88]], [0.7, 0.62, [38, 92, 60]]] as const) {
    const shift = rng.uniform(0, 0.25), n = 4;
    for (let i = 0; i <= n; i++) {
      const x = (i + shift) / n - 0.04 + rng.uniform(-0.05, 0.05);
      fir(canvas, x, foot, h * rng.uniform(0.85, 1.12), flat(tone as Rgb), [88, 62, 44]);
    }
  }
  canvas.fill([hill(rng, 0.67, 0.02)], vertical([86, 112, 54], [62, 82, 42], 0.67, 1));
}

function night(canvas: Canvas, rng: Rng): void {
  sky(canvas, [14, 18, 58], [50, 56, 120], 0.7);
  for (let i = 0; i < 9; i++) {
    const r = rng.uniform(0.012, 0.019);
    canvas.fill([ellipse(rng.next(), rng.uniform(0.02, 0.5), r)], flat([250, 246, 214]), 1, false);
  }
  const x = rng.chance(0.5) ? rng.uniform(0.1, 0.28) : rng.uniform(0.72, 0.9),
    y = rng.uniform(0.12, 0.22);
  canvas.fill([ellipse(x, y, 0.085)], flat([250, 244, 206]));
  canvas.fill([ellipse(x + 0.035, y - 0.02, 0.068)], flat([30, 34, 84]), 1, false);
  canvas.fill([hill(rng, 0.64, 0.04)], flat([36, 44, 88]));
  canvas.fill([hill(rng, 0.73, 0.02)], vertical([58, 68, 112], [38, 46, 84], 0.72, 1));
}

function snow(canvas: Canvas, rng: Rng): void {
  sky(canvas, [150, 178, 206], [222, 232, 240], 0.6);
  const peak = rng.uniform(0.2, 0.8), wide = rng.uniform(0.35, 0.5), top = rng.uniform(0.26, 0.36);
  canvas.fill([[peak, top, peak + wide, 0.7, peak - wide, 0.7]], flat([164, 182, 206]));
  canvas.fill(
    [[peak, top, peak + wide * 0.28, top + 0.11, peak - wide * 0.28, top + 0.11]],
    flat(WHITE),
    1,
    false,
  );
  for (let i = 0; i < 2; i++) {
    const x = i ? rng.uniform(0.78, 0.97) : rng.uniform(0.03, 0.22);
    fir(
      canvas,
      x,
      0.7,
      rng.uniform(0.28, 0.4),
      vertical([240, 246, 250], [92, 134, 128], 0.36, 0.56),
      [92, 74, 66],
    );
  }
  canvas.fill([hill(rng, 0.67, 0.025)], vertical([250, 252, 255], [208, 222, 240], 0.66, 1));
  for (let i = 0; i < 9; i++) {
    canvas.fill([ellipse(rng.next(), rng.uniform(0.02, 0.62), 0.017)], flat(WHITE), 0.9, false);
  }
}

function desert(canvas: Canvas, rng: Rng): void {
  sky(canvas, [250, 176, 96], [255, 226, 158], 0.55);
  canvas.fill(
    [ellipse(rng.uniform(0.15, 0.85), rng.uniform(0.22, 0.4), 0.11)],
    flat([255, 246, 204]),
    1,
    false,
  );
  canvas.fill([hill(rng, 0.56, 0.05)], flat([216, 138, 74]));
  canvas.fill([hill(rng, 0.66, 0.03)], vertical([232, 164, 90], [204, 124, 62], 0.64, 1));
  const x = rng.chance(0.5) ? rng.uniform(0.06, 0.2) : rng.uniform(0.8, 0.94),
    h = rng.uniform(0.26, 0.34),
    f = 0.7;
  const tone = flat([74, 126, 72]);
  for (
    const points of [
      [x, f, x, f - h],
      [x, f - h * 0.4, x + 0.075, f - h * 0.4, x + 0.075, f - h * 0.75],
      [x, f - h * 0.3, x - 0.075, f - h * 0.3, x - 0.075, f - h * 0.6],
    ]
  ) canvas.fill([stroke(points, 0.05)], tone, 1, false);
}

function table(canvas: Canvas, rng: Rng): void {
  const wall: Rgb = rng.pick([[238, 218, 190], [214, 228, 214], [232, 212, 212]] as Rgb[]);
  sky(canvas, mix(wall, WHITE, 0.2), mix(wall, [120, 90, 70], 0.12), 0.7);
  const x = rng.uniform(0.12, 0.88), w = 0.15;
  canvas.fill([box(x - w, 0.08, x + w, 0.44)], flat([250, 248, 240]));
  canvas.fill(
    [box(x - w + 0.03, 0.11, x + w - 0.03, 0.41)],
    vertical([140, 200, 240], [206, 232, 246], 0.1, 0.4),
    1,
    false,
  );
  canvas.fill([box(x - 0.012, 0.1, x + 0.012, 0.42)], flat([250, 248, 240]), 1, false);
  canvas.fill([box(x - w, 0.25, x + w, 0.274)], flat([250, 248, 240]), 1, false);
  const edge = rng.uniform(0.64, 0.7);
  canvas.fill([box(-0.01, edge, 1.01, 1.01)], vertical([196, 138, 84], [160, 104, 60], edge, 1));
  canvas.fill([box(-0.01, edge + 0.3, 1.01, 1.01)], flat([118, 74, 44]), 1, false);
}

function street(canvas: Canvas, rng: Rng): void {
  sky(canvas, [176, 200, 222], [226, 232, 234], 0.6);
  let x = rng.uniform(-0.15, 0);
  while (x < 1) {
    const w = rng.uniform(0.2, 0.3), top = rng.uniform(0.08, 0.34);
    const tone: Rgb = rng.pick(
      [[158, 128, 120], [140, 146, 158], [178, 164, 146], [122, 128, 136]] as Rgb[],
    );
    canvas.fill([box(x, top, x + w, 0.68)], flat(tone));
    for (let row = top + 0.05; row < 0.52; row += 0.13) {
      for (const k of [0.18, 0.58]) {
        canvas.fill(
          [box(x + k * w, row, x + (k + 0.26) * w, row + 0.07)],
          flat([244, 232, 180]),
          1,
          false,
        );
      }
    }
    x += w + 0.015;
  }
  canvas.fill([box(-0.01, 0.64, 1.01, 0.72)], flat([186, 184, 180]));
  canvas.fill([box(-0.01, 0.7, 1.01, 1.01)], vertical([92, 94, 102], [74, 76, 84], 0.7, 1));
  const shift = rng.uniform(0, 0.3);
  for (let i = -1; i < 4; i++) {
    canvas.fill(
      [box(shift + i * 0.3, 0.9, shift + i * 0.3 + 0.17, 0.93)],
      flat([236, 232, 214]),
      1,
      false,
    );
  }
}

function meadow(canvas: Canvas, rng: Rng): void {
  sky(canvas, [112, 186, 244], [214, 238, 250], 0.6);
  clouds(canvas, rng, 1 + rng.int(3));
  canvas.fill([hill(rng, 0.54, 0.05)], flat([128, 190, 96]));
  canvas.fill([hill(rng, 0.65, 0.03)], vertical([116, 196, 76], [82, 158, 58], 0.64, 1));
  for (let i = 0; i < 9; i++) {
    const tone = rng.pick([[255, 255, 255], [255, 226, 90], [250, 160, 190]] as Rgb[]);
    canvas.fill([ellipse(rng.next(), rng.uniform(0.72, 0.98), 0.016)], flat(tone), 1, false);
  }
}

/** How each place is painted. */
export const PLACE_PAINTERS: Record<Place, (canvas: Canvas, rng: Rng) => void> = {
  beach,
  forest,
  night,
  snow,
  desert,
  table,
  street,
  meadow,
};
