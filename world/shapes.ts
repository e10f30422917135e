/**
 * Polygons for the shapes that things and places are made of.
 *
 * All take and give coordinates in the caller's own units, and go round once.
 */
import type { Ring } from "./canvas.ts";

/** An ellipse about (cx, cy), turned by `turn` radians. */
export function ellipse(cx: number, cy: number, rx: number, ry = rx, turn = 0): Ring {
  const ring: Ring = [];
  const c = Math.cos(turn), s = Math.sin(turn);
  for (let i = 0; i < 40; i++) {
    const a = i / 40 * 2 * Math.PI;
    const x = rx * Math.cos(a), y = ry * Math.sin(a);
    ring.push(cx + c * x - s * y, cy + s * x + c * y);
  }
  return ring;
}

/** An axis-aligned box from (x0, y0) to (x1, y1) with corners rounded by `r`. */
export function box(x0: number, y0: number, x1: number, y1: number, r = 0): Ring {
  if (r <= 0) return [x0, y0, x1, y0, x1, y1, x0, y1];
  const ring: Ring = [];
  const centres = [[x1 - r, y1 - r], [x0 + r, y1 - r], [x0 + r, y0 + r], [x1 - r, y0 + r]];
  centres.forEach(([cx, cy], corner) => {
    for (let i = 0; i <= 6; i++) {
      const a = (corner + i / 6) * Math.PI / 2;
      ring.push(cx + r * Math.cos(a), cy + r * Math.sin(a));
    }
  });
  return ring;
}

/** Part of an ellipse's rim from angle a0 to a1 (radians), closed by a straight line. */
export function arc(cx: number, cy: number, rx: number, ry: number, a0: number, a1: number): Ring {
  const ring: Ring = [];
  for (let i = 0; i <= 28; i++) {
    const a = a0 + (a1 - a0) * i / 28;
    ring.push(cx + rx * Math.cos(a), cy + ry * Math.sin(a));
  }
  return ring;
}

/** A line of `width` along the points x0, y0, x1, y1, … */
export function stroke(points: readonly number[], width: number): Ring {
  const left: number[] = [], right: number[] = [];
  const n = points.length / 2;
  for (let i = 0; i < n; i++) {
    const p = Math.max(0, i - 1), q = Math.min(n - 1, i + 1);
    const dx = points[2 * q] - points[2 * p], dy = points[2 * q + 1] - points[2 * p + 1];
    const k = width / 2 / Math.max(1e-9, Math.sqrt(dx * dx + dy * dy));
    left.push(points[2 * i] - dy * k, points[2 * i + 1] + dx * k);
    right.unshift(points[2 * i] + dy * k, points[2 * i + 1] - dx * k);
  }
  return [...left, ...right];
}

/** `n` points of a curve given by t in [0, 1]. */
export function curve(at: (t: number) => readonly [number, number], n = 20): number[] {
  const points: number[] = [];
  for (let i = 0; i <= n; i++) points.push(...at(i / n));
  return points;
}
