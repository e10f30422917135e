/**
 * Weights that any language can make: element i of the parameter of a name is a hash of both, so that a model of full
 * size is the same here and in PyTorch without a file between them. `tests/golden/full_size.py` has the same in NumPy.
 */
import { toEngine } from "../models/layout.ts";
import type { ParameterSpec } from "../models/params.ts";
import { sizeOf } from "../tensor/shape.ts";

/** A u32 from a name: 32-bit FNV-1a of its bytes. */
export function seedOf(name: string): number {
  let h = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) h = Math.imul(h ^ byte, 0x01000193);
  return h >>> 0;
}

/** Uniform numbers in [−scale, scale): a bijective hash (lowbias32) of seed + i, its upper 24 bits taken. */
export function uniforms(name: string, count: number, scale = 1): Float32Array<ArrayBuffer> {
  const seed = seedOf(name);
  const out = new Float32Array(count);
  const s = Math.fround(scale);
  for (let i = 0; i < count; i++) {
    let x = (seed + i) | 0;
    x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
    x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
    x ^= x >>> 16;
    out[i] = ((x >>> 8) / 2 ** 23 - 1) * s;
  }
  return out;
}

/**
 * A parameter's values in the engine's layout: matrices and kernels of variance 1 / (inputs of an output), scales of
 * norms around 1, biases of a tenth.
 */
export function portable(name: string, spec: ParameterSpec): Float32Array<ArrayBuffer> {
  const { shape, layout } = spec;
  const count = sizeOf(shape);
  if (shape.length === 1) {
    const values = uniforms(name, count, 0.1);
    return /norm[^.]*\.weight$/.test(name) ? values.map((v) => v + 1) : values;
  }
  const values = uniforms(name, count, Math.sqrt(3 * shape[0] / count));
  return layout === "conv" ? toEngine(values, shape) : values;
}
