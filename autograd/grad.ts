/** Derivatives of pure functions: of tensors (`vjp`), and of a loss with respect to a tree of parameters. */
import type { Tensor } from "../tensor/tensor.ts";
import { reverse } from "../tensor/reverse.ts";
import { ShapeError } from "../tensor/shape.ts";
import { flatten, mapTree, type Tree } from "../tensor/tree.ts";
import { literal } from "../ops/leaf.ts";
import { expand } from "../ops/broadcast.ts";
import { add } from "../ops/arithmetic.ts";

/**
 * Cotangents of `wanted` given cotangents of `outputs`: vᵀJ, recorded on the tape.
 *
 * @param outputs tensors and their cotangents (same shapes)
 * @param wanted leaves or intermediate tensors
 * @returns for each wanted tensor its cotangent, or undefined where it is zero (nothing depends on it)
 */
export const vjp = (
  outputs: readonly (readonly [y: Tensor, g: Tensor])[],
  wanted: readonly Tensor[],
): (Tensor | undefined)[] => reverse(outputs, wanted, add);

/** A loss and its gradients, as {@linkcode valueAndGrad} returns them. */
export interface ValueAndGrad<T> {
  /** The loss, a scalar. */
  readonly value: Tensor;
  /** A tree like the parameters, of gradients. */
  readonly grads: T;
}

/**
 * The loss and its gradient with respect to every leaf of a tree of parameters. To train only some parameters, pass
 * only those: see `mask()` and `combine()` in `autograd/mask.ts`.
 *
 * @param loss a pure function from parameters to a scalar
 */
export function valueAndGrad<T extends Tree<Tensor>>(
  loss: (params: T) => Tensor,
): (params: T) => ValueAndGrad<T> {
  return (params) => {
    const value = loss(params);
    if (value.size !== 1) {
      throw new ShapeError("valueAndGrad", `the loss has shape [${value.shape}], not one element`);
    }
    const leaves = flatten<Tensor>(params).map(([, t]) => t);
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
export function grad<T extends Tree<Tensor>>(loss: (params: T) => Tensor): (params: T) => T {
  const both = valueAndGrad(loss);
  return (params) => both(params).grads;
}

const zerosLike = (t: Tensor): Tensor => expand(literal(0, t.dtype), t.shape);
