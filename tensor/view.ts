/**
 * Strided views: how a movement op (permute, slice, pad, broadcast) is expressed as index arithmetic on an existing
 * buffer, so that moving data costs nothing until somebody reads it. Views compose; what cannot be composed is
 * materialised by the fuser.
 */
import { type Shape, sizeOf, stridesOf } from "./shape.ts";

/** Element at coordinates `i` is at `offset + Σ i·strides`, or the fill where a guard excludes a coordinate. */
export interface View {
  readonly shape: Shape;
  readonly strides: readonly number[];
  readonly offset: number;
  /** Per axis, the half-open range of coordinates that exist; outside it is padding. */
  readonly guards: readonly (readonly [number, number] | undefined)[];
  /** What padding holds. Default 0. */
  readonly fill?: number;
}

/** The whole of a contiguous tensor. */
export function contiguous(shape: Shape): View {
  return { shape, strides: stridesOf(shape), offset: 0, guards: shape.map(() => undefined) };
}

/** Whether reading the view in order is reading the buffer in order. */
export function isContiguous(v: View): boolean {
  const plain = stridesOf(v.shape);
  return v.offset === 0 && isUnguarded(v) &&
    v.shape.every((d, i) => d === 1 || v.strides[i] === plain[i]);
}

/** Whether no coordinate is padding. */
export const isUnguarded = (v: View): boolean => v.guards.every((g) => g === undefined);

export function permuteView(v: View, axes: readonly number[]): View {
  return {
    shape: axes.map((a) => v.shape[a]),
    strides: axes.map((a) => v.strides[a]),
    guards: axes.map((a) => v.guards[a]),
    offset: v.offset,
    fill: v.fill,
  };
}

/** The window of extents `shape` that begins at `starts`. */
export function sliceView(v: View, starts: readonly number[], shape: Shape): View {
  return {
    shape,
    fill: v.fill,
    strides: v.strides,
    offset: v.offset + v.strides.reduce((sum, s, i) => sum + s * starts[i], 0),
    guards: v.guards.map((g, i) => {
      if (!g) return undefined;
      const lo = Math.min(shape[i], Math.max(0, g[0] - starts[i]));
      const hi = Math.min(shape[i], Math.max(lo, g[1] - starts[i]));
      return lo === 0 && hi === shape[i] ? undefined : [lo, hi] as const;
    }),
  };
}

/** Padding by `before[i]` and up to the new `shape`, with one number; a view that has padding of another one takes none. */
export function padView(
  v: View,
  before: readonly number[],
  shape: Shape,
  fill = 0,
): View | undefined {
  if (!isUnguarded(v) && !Object.is(v.fill ?? 0, fill)) return undefined;
  return {
    shape,
    fill,
    strides: v.strides,
    offset: v.offset - v.strides.reduce((sum, s, i) => sum + s * before[i], 0),
    guards: v.guards.map((g, i) => {
      const lo = before[i] + (g?.[0] ?? 0);
      const hi = before[i] + (g?.[1] ?? v.shape[i]);
      return lo === 0 && hi === shape[i] ? undefined : [lo, hi] as const;
    }),
  };
}

/** Repeats axes of extent 1 up to `shape` (equal ranks), at stride 0. A guarded axis cannot be repeated. */
export function expandView(v: View, shape: Shape): View | undefined {
  if (v.shape.some((d, i) => d !== shape[i] && v.guards[i])) return undefined;
  return { ...v, shape, strides: v.strides.map((s, i) => v.shape[i] === shape[i] ? s : 0) };
}

/** The axes read from their ends. */
export function flipView(v: View, axes: readonly number[]): View {
  const turned = (i: number) => axes.includes(i) && v.shape[i] > 1;
  return {
    ...v,
    strides: v.strides.map((s, i) => turned(i) ? -s : s),
    offset: v.strides.reduce((at, s, i) => turned(i) ? at + s * (v.shape[i] - 1) : at, v.offset),
    guards: v.guards.map((g, i) => g && turned(i) ? [v.shape[i] - g[1], v.shape[i] - g[0]] : g),
  };
}

/** How windows lie along some axes: how long each is, from one to the next, and from one of its elements to the next. */
export interface Windows {
  readonly axes: readonly number[];
  readonly size: readonly number[];
  readonly stride: readonly number[];
  readonly dilation: readonly number[];
}

/** How many windows there are along each axis of a shape. */
export const windowsAlong = (shape: Shape, w: Windows): number[] =>
  shape.map((d, i) => {
    const k = w.axes.indexOf(i);
    return k < 0 ? d : Math.floor((d - (w.size[k] - 1) * w.dilation[k] - 1) / w.stride[k]) + 1;
  });

/** Every window: places within it first, then the windows. A guarded axis has none. */
export function windowView(v: View, w: Windows): View | undefined {
  if (w.axes.some((a) => v.guards[a])) return undefined;
  const at = (i: number) => w.axes.indexOf(i);
  return {
    ...v,
    shape: [...w.size, ...windowsAlong(v.shape, w)],
    strides: [
      ...w.axes.map((a, k) => v.strides[a] * w.dilation[k]),
      ...v.strides.map((s, i) => at(i) < 0 ? s : s * w.stride[at(i)]),
    ],
    guards: [...w.axes.map(() => undefined), ...v.guards],
  };
}

/** The same elements in order under another shape, where strides allow it; otherwise undefined. */
export function reshapeView(v: View, shape: Shape): View | undefined {
  if (sizeOf(shape) === 0) return undefined;
  if (!isUnguarded(v)) return undefined;
  // Walk groups of axes whose products match; within a group the old axes must form one run of constant stride.
  const old = v.shape.map((d, i) => ({ d, s: v.strides[i] })).filter((a) => a.d !== 1);
  const strides = new Array<number>(shape.length).fill(0);
  let i = old.length - 1;
  let j = shape.length - 1;
  while (i >= 0 || j >= 0) {
    if (j >= 0 && shape[j] === 1) {
      j--;
      continue;
    }
    if (i < 0 || j < 0) return undefined;
    const base = old[i].s;
    let have = old[i].d;
    let want = shape[j];
    strides[j] = base;
    while (have !== want) {
      if (have < want) {
        i--;
        if (i < 0 || old[i].s !== base * have) return undefined;
        have *= old[i].d;
      } else {
        j--;
        if (j < 0) return undefined;
        strides[j] = base * want;
        want *= shape[j];
      }
    }
    i--;
    j--;
  }
  return { shape, strides, offset: v.offset, guards: shape.map(() => undefined) };
}
