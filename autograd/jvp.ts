/** Forward mode: derivatives of a function along a direction, in one pass beside its values. */
import { calledAs, theirs } from "../tensor/called.ts";
import { expectTensor, mark, type Tensor } from "../tensor/tensor.ts";
import { expectArray, expectFunction } from "../tensor/arguments.ts";
import { forward } from "../tensor/forward.ts";
import { isFloat } from "../tensor/dtype.ts";
import { sameShape, ShapeError, show } from "../tensor/shape.ts";
import { flatten, mapTree, refill, type Tree } from "../tensor/tree.ts";
import { variable } from "../ops/gradient.ts";
import { TOOLS } from "../ops/tools.ts";
import { grad } from "./grad.ts";

/** What a function gives, and how fast that changes, as {@linkcode jvp} returns them. */
export interface ValueAndTangent<R> {
  /** What the function gives. */
  readonly value: R;
  /** Its derivative along the tangents, in the same form; zeros where nothing depends on them, or can't be differentiated. */
  readonly tangent: R;
}

/**
 * A function and its derivative along a direction: Ju, recorded on the tape. It costs about as much as the function itself,
 * whatever the number of its inputs, and keeps nothing for a backward pass. The function is differentiated by its arguments
 * alone, as by `grad`.
 *
 * @param fn a pure function of trees of tensors
 * @param primals its arguments, as a list
 * @param tangents a direction: a list of trees like the arguments, with tensors of the same shapes and types
 * @throws TypeError when an argument, a tangent or a result is no tensor; ShapeError when a tangent is not like its argument,
 *   or the argument holds integers, which have no direction: leave it to a closure
 */
export function jvp<A extends unknown[], R>(
  fn: (...args: A) => R,
  primals: A,
  tangents: A,
): ValueAndTangent<R> {
  expectFunction("jvp", 0, "fn", fn);
  expectArray("jvp", 1, "primals", primals, "[x]");
  expectArray("jvp", 2, "tangents", tangents, "[dx]");
  const given = new Map(flatten<Tensor>(tangents as Tree<Tensor>[]));
  const known = flatten<Tensor>(primals as Tree<Tensor>[]);
  for (const [path, x] of known) {
    expectTensor("jvp", `primal "${path}"`, x);
    const t = given.get(path);
    expectTensor("jvp", `the tangent of "${path}"`, t);
    if (!isFloat(x.dtype)) {
      throw new ShapeError(
        "jvp",
        `primal "${path}" is ${show(x.spec)}: whole numbers have no derivative`,
      );
    }
    if (!sameShape(x.shape, t.shape) || x.dtype !== t.dtype) {
      throw new ShapeError(
        "jvp",
        `primal "${path}" is ${show(x.spec)}, its tangent ${show(t.spec)}`,
      );
    }
  }
  if (given.size !== known.length) {
    throw new ShapeError("jvp", `${given.size} tangents for ${known.length} primals`);
  }
  const since = mark();
  const own = known.map(([, x]) => variable(x));
  const value = fn(...refill(primals as Tree<Tensor>[], own) as A);
  const results = flatten<Tensor>(value as Tree<Tensor>);
  results.forEach(([path, t]) =>
    expectTensor("jvp", path ? `the result "${path}"` : "the result", t)
  );
  const now = new Map(own.map((x, i) => [x, given.get(known[i][0])!]));
  forward(results.map(([, t]) => t), since, now, TOOLS);
  const tangent = mapTree<Tensor, Tensor>(
    value as Tree<Tensor>,
    (t) => now.get(t) ?? TOOLS.zeros(t.spec),
  ) as R;
  return { value, tangent };
}

/**
 * Hessian-vector product of a loss: how its gradient changes along a direction, without the Hessian. Forward mode over reverse
 * mode, so it costs a few times the gradient.
 *
 * @param loss a pure function from parameters to a tensor of one element
 * @param params a tree of parameters
 * @param direction a tree like the parameters
 * @returns a tree like the parameters
 */
export function hvp<T extends Tree<Tensor>>(
  loss: (params: T) => Tensor,
  params: T,
  direction: T,
): T {
  expectFunction("hvp", 0, "loss", loss);
  const gradient = grad((p: T) => theirs(() => loss(p)));
  return calledAs("hvp", () => jvp<[T], T>(gradient, [params], [direction]).tangent, {
    'primal "0"': "argument 2 (params)",
    'primal "0.': 'parameter "',
    'the tangent of "0"': "argument 3 (direction)",
    'the tangent of "0.': 'the direction of "',
  });
}
