/** `scan`: a loop with a carry, over the leading axis of what it reads. */
import { expectTensor, type Tensor } from "../tensor/tensor.ts";
import { expectFunction, expectOptions } from "../tensor/arguments.ts";
import { wholeNumber } from "../tensor/element.ts";
import { sameShape, ShapeError, show } from "../tensor/shape.ts";
import { flatten, refill, type Tree } from "../tensor/tree.ts";
import { what } from "../tensor/what.ts";
import { loop } from "./loop.ts";

/** Options of {@linkcode scan}. */
export interface LoopOptions {
  /** How many turns there are. Default: the leading extent of `xs`; needed where there are none. */
  readonly length?: number;
  /** Walk from the end to the beginning; results lie where what they were made of lies. Default false. */
  readonly reverse?: boolean;
}

/**
 * A loop with a carry: `fn` takes the carry and an element of `xs`, and gives the next carry and a result; the results are stacked.
 * `fn` is traced once. A loop of more than four turns is compiled once, too, and its kernels are replayed: compiling takes as long
 * for ten turns as for ten thousand. It may be differentiated, mapped and nested.
 *
 * The derivative keeps the carry of every turn, and computes each turn again from it.
 *
 * ```ts ignore
 * const [total, sums] = scan((sum, x) => [add(sum, x), sum], scalar(0), tensor([1, 2, 3, 4, 5]));
 * ```
 *
 * @param fn a pure function of the carry, a tree of tensors, and an element, that gives `[carry, result]`; the result may be
 *   `undefined`. What it reads beside its arguments is the same for all turns
 * @param init the first carry
 * @param xs a tree of tensors whose leading axes have one extent: one element for each turn; `undefined` with `length`
 * @returns the last carry, and the results, each with a leading axis for the turns
 * @throws ShapeError when the carry changes its form, shapes or element types, or leading extents differ
 * @throws TypeError when something is no tensor, or `fn` does not give a pair
 */
export function scan<C, X, Y>(
  fn: (carry: C, x: X) => readonly [C, Y],
  init: C,
  xs: X,
  options: LoopOptions = {},
): [carry: C, results: Y] {
  expectFunction("scan", 0, "fn", fn);
  expectOptions("scan", 3, options, { length: "number", reverse: "true or false" });
  const first = tensorsOf("init", init as Tree<unknown>);
  const read = tensorsOf("xs", xs as Tree<unknown>);
  const turns = turnsOf(read, options.length);
  let result: Tree<unknown>;
  const { carry, ys } = loop(
    (c, x) => {
      const made: unknown = fn(
        refill(init as Tree<unknown>, c) as C,
        refill(xs as Tree<unknown>, x) as X,
      );
      if (!Array.isArray(made) || made.length !== 2) {
        throw new TypeError(`scan: the function gave ${what(made)}, not [carry, result]`);
      }
      result = made[1];
      return {
        carry: sameCarry(first, made[0]),
        ys: tensorsOf("result", result).map(([, t]) => t),
      };
    },
    first.map(([, t]) => t),
    read.map(([, t]) => t),
    turns,
    options.reverse ?? false,
  );
  return [refill(init as Tree<unknown>, carry) as C, refill(result!, ys) as Y];
}

function tensorsOf(kind: string, tree: Tree<unknown>): [string, Tensor][] {
  if (tree === null) return [];
  const leaves = flatten<unknown>(tree);
  for (const [path, t] of leaves) expectTensor("scan", path ? `${kind} "${path}"` : kind, t);
  return leaves as [string, Tensor][];
}

function turnsOf(xs: readonly (readonly [string, Tensor])[], length: number | undefined): number {
  if (length !== undefined) wholeNumber("scan", "options.length", length);
  let turns = length;
  for (const [path, t] of xs) {
    const place = path ? `xs "${path}"` : "xs";
    if (!t.shape.length) {
      throw new ShapeError("scan", `${place} is ${show(t.spec)}, without an axis to walk along`);
    }
    turns ??= t.shape[0];
    if (t.shape[0] === turns) continue;
    throw new ShapeError(
      "scan",
      `${place} is ${show(t.spec)}, of ${t.shape[0]} elements for ${turns} turns`,
    );
  }
  if (turns === undefined) {
    throw new ShapeError("scan", "without xs, options.length says how many turns there are");
  }
  return turns;
}

/** The leaves of a carry, which are those of the first one in form, shape and type. */
function sameCarry(first: readonly (readonly [string, Tensor])[], carry: unknown): Tensor[] {
  const now = new Map(tensorsOf("the carry", carry as Tree<unknown>));
  const other = [...now.keys()].find((path) => !first.some(([p]) => p === path));
  if (other !== undefined || now.size !== first.length) {
    const names = (paths: Iterable<string>) =>
      [...paths].map((p) => `"${p}"`).join(", ") || "nothing";
    throw new ShapeError(
      "scan",
      `the carry has ${names(first.map(([p]) => p))} before a turn, ${names(now.keys())} after it`,
    );
  }
  return first.map(([path, before]) => {
    const after = now.get(path)!;
    if (sameShape(before.shape, after.shape) && before.dtype === after.dtype) return after;
    throw new ShapeError(
      "scan",
      `the carry${path ? ` "${path}"` : ""} is ${show(before.spec)} before a turn, ${
        show(after.spec)
      } after it`,
    );
  });
}
