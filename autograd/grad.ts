/** Derivatives of pure functions: of tensors (`vjp`), and of a loss with respect to a tree of parameters. */
import { expectTensor, type Tensor } from "../tensor/tensor.ts";
import { expectArray, expectFunction } from "../tensor/arguments.ts";
import { reverse } from "../tensor/reverse.ts";
import { isFloat } from "../tensor/dtype.ts";
import { sameShape, ShapeError, show } from "../tensor/shape.ts";
import { flatten, mapTree, type Tree } from "../tensor/tree.ts";
import { variable } from "../ops/gradient.ts";
import { literal } from "../ops/leaf.ts";
import { expand } from "../ops/broadcast.ts";
import { add } from "../ops/elementwise/arithmetic.ts";

/**
 * Cotangents of `wanted` given cotangents of `outputs`: vᵀJ, recorded on the tape.
 *
 * @param outputs tensors and their cotangents (same shapes)
 * @param wanted leaves or intermediate tensors
 * @returns for each wanted tensor its cotangent, or undefined where it is zero (no output depends on it)
 * @throws TypeError when one of them is no tensor; ShapeError when a cotangent has not the shape and type of its output
 */
export function vjp(
  outputs: readonly (readonly [y: Tensor, g: Tensor])[],
  wanted: readonly Tensor[],
): (Tensor | undefined)[] {
  expectArray("vjp", 0, "outputs", outputs, "[[y, g]]");
  expectArray("vjp", 1, "wanted", wanted, "[x]");
  outputs.forEach((pair, i) => {
    expectArray("vjp", 0, `outputs[${i}]`, pair, "[y, g]");
    const [y, g] = pair;
    expectTensor("vjp", `output ${i}`, y);
    expectTensor("vjp", `the cotangent of output ${i}`, g);
    if (!sameShape(y.shape, g.shape) || y.dtype !== g.dtype) {
      throw new ShapeError("vjp", `output ${i} is ${show(y.spec)}, its cotangent ${show(g.spec)}`);
    }
  });
  wanted.forEach((t, i) => expectTensor("vjp", `wanted ${i}`, t));
  return reverse(outputs, wanted, add);
}

/** A loss and its gradients, as {@linkcode valueAndGrad} returns them. */
export interface ValueAndGrad<T> {
  /** The loss, a scalar. */
  readonly value: Tensor;
  /** A tree like the parameters, of gradients. */
  readonly grads: T;
}

/**
 * The loss and its gradient with respect to every leaf of a tree of parameters; zeros where the loss does not depend on it.
 * To train only some parameters, pass only those: `mask()` in `autograd/mask.ts` picks them from a tree, and inside of the
 * loss merges them into it again. What the parameters were computed from gets nothing, nor does what the loss reads
 * otherwise, even if it is one of them.
 *
 * @param loss a pure function from parameters, and whatever else behind them, to a tensor of one element
 * @returns a function of the same arguments, differentiated by the first, that throws ShapeError when the loss has several elements or is of integers, and TypeError when it, or
 *   a parameter, is no tensor
 * @throws TypeError when `loss` is no function
 */
export function valueAndGrad<T extends Tree<Tensor>, A extends unknown[] = []>(
  loss: (params: T, ...rest: A) => Tensor,
): (params: T, ...rest: A) => ValueAndGrad<T> {
  return differentiated("valueAndGrad", loss);
}

function differentiated<T extends Tree<Tensor>, A extends unknown[]>(
  op: string,
  loss: (params: T, ...rest: A) => Tensor,
): (params: T, ...rest: A) => ValueAndGrad<T> {
  expectFunction(op, 0, "loss", loss);
  return (params, ...rest) => {
    for (const [path, t] of flatten<Tensor>(params)) {
      expectTensor(op, path ? `parameter "${path}"` : "the parameter", t);
    }
    // The function is differentiated by its arguments, whatever they were computed from and whatever else reads them.
    const own = mapTree<Tensor, Tensor>(params, variable) as T;
    const value = loss(own, ...rest);
    expectTensor(op, "what the loss returned", value);
    if (value.size !== 1) {
      throw new ShapeError(op, `the loss is ${show(value.spec)}, not one element`);
    }
    if (!isFloat(value.dtype)) {
      throw new ShapeError(
        op,
        `the loss is ${
          show(value.spec)
        }: whole numbers have no derivative, cast to f32 before what counts`,
      );
    }
    const leaves = flatten<Tensor>(own).map(([, t]) => t);
    const seed = expand(literal(1, value.dtype), value.shape);
    const grads = vjp([[value, seed]], leaves);
    let i = 0;
    return {
      value,
      grads: mapTree<Tensor, Tensor>(params, (t) => grads[i++] ?? zerosLike(t)) as T,
    };
  };
}

/** The gradient alone: see {@linkcode valueAndGrad}. */
export function grad<T extends Tree<Tensor>, A extends unknown[] = []>(
  loss: (params: T, ...rest: A) => Tensor,
): (params: T, ...rest: A) => T {
  const both = differentiated("grad", loss);
  return (params, ...rest) => both(params, ...rest).grads;
}

const zerosLike = (t: Tensor): Tensor => expand(literal(0, t.dtype), t.shape);
