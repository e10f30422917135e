/**
 * Small pictures of things: where they are kept, what else can be worn by or stand on them, and their main colour turned
 * into another.
 */
import type { Rgb, Sprite } from "../canvas.ts";
import { fromLab, type Lab, toLab } from "./oklab.ts";

/** Side of a sprite in pixels. */
export const SPRITE = 96;

/** The part of a sprite that has its main colour. */
export interface MainColour {
  /** How much each pixel has of it, 0..1, [SPRITE * SPRITE]. */
  readonly weight: Float32Array;
  /** Its typical lightness and chroma. */
  readonly L: number;
  readonly C: number;
  /** What share of the thing it covers. */
  readonly share: number;
}

const smooth = (from: number, to: number, v: number): number => {
  const t = Math.min(1, Math.max(0, (v - from) / (to - from)));
  return t * t * (3 - 2 * t);
};

const found = new WeakMap<Sprite, MainColour>();

/** The main colour: the hue that covers most, or grey and white, or black, whichever covers more. */
export function mainColour(sprite: Sprite): MainColour {
  const before = found.get(sprite);
  if (before) return before;
  const n = sprite.side * sprite.side;
  const L = new Float32Array(n), C = new Float32Array(n), h = new Float32Array(n);
  const bins = new Float64Array(72);
  let whole = 0;
  const alpha = (i: number) => sprite.rgba[4 * i + 3] / 255;
  for (let i = 0; i < n; i++) {
    if (!alpha(i)) continue;
    const [l, a, b] = toLab(sprite.rgba[4 * i], sprite.rgba[4 * i + 1], sprite.rgba[4 * i + 2]);
    L[i] = l;
    C[i] = Math.hypot(a, b);
    h[i] = Math.atan2(b, a);
    whole += alpha(i);
    const at = Math.floor((h[i] / (2 * Math.PI) + 1) * bins.length) % bins.length;
    bins[at] += alpha(i) * smooth(0.02, 0.06, C[i]);
  }
  const around = (k: number) =>
    [-5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5].reduce(
      (sum, d) => sum + bins[(k + d + bins.length) % bins.length],
      0,
    );
  let peak = 0;
  for (let k = 1; k < bins.length; k++) if (around(k) > around(peak)) peak = k;
  const hue = (peak + 0.5) / bins.length * 2 * Math.PI;
  const hued = (i: number) => {
    const away = Math.abs(Math.atan2(Math.sin(h[i] - hue), Math.cos(h[i] - hue)));
    return (1 - smooth(0.55, 0.9, away)) * smooth(0.015, 0.05, C[i]);
  };
  const light = (i: number) => (1 - smooth(0.03, 0.07, C[i])) * smooth(0.38, 0.52, L[i]);
  const dark = (i: number) => (1 - smooth(0.05, 0.09, C[i])) * (1 - smooth(0.45, 0.6, L[i]));
  let best: MainColour | undefined;
  for (const belongs of [hued, light, dark]) {
    const weight = new Float32Array(n);
    let sum = 0, l = 0, c = 0;
    for (let i = 0; i < n; i++) {
      if (!alpha(i)) continue;
      weight[i] = belongs(i);
      const w = weight[i] * alpha(i);
      sum += w;
      l += w * L[i];
      c += w * C[i];
    }
    const share = sum / Math.max(1e-9, whole);
    if (!best || share > best.share) best = { weight, L: l / (sum || 1), C: c / (sum || 1), share };
  }
  found.set(sprite, best!);
  return best!;
}

/** The sprite with its main colour turned into another; light and shade on it stay. */
export function turned(sprite: Sprite, to: Rgb): Sprite {
  const main = mainColour(sprite), goal = toLab(...to);
  const rgba = sprite.rgba.slice();
  for (let i = 0; i < main.weight.length; i++) {
    const w = main.weight[i];
    if (!w || !rgba[4 * i + 3]) continue;
    const lab = toLab(rgba[4 * i], rgba[4 * i + 1], rgba[4 * i + 2]);
    const swing = lab[0] - main.L;
    // Highlights pale, shades deepen.
    const strength = Math.min(1.15, Math.max(0.35, 1 - Math.max(0, swing) * 1.6));
    const L = Math.min(0.99, Math.max(0.05, goal[0] + swing * (swing < 0 ? 0.85 : 0.7)));
    const next = fromLab([L, goal[1] * strength, goal[2] * strength]);
    for (let c = 0; c < 3; c++) rgba[4 * i + c] += w * (next[c] - rgba[4 * i + c]);
  }
  return { side: sprite.side, rgba };
}

/** The whole sprite's hues turned by an angle, in radians: another thing in the same shape. */
export function hueTurned(sprite: Sprite, angle: number): Sprite {
  const c = Math.cos(angle), s = Math.sin(angle), rgba = sprite.rgba.slice();
  for (let i = 0; i < rgba.length; i += 4) {
    if (!rgba[i + 3]) continue;
    const [L, a, b]: Lab = toLab(rgba[i], rgba[i + 1], rgba[i + 2]);
    rgba.set(fromLab([L, c * a - s * b, s * a + c * b]).map(Math.round), i);
  }
  return { side: sprite.side, rgba };
}
