/**
 * Shapes and specs: the static description of a tensor that every op's shape rule computes with, before anything
 * runs. A wrong shape is found here, at trace time, and the message names the op and what it expected.
 */
import { BYTES, type DType, storedAs } from "./dtype.ts";

/** Extents, outermost first. A scalar has shape `[]`. */
export type Shape = readonly number[];

/** Shape and element type: all that is known of a tensor before it is computed. */
export interface Spec {
  /** Extents, outermost first. */
  readonly shape: Shape;
  /** Element type. */
  readonly dtype: DType;
}

/** A shape, dtype or attribute that an op cannot take. */
export class ShapeError extends Error {
  /** Always "ShapeError". */
  override name = "ShapeError";
  /** Puts the message together: the op, and what it cannot take. */
  constructor(op: string, detail: string) {
    super(`${op}: ${detail}`);
  }
}

/** Whether a number can be an extent, a count or a place: whole, and at least 0. */
export const isExtent = (n: number): boolean => Number.isSafeInteger(n) && n >= 0;

/** Refuses extents that are no whole numbers of at least 0. */
export function checkShape(op: string, shape: Shape): void {
  const bad = shape.find((d) => !isExtent(d));
  if (bad !== undefined) {
    throw new ShapeError(op, `[${shape}] is no shape: ${bad} is no whole number of at least 0`);
  }
}

/** Most elements of a tensor: kernels count them in 32 bits. */
const MOST = 2 ** 32 - 1;

/** Refuses a tensor of more elements than kernels can count: one may be traced, but not computed. */
export function checkCountable(op: string, { shape }: Spec): void {
  if (sizeOf(shape) > MOST) {
    throw new ShapeError(
      op,
      `[${shape}] has ${sizeOf(shape)} elements, at most ${MOST} are possible`,
    );
  }
}

/** Number of elements. */
export function sizeOf(shape: Shape): number {
  let n = 1;
  for (const d of shape) n *= d;
  return n;
}

/** What lies in memory of a tensor, and what its kernels are written for. */
export const inMemory = ({ shape, dtype }: Spec): Spec => ({ shape, dtype: storedAs(dtype) });

/** Bytes that a contiguous tensor of this spec takes, rounded up to a whole number of 4-byte words. */
export const byteSize = (spec: Spec): number =>
  Math.ceil(sizeOf(spec.shape) * BYTES[spec.dtype] / 4) * 4;

/** Row-major strides in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let s = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = s;
    s *= shape[i];
  }
  return strides;
}

/** Whether two shapes are the same. */
export const sameShape = (a: Shape, b: Shape): boolean =>
  a.length === b.length && a.every((d, i) => d === b[i]);

/** `f32[2,3]`, as tensors, messages and `explain()` print it. */
export const show = (spec: Spec): string => `${spec.dtype}[${spec.shape.join(",")}]`;

/** NumPy broadcasting of two shapes, aligned at the last axis. Throws {@linkcode ShapeError}. */
export function broadcastShapes(op: string, a: Shape, b: Shape): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[i - rank + a.length] ?? 1;
    const y = b[i - rank + b.length] ?? 1;
    if (x !== y && x !== 1 && y !== 1) {
      throw new ShapeError(
        op,
        `shapes [${a}] and [${b}] do not broadcast (axis ${i}: ${x} against ${y})`,
      );
    }
    return x === 1 ? y : x;
  });
}

/** Resolves a possibly negative axis. Throws {@linkcode ShapeError} when out of range. */
export function axisOf(op: string, axis: number, rank: number): number {
  const a = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(a) || a < 0 || a >= rank) {
    throw new ShapeError(op, `axis ${axis} is out of range for ${rank} dimensions`);
  }
  return a;
}
