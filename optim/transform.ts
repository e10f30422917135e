/**
 * What optimizers are made of, as in optax: a transformation takes gradients and a state, and gives updates and the next state.
 * Both are pure functions of trees of tensors, so a step with them is compiled into one program with the gradient, its state is
 * donated and written in place, and the same steps give the same bits.
 */
import { expectTensor, Tensor } from "../tensor/tensor.ts";
import { expectRange, rateOf } from "../autograd/named.ts";
import { flatten, mapTree, matches, type Tree, zipTrees } from "../tensor/tree.ts";
import { sameShape, ShapeError, show } from "../tensor/shape.ts";
import { expectKind, listOf, TEXT } from "../tensor/kinds.ts";
import { what } from "../tensor/what.ts";
import { calledAs, theirs } from "../tensor/called.ts";
import { isFloat } from "../tensor/dtype.ts";
import { add, mul, sub } from "../ops/elementwise/arithmetic.ts";
import type { Operand } from "../ops/elementwise/map.ts";
import { cast } from "../ops/elementwise/cast.ts";

/** State of a transformation: a tree of tensors, to be handed on as it is. */
export type OptimizerState = Tree<Tensor>;

/** A step on the way from gradients to updates. */
export interface Transform {
  /** The state before the first step. It is traced: `evaluate` gives it device memory. */
  init(params: Tree<Tensor>): OptimizerState;
  /**
   * Updates from gradients, or from the updates of the transformation before.
   *
   * @param grads a tree like the parameters
   * @param params what is trained; needed by those that look at it (decay, Adafactor)
   * @returns updates, f32, to be added by {@linkcode applyUpdates}, and the next state
   * @throws TypeError when trees are of different form; ShapeError when leaves are of different shape
   */
  update<P>(grads: P, state: OptimizerState, params?: P): [updates: P, state: OptimizerState];
}

/** What a transformation is made of: trees checked, and gradients in f32. */
export interface Parts {
  /** For messages. */
  readonly name: string;
  readonly init?: (params: Tree<Tensor>) => OptimizerState;
  readonly update: (
    grads: Tree<Tensor>,
    state: OptimizerState,
    params: Tree<Tensor> | undefined,
  ) => readonly [Tree<Tensor>, OptimizerState];
  /** Whether `update` reads the parameters. */
  readonly reads?: boolean;
}

/** Makes a transformation that checks what it is given. */
export function transform({ name, init, update, reads }: Parts): Transform {
  return {
    init(params) {
      tensorsOf(name, "parameter", params);
      return init?.(params) ?? {};
    },
    update<P>(grads: P, state: OptimizerState, params?: P) {
      const given = grads as Tree<Tensor>, trained = params as Tree<Tensor> | undefined;
      tensorsOf(name, "gradient", given);
      if (trained !== undefined) alike(name, given, trained);
      else if (reads) {
        throw new TypeError(`${name}: update takes the parameters as its third argument`);
      }
      const wide = mapTree<Tensor, Tensor>(given, (g) => cast(g, "f32"));
      return update(wide, state, trained) as unknown as [P, OptimizerState];
    },
  };
}

/** Refuses trees whose leaves are not all tensors of floats. */
function tensorsOf(name: string, kind: string, tree: Tree<Tensor>): void {
  for (const [path, t] of flatten<Tensor>(tree)) {
    const place = `${name}: ${kind} "${path}"`;
    if (!(t instanceof Tensor)) throw new TypeError(`${place} is ${what(t)}, not a tensor`);
    if (!isFloat(t.dtype)) throw new ShapeError(name, `${kind} "${path}" is ${show(t.spec)}`);
  }
}

/** Refuses parameters of another form or shape than gradients: broadcasting would change them. */
function alike(name: string, grads: Tree<Tensor>, params: Tree<Tensor>): void {
  tensorsOf(name, "parameter", params);
  zipTrees<Tensor, undefined>(
    ([g, p], path) => {
      if (sameShape(g.shape, p.shape)) return undefined;
      throw new ShapeError(
        name,
        `gradient "${path}" is ${show(g.spec)}, the parameter ${show(p.spec)}`,
      );
    },
    grads,
    params,
  );
}

/**
 * Parameters with updates added, each in its own element type.
 *
 * @throws TypeError when trees are of different form; ShapeError when shapes differ
 */
export function applyUpdates<P>(params: P, updates: P): P {
  const op = "applyUpdates";
  return calledAs(op, () =>
    zipTrees<Tensor, Tensor>(
      ([p, u], path) => {
        expectTensor(op, `parameter "${path}"`, p);
        expectTensor(op, `update "${path}"`, u);
        if (!sameShape(p.shape, u.shape)) {
          throw new ShapeError(
            op,
            `update "${path}" is ${show(u.spec)}, the parameter ${show(p.spec)}`,
          );
        }
        return cast(add(cast(p, "f32"), cast(u, "f32")), p.dtype);
      },
      params as Tree<Tensor>,
      updates as Tree<Tensor>,
    )) as P;
}

/**
 * A running average of trees, of trained weights for one: old·(1 − share) + fresh·share.
 *
 * @param share of what is new, a number from 0 to 1 or a scalar
 */
export function incrementalUpdate<P>(fresh: P, old: P, share: Operand): P {
  const op = "incrementalUpdate";
  const place = "argument 3 (share)";
  if (typeof share === "number") expectRange(op, place, share, (x) => x >= 0 && x <= 1, "0 to 1");
  const by = typeof share === "number" ? share : rateOf(op, place, share);
  return calledAs(op, () =>
    zipTrees<Tensor, Tensor>(
      ([a, b], path) => {
        expectTensor(op, `"${path}" of what is old`, a);
        expectTensor(op, `"${path}" of what is fresh`, b);
        return add(mul(a, typeof by === "number" ? 1 - by : sub(1, by)), mul(b, by));
      },
      old as Tree<Tensor>,
      fresh as Tree<Tensor>,
    )) as P;
}

/** Transformations one after the other: the first takes the gradients, each further one the updates before it. */
export function chain(...transforms: readonly Transform[]): Transform {
  for (const [i, t] of transforms.entries()) {
    if (typeof t?.init === "function" && typeof t.update === "function") continue;
    throw new TypeError(`chain: argument ${i + 1} is ${what(t)}, not a transformation`);
  }
  return {
    init: (params) => transforms.map((t) => t.init(params)),
    update<P>(grads: P, state: OptimizerState, params?: P) {
      const states = state as readonly OptimizerState[];
      if (!Array.isArray(state) || state.length !== transforms.length) {
        throw new TypeError(
          `chain: the state is ${what(state)}, not that of ${transforms.length} transformations`,
        );
      }
      let updates = grads;
      const next = transforms.map((t, i) => {
        const [u, s] = t.update(updates, states[i], params);
        updates = u;
        return s;
      });
      return [updates, next] as [P, OptimizerState];
    },
  };
}

/**
 * Which leaves: by a function of path and tensor, patterns of paths (`*` is one name, `**` any number of them), or a tree of
 * truth values like the parameters.
 */
export type Leaves =
  | ((path: string, t: Tensor) => boolean)
  | readonly string[]
  | { readonly [key: string]: Tree<boolean> };

/** The function of a choice of leaves, for a tree. */
export function chosen(name: string, leaves: Leaves, tree: Tree<Tensor>) {
  if (typeof leaves === "function") {
    return (path: string, t: Tensor) => theirs(() => leaves(path, t));
  }
  if (Array.isArray(leaves)) {
    expectKind(name, "the mask", leaves, listOf(TEXT));
    const paths = flatten<Tensor>(tree).map(([path]) => path);
    const idle = leaves.find((pattern) => !paths.some((path) => matches(path, pattern)));
    if (idle !== undefined) {
      throw new TypeError(`${name}: the pattern "${idle}" matches no parameter`);
    }
    return (path: string) => leaves.some((pattern) => matches(path, pattern));
  }
  if (leaves === null || typeof leaves !== "object") {
    throw new TypeError(
      `${name}: the mask is ${what(leaves)}, not a function, patterns, or a tree`,
    );
  }
  const of = new Map(flatten<boolean>(leaves as Tree<boolean>));
  return (path: string) => {
    const value = of.get(path);
    if (typeof value === "boolean") return value;
    throw new TypeError(`${name}: the mask of "${path}" is ${what(value)}, not true or false`);
  };
}

/** A transformation of some leaves; the others pass as they are, and cost no state. */
export function masked(inner: Transform, leaves: Leaves): Transform {
  const flagged = (tree: Tree<Tensor>, of: Tree<Tensor>): Tree<boolean> => {
    const is = chosen("masked", leaves, of);
    return zipTrees<Tensor, boolean>(([, like], path) => is(path, like), tree, of);
  };
  // What is left out is undefined, which trees pass over.
  const some = (tree: Tree<Tensor>, of: Tree<Tensor>): Tree<Tensor> => {
    const flags = inOrder(flagged(tree, of));
    return mapTree<Tensor, Tensor | undefined>(tree, (t) => next(flags) ? t : undefined) as Tree<
      Tensor
    >;
  };
  return {
    init: (params) => inner.init(some(params, params)),
    update<P>(grads: P, state: OptimizerState, params?: P) {
      const all = grads as Tree<Tensor>, like = (params ?? grads) as Tree<Tensor>;
      const [updates, after] = inner.update(
        some(all, like),
        state,
        params === undefined ? undefined : some(like, like),
      );
      const flags = inOrder(flagged(all, like)), moved = inOrder<Tensor>(updates);
      const merged = mapTree<Tensor, Tensor>(all, (g) => next(flags) ? next(moved) : g);
      return [merged, after] as unknown as [P, OptimizerState];
    },
  };
}

const inOrder = <L>(tree: Tree<L>): Iterator<L> => flatten<L>(tree).map(([, t]) => t).values();
const next = <L>(leaves: Iterator<L>): L => leaves.next().value;
