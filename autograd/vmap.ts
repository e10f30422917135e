/** `vmap`: a function of one example becomes a function of a batch of them, with no loop. */
import { expectTensor, mark, type Tensor } from "../tensor/tensor.ts";
import { expectFunction, expectOptions } from "../tensor/arguments.ts";
import { batchTape } from "../tensor/batch.ts";
import { axisOf, ShapeError, show } from "../tensor/shape.ts";
import { flatten, isLeaf, mapTree, refill, type Tree } from "../tensor/tree.ts";
import { what } from "../tensor/what.ts";
import { moveAxis } from "../ops/batch/fold.ts";
import { TOOLS } from "../ops/tools.ts";

/**
 * Which axis holds the examples: one for everything, or a tree of them like the arguments, or the results; an entry stands
 * for all that lies below it. `null` for what is the same for all examples.
 */
export type Axes = number | null | { readonly [key: string]: Axes } | readonly Axes[];

/** Options of {@linkcode vmap}. */
export interface VmapOptions {
  /** Axis of the examples in the arguments: one for all of them, or a list with an entry each. Default 0. */
  readonly inAxes?: Axes;
  /** Axis of the examples in the results. `null` for results that are the same for all. Default 0. */
  readonly outAxes?: Axes;
}

/**
 * A function of one example, as a function of many at once. Every op computes all examples together, by its own rule: no loop
 * runs, and what is the same for all examples is computed once. It may be nested, stand inside of `compile` and `checkpoint`,
 * and around `grad`: `vmap(grad(loss), { inAxes: [null, 0] })` gives gradients for each example.
 *
 * Examples differ in nothing but what is mapped: draws under one key are the same for all of them, draws under a mapped key,
 * `[n, 2]`, are those of each key.
 *
 * @param fn a pure function of trees of tensors
 * @returns a function of the same arguments, whose mapped leaves have one more axis, of the same extent in all. It throws
 *   ShapeError when there is no such axis or extents differ, and TypeError when an argument or a result is no tensor
 * @throws TypeError when `fn` is no function, or an option is none
 */
export function vmap<A extends unknown[], R>(
  fn: (...args: A) => R,
  options: VmapOptions = {},
): (...args: A) => R {
  expectFunction("vmap", 0, "fn", fn);
  expectOptions("vmap", 1, options, { inAxes: "any", outAxes: "any" });
  const { inAxes = 0, outAxes = 0 } = options;
  return (...args) => {
    const given = args as Tree<Tensor>[];
    const leaves = flatten<Tensor>(given);
    leaves.forEach(([path, t]) => expectTensor("vmap", placeOf(path), t));
    const axes = spread("inAxes", inAxes, given, leaves, "the arguments");
    const size = sizeAlong(leaves, axes);
    const since = mark();
    const now = new Map<Tensor, Tensor>();
    const one = leaves.map(([, t], i) => {
      const axis = axes[i];
      if (axis === null) return t;
      const hole = TOOLS.hole({ shape: t.shape.toSpliced(axis, 1), dtype: t.dtype });
      now.set(hole, moveAxis(t, axis, 0));
      return hole;
    });
    const out = fn(...refill(given, one) as A) as Tree<Tensor>;
    const results = flatten<Tensor>(out);
    results.forEach(([path, t]) =>
      expectTensor("vmap", path ? `the result "${path}"` : "the result", t)
    );
    batchTape(results.map(([, t]) => t), since, now, size, TOOLS);
    const places = spread("outAxes", outAxes, out, results, "the results", 1);
    return refill(
      out,
      results.map(([path, t], i) => placed(t, now.get(t), places[i], size, path)),
    ) as R;
  };
}

/** A result with its examples where they are wanted. */
function placed(
  one: Tensor,
  all: Tensor | undefined,
  axis: number | null,
  size: number,
  path: string,
): Tensor {
  if (axis !== null) return moveAxis(all ?? TOOLS.expand(one, [size, ...one.shape]), 0, axis);
  if (!all) return one;
  throw new ShapeError(
    "vmap",
    `${
      path ? `the result "${path}"` : "the result"
    } differs from example to example, and outAxes says null`,
  );
}

const placeOf = (path: string): string => {
  const [k, ...rest] = path.split(".");
  return `argument ${Number(k) + 1}${rest.length ? `, "${rest.join(".")}",` : ""}`;
};

/** The extent of the examples' axis, which all mapped leaves must share. */
function sizeAlong(
  leaves: readonly (readonly [string, Tensor])[],
  axes: readonly (number | null)[],
): number {
  let first: { readonly place: string; readonly size: number } | undefined;
  leaves.forEach(([path, t], i) => {
    const axis = axes[i];
    if (axis === null) return;
    const size = t.shape[axis];
    first ??= { place: placeOf(path), size };
    if (size === first.size) return;
    throw new ShapeError(
      "vmap",
      `${first.place} has ${first.size} examples, ${placeOf(path)} ${
        show(t.spec)
      } has ${size} along axis ${axis}`,
    );
  });
  if (!first) {
    throw new ShapeError(
      "vmap",
      "nothing is mapped: every entry of inAxes is null, or there are no arguments",
    );
  }
  return first.size;
}

/** An axis for every leaf of a tree, from 0 on, by a tree of axes that is like the first of its levels. */
function spread(
  option: string,
  axes: Axes,
  tree: Tree<Tensor>,
  leaves: readonly (readonly [string, Tensor])[],
  of: string,
  more = 0,
): (number | null)[] {
  const found: (number | null)[] = [];
  const visit = (a: Axes, t: Tree<Tensor>, path: string): void => {
    const at = path ? `${option}, "${path}",` : option;
    if (isLeaf(a)) {
      if (a !== null && typeof a !== "number") {
        throw new TypeError(`vmap: ${at} is ${what(a)}, not an axis or null`);
      }
      mapTree<Tensor, void>(t, (leaf) => {
        const rank = leaf.shape.length + more;
        found.push(a === null ? null : axisOf("vmap", a, rank));
      });
      return;
    }
    const [mine, theirs] = [Object.keys(a as object), isLeaf(t) ? [] : Object.keys(t as object)];
    if (isLeaf(t) || mine.length !== theirs.length || mine.some((k) => !theirs.includes(k))) {
      throw new TypeError(`vmap: ${at} is ${what(a)}, unlike ${of} there: ${what(t)}`);
    }
    for (const k of theirs) {
      visit(
        (a as Record<string, Axes>)[k],
        (t as Record<string, Tree<Tensor>>)[k],
        path ? `${path}.${k}` : k,
      );
    }
  };
  visit(axes, tree, "");
  if (found.length !== leaves.length) throw new Error("vmap: leaves without an axis");
  return found;
}
