/**
 * A supersampled canvas that fills polygons.
 *
 * Every shape of the world becomes polygons and every polygon is filled here: one rasterizer to trust. Beside colour
 * it keeps which part covers each sample, from which the drawn styles find their outlines. Units: the picture is the
 * unit square, y down.
 */

/** Red, green, blue in 0..255. */
export type Rgb = readonly [number, number, number];
/** A closed polygon: x0, y0, x1, y1, … */
export type Ring = number[];
/** Writes the colour at (x, y) of the unit square to `out`. */
export type Paint = (x: number, y: number, out: Float64Array) => void;

/** Samples per pixel and axis. */
export const SUPERSAMPLING = 4;

/** Parts with this id or above belong to things, those below to the place. */
export const FIRST_THING = 64;

/** Always the same colour. */
export function flat(colour: Rgb): Paint {
  return (_x, _y, out) => {
    out[0] = colour[0];
    out[1] = colour[1];
    out[2] = colour[2];
  };
}

/** From `top` at y0 to `bottom` at y1, held beyond. */
export function vertical(top: Rgb, bottom: Rgb, y0: number, y1: number): Paint {
  return (_x, y, out) => {
    const t = Math.min(1, Math.max(0, (y - y0) / (y1 - y0)));
    for (let c = 0; c < 3; c++) out[c] = top[c] + (bottom[c] - top[c]) * t;
  };
}

/** `a` towards `b` by `t`. */
export function mix(a: Rgb, b: Rgb, t: number): Rgb {
  return [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t];
}

/** A small square picture with transparency, to be put on a canvas. */
export interface Sprite {
  /** In pixels. */
  readonly side: number;
  /** [side, side, 4], straight alpha. */
  readonly rgba: Uint8ClampedArray;
}

export class Canvas {
  /** Samples a side. */
  readonly side: number;
  /** [side, side, 3], 0..255. */
  readonly rgb: Float32Array;
  /** [side, side], the part that covers each sample. */
  readonly part: Uint8Array;
  #next = 1;

  constructor(readonly size: number) {
    this.side = size * SUPERSAMPLING;
    this.rgb = new Float32Array(this.side * this.side * 3);
    this.part = new Uint8Array(this.side * this.side);
  }

  /** From now on parts belong to things, so outlines and styles can tell them from the place. */
  beginThings(): void {
    this.#next = Math.max(this.#next, FIRST_THING);
  }

  /**
   * Fills rings by the even-odd rule (a ring inside another is a hole).
   * @param alpha opacity, 0..1
   * @param outlined whether the shape is a part of its own; a highlight or shadow is not
   */
  fill(rings: readonly Ring[], paint: Paint, alpha = 1, outlined = true): void {
    const n = this.side;
    let top = Infinity, bottom = -Infinity;
    for (const ring of rings) {
      for (let i = 1; i < ring.length; i += 2) {
        if (ring[i] < top) top = ring[i];
        if (ring[i] > bottom) bottom = ring[i];
      }
    }
    const id = outlined ? Math.min(255, this.#next++) : 0;
    const out = new Float64Array(3);
    const crossings: number[] = [];
    const last = Math.min(n - 1, Math.ceil(bottom * n));
    for (let row = Math.max(0, Math.floor(top * n)); row <= last; row++) {
      const y = (row + 0.5) / n;
      crossings.length = 0;
      for (const ring of rings) cross(ring, y, crossings);
      crossings.sort((a, b) => a - b);
      for (let k = 0; k + 1 < crossings.length; k += 2) {
        const from = Math.max(0, Math.ceil(crossings[k] * n - 0.5));
        const to = Math.min(n - 1, Math.ceil(crossings[k + 1] * n - 0.5) - 1);
        for (let column = from; column <= to; column++) {
          paint((column + 0.5) / n, y, out);
          const at = row * n + column;
          for (let c = 0; c < 3; c++) {
            this.rgb[3 * at + c] += (out[c] - this.rgb[3 * at + c]) * alpha;
          }
          if (id) this.part[at] = id;
        }
      }
    }
  }

  /**
   * Puts a sprite where `at` finds it, blended between its pixels.
   * @param box what to look at: left, top, right, bottom
   * @param at writes where (x, y) of the unit square lies in the sprite, in its pixels, to `out`
   * @param choose the sprite that is shown there: all have one size
   */
  stamp(
    [left, top, right, bottom]: readonly [number, number, number, number],
    at: (x: number, y: number, out: Float64Array) => void,
    choose: (x: number, y: number) => Sprite,
  ): void {
    const n = this.side, id = Math.min(255, this.#next++);
    const clamp = (v: number) => Math.min(n - 1, Math.max(0, Math.floor(v * n)));
    const place = new Float64Array(2), sum = new Float64Array(4);
    for (let row = clamp(top); row <= clamp(bottom); row++) {
      for (let column = clamp(left); column <= clamp(right); column++) {
        const x = (column + 0.5) / n, y = (row + 0.5) / n;
        at(x, y, place);
        const sprite = choose(x, y), { side, rgba } = sprite;
        const u = Math.floor(place[0] - 0.5), v = Math.floor(place[1] - 0.5);
        if (u < -1 || v < -1 || u >= side || v >= side) continue;
        sum.fill(0);
        for (let k = 0; k < 4; k++) {
          const px = u + (k & 1), py = v + (k >> 1);
          if (px < 0 || py < 0 || px >= side || py >= side) continue;
          const from = 4 * (py * side + px);
          const weight = (1 - Math.abs(place[0] - 0.5 - px)) * (1 - Math.abs(place[1] - 0.5 - py)) *
            rgba[from + 3] / 255;
          for (let c = 0; c < 3; c++) sum[c] += weight * rgba[from + c];
          sum[3] += weight;
        }
        if (sum[3] <= 0) continue;
        const to = row * n + column;
        for (let c = 0; c < 3; c++) {
          this.rgb[3 * to + c] = this.rgb[3 * to + c] * (1 - sum[3]) + sum[c];
        }
        if (sum[3] > 0.5) this.part[to] = id;
      }
    }
  }

  /** Box-reduces to RGB bytes, [size, size, 3]. */
  reduce(): Uint8Array {
    const { side, size, rgb } = this;
    const bytes = new Uint8Array(size * size * 3);
    const scale = 1 / (SUPERSAMPLING * SUPERSAMPLING);
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        let r = 0, g = 0, b = 0;
        for (let dy = 0; dy < SUPERSAMPLING; dy++) {
          let at = 3 * ((y * SUPERSAMPLING + dy) * side + x * SUPERSAMPLING);
          for (let dx = 0; dx < SUPERSAMPLING; dx++) {
            r += rgb[at++];
            g += rgb[at++];
            b += rgb[at++];
          }
        }
        const to = 3 * (y * size + x);
        bytes[to] = byte(r * scale);
        bytes[to + 1] = byte(g * scale);
        bytes[to + 2] = byte(b * scale);
      }
    }
    return bytes;
  }
}

function byte(value: number): number {
  return Math.round(Math.min(255, Math.max(0, value)));
}

/** Where the line at height y crosses the ring's edges. */
function cross(ring: Ring, y: number, crossings: number[]): void {
  let x0 = ring[ring.length - 2], y0 = ring[ring.length - 1];
  for (let i = 0; i < ring.length; i += 2) {
    const x1 = ring[i], y1 = ring[i + 1];
    if ((y0 <= y) !== (y1 <= y)) crossings.push(x0 + (y - y0) / (y1 - y0) * (x1 - x0));
    x0 = x1;
    y0 = y1;
  }
}
