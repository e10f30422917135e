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
  return transposed(data, shape, (file, engine, from, to) => to[engine] = from[file]);
}

/** HWIO → OIHW. `shape` is [O, I, H, W]. */
export function toFile<A extends Floats>(data: A, shape: Shape): A {
  return transposed(data, shape, (file, engine, from, to) => to[file] = from[engine]);
}

function transposed<A extends Floats>(
  from: A,
  [o, i, h, w]: Shape,
  move: (file: number, engine: number, from: A, to: A) => void,
): A {
  const to = from.slice() as A;
  const taps = h * w;
  for (let o0 = 0; o0 < o; o0 += BLOCK) {
    const end = Math.min(o, o0 + BLOCK);
    for (let c = 0; c < i; c++) {
      for (let k = 0; k < taps; k++) {
        for (let q = o0; q < end; q++) move((q * i + c) * taps + k, (k * i + c) * o + q, from, to);
      }
    }
  }
  return to;
}

/**
 * The elements of a convolution in the engine's order, from a file's (OIHW): one tap of the kernel after another, so that
 * of a large one only a ninth is there twice.
 *
 * @param shape [O, I, H, W]
 */
export function* engineTaps(
  from: FileArray,
  [o, i, h, w]: Shape,
  dtype: "f32" | "f16",
): Generator<Floats> {
  const taps = h * w, row = i * taps, source = from as Float32Array;
  const Floats = dtype === "f16" ? Float16Array : Float32Array;
  for (let tap = 0; tap < taps; tap++) {
    const to = new Floats(o * i);
    for (let o0 = 0; o0 < o; o0 += BLOCK) {
      const end = Math.min(o, o0 + BLOCK);
      for (let c = 0; c < i; c++) {
        const at = c * taps + tap, out = c * o;
        for (let q = o0; q < end; q++) to[out + q] = source[q * row + at];
      }
    }
    yield to;
  }
}

/** Numbers as f32 or f16. Throws TypeError for arrays of integers. */
export function toFloats(data: FileArray, dtype: "f32" | "f16"): Floats {
  if (dtype === "f32") return toFloat32(data);
  return data instanceof Float16Array ? data : new Float16Array(toFloat32(data));
}
