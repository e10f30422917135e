/** Runs of pixels into which group norm's kernels cut a tensor: how long they are, and where what is folded of them lies. */
import {
  type AdapterProfile,
  type BufferUse,
  type Dispatch,
  perItem,
  size,
  storageType,
} from "../../tensor/kernel.ts";
import type { NormShape } from "./shape.ts";

/** Longest run of pixels whose squares may be summed about its first value. */
export const RUN = 64;
/** Invocations of a workgroup. */
export const WORKGROUP = 64;
/** Columns in flight that fill a large GPU. */
const BUSY = 65_536;
/** Bytes that stay in the first-level cache of a CPU. */
const CACHE = 16_384;
/** Bounds of a run that is folded, and of one that is mapped. */
export const FOLD = { longest: RUN, shortest: 4 };
export const MAP = { longest: 8, shortest: 1 };

/** A group norm's tensor as its kernels walk it. */
export interface Layout extends NormShape {
  /** All channels, the width of a step in elements, and steps per pixel. */
  readonly total: number;
  readonly width: 1 | 4;
  readonly columns: number;
  /** WGSL type of one step in arithmetic. */
  readonly type: string;
}

/** The layout of a shape. */
export function layoutOf(s: NormShape): Layout {
  const total = s.groups * s.channels;
  const width = total % 4 === 0 ? 4 : 1;
  return { ...s, total, width, columns: total / width, type: storageType("f32", width) };
}

/**
 * Pixels that one invocation walks. A GPU wants enough runs to be busy. A CPU finishes the runs of eight neighbouring
 * columns before the next eight, so the pixels of a run, in all `tensors` that are walked, must stay in its cache.
 */
export function runLength(
  l: Layout,
  profile: AdapterProfile,
  { tensors, longest, shortest }: { tensors: number; longest: number; shortest: number },
): number {
  const wanted = profile.software
    ? Math.floor(CACHE / (tensors * l.total * 4))
    : Math.ceil(l.images * l.pixels * l.columns / BUSY);
  return Math.min(l.pixels, longest, Math.max(shortest, wanted));
}

/** Both scratch buffers of folds: one value per image, run and channel. */
export const foldBuffers = (
  type: string,
  access: "read" | "write",
  names: readonly string[] = ["aa", "bb"],
  first = 0,
): BufferUse[] => names.map((name, k) => ({ name, ref: { scratch: first + k }, access, type }));

/** Bytes of one of them. */
export const foldBytes = (l: Layout, run: number): number =>
  l.images * Math.ceil(l.pixels / run) * l.total * 4;

/** Runs that are folded again into one, and turns of a join from which on that is done. */
export const AGAIN = 16;
const LONG = 32;

/** Whether runs are so many that they are folded again before groups are joined: few groups have few invocations. */
export const foldsAgain = (l: Layout, run: number, { cpu, software }: AdapterProfile): boolean =>
  !cpu && !software && Math.ceil(l.pixels / run) * l.channels > LONG * WORKGROUP;

/** A dispatch that folds runs of runs: `aa`, `bb` of {@linkcode AGAIN} each become one of `cc`, `dd`. */
export function againDispatch(
  l: Layout,
  run: number,
  first: number,
  label: string,
  /** Statements that make `a` and `b` of `count` folds from `at` on, `each` apart. */
  work: string,
): Dispatch {
  const { type } = l;
  const runs = Math.ceil(l.pixels / run), after = Math.ceil(runs / AGAIN);
  const columns = size(l.columns, "columns");
  return {
    label: `${label} (again)`,
    buffers: [
      ...foldBuffers(type, "read"),
      ...foldBuffers(type, "write", ["cc", "dd"], first),
    ],
    ...perItem(
      { count: l.images * after * l.columns, name: "t" },
      `let column = t % ${columns};
  let image = t / ${size(l.columns * after)};
  let start = (t / ${columns}) % ${size(after)} * ${AGAIN}u;
  let count = min(${AGAIN}u, ${size(runs, "runs")} - start);
  let at = (image * ${size(runs, "runs")} + start) * ${columns} + column;
  var a = ${type}(); var b = ${type}();
  ${work}
  cc[t] = a; dd[t] = b;`,
    ),
  };
}

/** Pixels of fold `k` after `start`. */
export const pixelsOf = (l: Layout, run: number): string =>
  `f32(min(${size(run, "run")}, ${size(l.pixels, "pixels")} - (start + k) * ${size(run, "run")}))`;
