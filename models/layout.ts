/**
 * Between a file's tensors and the engine's: convolutions are stored OIHW by PyTorch and held HWIO here, where all
 * three convolution passes read contiguous memory; and numbers become f32 or f16.
 */
import type { FileArray } from "../files/dtypes.ts";
import { toFloat32 } from "../files/dtypes.ts";
import type { Shape } from "../tensor/shape.ts";

/** Real numbers as files and devices have them. */
export type Floats = Float32Array | Float16Array;

/** Output channels that are moved together: a cache line of f32. */
const BLOCK = 16;

/** OIHW → HWIO. `shape` is [O, I, H, W]. */
export function toEngine<A extends Floats>(data: A, shape: Shape): A {
  const to = data.slice() as A;
  engineRows(data, shape, 0, to);
  return to;
}

/**
 * Some rows of OIHW to their places in HWIO: a convolution's weights can be turned while they are read.
 *
 * @param rows output channels from number `first` on
 * @param shape [O, I, H, W] of the whole
 */
export function engineRows(rows: FileArray, shape: Shape, first: number, to: Floats): void {
  const [o, i, h, w] = shape, taps = h * w, row = i * taps, count = rows.length / row;
  const from = rows as Float32Array;
  for (let o0 = 0; o0 < count; o0 += BLOCK) {
    const end = Math.min(count, o0 + BLOCK);
    for (let c = 0; c < i; c++) {
      for (let k = 0; k < taps; k++) {
        const at = c * taps + k, out = (k * i + c) * o + first;
        for (let q = o0; q < end; q++) to[out + q] = from[q * row + at];
      }
    }
  }
}

/** HWIO → OIHW. `shape` is [O, I, H, W]. */
export function toFile<A extends Floats>(data: A, [o, i, h, w]: Shape): A {
  const to = data.slice() as A, taps = h * w;
  for (let o0 = 0; o0 < o; o0 += BLOCK) {
    const end = Math.min(o, o0 + BLOCK);
    for (let c = 0; c < i; c++) {
      for (let k = 0; k < taps; k++) {
        for (let q = o0; q < end; q++) to[(q * i + c) * taps + k] = data[(k * i + c) * o + q];
      }
    }
  }
  return to;
}

/** Numbers as f32 or f16. Throws TypeError for arrays of integers. */
export function toFloats(data: FileArray, dtype: "f32" | "f16"): Floats {
  if (dtype === "f32") return toFloat32(data);
  return data instanceof Float16Array ? data : new Float16Array(toFloat32(data));
}
