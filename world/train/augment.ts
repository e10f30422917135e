/**
 * What CLIP and the classifier see: renders that are moved a little, and some blurred or of other brightness. They are
 * to judge what a model samples, and that is never a crisp render.
 */
import type { Random } from "../../numerics/random.ts";
import type { Pictures } from "./pictures.ts";

/** A picture to be looked at. */
export interface Look {
  /** `[size, size, 3]`, about [−1, 1]. */
  readonly pixels: Float32Array;
  /** Deviation of the noise to be added. */
  readonly noise: number;
}

/** A random look at a picture; the noise itself is left to the device. */
export function lookAt({ bytes, size }: Pictures, index: number, random: Random): Look {
  const reach = Math.round(3 * size / 64);
  const dx = random.integer(-reach, reach), dy = random.integer(-reach, reach);
  const blur = clamp(random.uniform() * 1.6 - 0.6, 0, 1);
  const noise = Math.max(0, random.uniform() * 0.16 - 0.06);
  const gain = 0.9 + 0.2 * random.uniform(), shift = 0.1 * (random.uniform() - 0.5);
  const from = bytes.subarray(index * size * size * 3, (index + 1) * size * size * 3);
  const moved = new Float32Array(from.length);
  for (let y = 0; y < size; y++) {
    const row = clamp(y + dy, 0, size - 1) * size;
    for (let x = 0; x < size; x++) {
      const at = 3 * (row + clamp(x + dx, 0, size - 1));
      const to = 3 * (y * size + x);
      for (let c = 0; c < 3; c++) moved[to + c] = from[at + c] / 127.5 - 1;
    }
  }
  const soft = blur > 0 ? smooth(smooth(moved, size, 3), size, 3 * size) : moved;
  const pixels = new Float32Array(moved.length);
  for (let i = 0; i < pixels.length; i++) {
    pixels[i] = (moved[i] + blur * (soft[i] - moved[i])) * gain + shift;
  }
  return { pixels, noise: noise * gain };
}

/** Weights 1, 2, 1 along one axis, whose neighbours lie `stride` apart; the picture's edge is repeated. */
function smooth(x: Float32Array, size: number, stride: number): Float32Array {
  const out = new Float32Array(x.length);
  const line = size * stride;
  for (let start = 0; start < x.length; start += line) {
    for (let k = 0; k < line; k++) {
      const i = start + k;
      const before = x[k < stride ? i : i - stride];
      const after = x[k < line - stride ? i + stride : i];
      out[i] = (before + 2 * x[i] + after) / 4;
    }
  }
  return out;
}

const clamp = (v: number, low: number, high: number): number => Math.min(high, Math.max(low, v));
