/** Whole matrices of derivatives: forward or reverse mode, mapped over a basis. */
import { expectTensor, mark, type Tensor } from "../tensor/tensor.ts";
import { expectFunction, expectOptions } from "../tensor/arguments.ts";
import { forward } from "../tensor/forward.ts";
import { reverse } from "../tensor/reverse.ts";
import { isFloat } from "../tensor/dtype.ts";
import { ShapeError, show } from "../tensor/shape.ts";
import { flatten, refill, type Tree } from "../tensor/tree.ts";
import { what } from "../tensor/what.ts";
import { add } from "../ops/elementwise/arithmetic.ts";
import { cast } from "../ops/elementwise/cast.ts";
import { equal } from "../ops/elementwise/compare.ts";
import { variable } from "../ops/gradient.ts";
import { tensor } from "../ops/leaf.ts";
import { moveAxis } from "../ops/batch/fold.ts";
import { reshape } from "../ops/movement.ts";
import { TOOLS } from "../ops/tools.ts";
import { grad } from "./grad.ts";
import { vmap } from "./vmap.ts";

/** Options of {@linkcode jacobian}. */
export interface JacobianOptions {
  /**
   * `forward` takes one pass for each number of the input, `reverse` one for each of the result; either way they are one batch.
   * Default: what takes fewer.
   */
  readonly mode?: "forward" | "reverse";
}

/** For a result of the form `R` and parameters of the form `T`: in place of each result's leaf, a tree of the form `T`. */
export type Jacobian<R, T> = R extends Tensor ? T : { readonly [K in keyof R]: Jacobian<R[K], T> };

/**
 * All derivatives of a function: for a result of shape `s` and a parameter of shape `p`, a tensor `[…s, …p]`. All rows (or
 * columns) are computed at once, which takes as many times the memory of one.
 *
 * @param fn a pure function from a tree of parameters to a tensor, or a tree of tensors
 * @returns a function of the parameters that gives a tree like the result, and in place of each of its leaves one like the parameters;
 *   zeros where nothing depends. It throws ShapeError when something is of integers, and TypeError when something is no tensor
 */
export function jacobian<T extends Tree<Tensor>, R extends Tree<Tensor>>(
  fn: (params: T) => R,
  options: JacobianOptions = {},
): (params: T) => Jacobian<R, T> {
  expectFunction("jacobian", 0, "fn", fn);
  expectOptions("jacobian", 1, options, { mode: "any" });
  const { mode } = options;
  if (mode !== undefined && mode !== "forward" && mode !== "reverse") {
    throw new TypeError(`jacobian: options.mode is ${what(mode)}, not "forward" or "reverse"`);
  }
  return (params) => {
    const given = flatten<Tensor>(params);
    for (const [path, t] of given) expectFloats(path ? `parameter "${path}"` : "the parameter", t);
    const since = mark();
    const xs = given.map(([, t]) => variable(t));
    const out = fn(refill(params, xs) as T);
    const results = flatten<Tensor>(out);
    for (const [path, t] of results) expectFloats(path ? `the result "${path}"` : "the result", t);
    const ys = results.map(([, t]) => t);
    const size = (ts: readonly Tensor[]) => ts.reduce((n, t) => n + t.size, 0);
    const chosen = mode ?? (size(ys) < size(xs) ? "reverse" : "forward");
    const rows = chosen === "reverse" ? byRows(ys, xs) : byColumns(ys, xs, since);
    const made: unknown = refill(out, rows.map((row) => refill<Tensor>(params, row)));
    return made as Jacobian<R, T>;
  };
}

/** Reverse mode: a row for each number of a result. */
const byRows = (ys: readonly Tensor[], xs: readonly Tensor[]): Tensor[][] =>
  ys.map((y) => {
    const rows = vmap((g: Tensor) =>
      reverse([[y, g]], xs, add).map((t, i) => t ?? TOOLS.zeros(xs[i].spec))
    )(basis(y));
    return rows.map((t, i) => reshape(t, [...y.shape, ...xs[i].shape]));
  });

/** Forward mode: a column for each number of a parameter. */
function byColumns(ys: readonly Tensor[], xs: readonly Tensor[], since: number): Tensor[][] {
  const columns = xs.map((x) =>
    vmap((t: Tensor) => {
      const now = new Map([[x, t]]);
      forward(ys, since, now, TOOLS);
      return ys.map((y) => now.get(y) ?? TOOLS.zeros(y.spec));
    })(basis(x))
  );
  return ys.map((y, k) =>
    columns.map((of, i) =>
      reshape(moveAxis(of[k], 0, y.shape.length), [...y.shape, ...xs[i].shape])
    )
  );
}

/** Every direction of a tensor: `[size, …shape]`, with a one in each. */
function basis({ size, shape, dtype }: Tensor): Tensor {
  const counted = tensor(Uint32Array.from({ length: size }, (_, i) => i));
  const eye = equal(reshape(counted, [size, 1]), counted);
  return reshape(cast(eye, dtype), [size, ...shape]);
}

function expectFloats(place: string, t: unknown): void {
  expectTensor("jacobian", place, t);
  if (isFloat(t.dtype)) return;
  throw new ShapeError("jacobian", `${place} is ${show(t.spec)}: whole numbers have no derivative`);
}

/**
 * All second derivatives of a loss: for parameters of shapes `p` and `q`, a tensor `[…p, …q]`. Forward mode over reverse mode.
 *
 * @param loss a pure function from a tree of parameters to a tensor of one element
 * @returns a function of the parameters that gives a tree like them, and in place of each of its leaves another one
 */
export function hessian<T extends Tree<Tensor>>(
  loss: (params: T) => Tensor,
): (params: T) => Jacobian<T, T> {
  expectFunction("hessian", 0, "loss", loss);
  return jacobian<T, T>(grad(loss), { mode: "forward" });
}
