/**
 * Fused expressions: a tree of elementwise ops whose leaves are views of buffers. It is what the fuser builds, what
 * epilogues carry, and what `emit.ts` turns into WGSL.
 */
import type { Node, Tensor } from "../tensor/tensor.ts";
import type { DType } from "../tensor/dtype.ts";
import { sameShape, type Shape, sizeOf } from "../tensor/shape.ts";
import { contiguous, isContiguous, reshapeView, type View } from "../tensor/view.ts";

/** A value per element of some index space. */
export type Expr =
  | { readonly kind: "load"; readonly tensor: Tensor; readonly view: View }
  | { readonly kind: "literal"; readonly value: number; readonly dtype: DType }
  | { readonly kind: "map"; readonly node: Node; readonly args: readonly Expr[] }
  /** The value that a kernel is about to store: only inside epilogues. */
  | { readonly kind: "hole"; readonly dtype: DType };

export type Load = Extract<Expr, { kind: "load" }>;

/** Reading a buffer from front to back, seen as `shape`. */
export const loadWhole = (tensor: Tensor, shape: Shape): Load => ({
  kind: "load",
  tensor,
  view: contiguous(shape),
});

/** The loads of expressions that were asked for before: fusing asks at every step of a chain. */
const known = new WeakMap<Expr, readonly Load[]>();

/** Every distinct load in the expressions, in order of first use. */
export function loadsOf(roots: readonly Expr[]): readonly Load[] {
  if (roots.length !== 1) return [...new Set(roots.flatMap((e) => loadsOf([e])))];
  const [e] = roots;
  if (e.kind !== "map") return e.kind === "load" ? [e] : [];
  let loads = known.get(e);
  if (!loads) known.set(e, loads = loadsOf(e.args));
  return loads;
}

/** Every distinct elementwise operation in the expressions, each after its operands. */
export function operationsOf(roots: readonly Expr[]): Extract<Expr, { kind: "map" }>[] {
  const seen = new Set<Expr>();
  const found: Extract<Expr, { kind: "map" }>[] = [];
  const visit = (e: Expr) => {
    if (e.kind !== "map" || seen.has(e)) return;
    seen.add(e);
    e.args.forEach(visit);
    found.push(e);
  };
  roots.forEach(visit);
  return found;
}

/** Rebuilds the expression with every load replaced; undefined as soon as one cannot be. Shared parts stay shared. */
export function rewrite(root: Expr, change: (load: Load) => Expr | undefined): Expr | undefined {
  const done = new Map<Expr, Expr | undefined>();
  const visit = (e: Expr): Expr | undefined => {
    if (done.has(e)) return done.get(e);
    let out: Expr | undefined = e;
    if (e.kind === "load") out = change(e);
    else if (e.kind === "map") {
      const args = e.args.map(visit);
      const changed = args.some((a, i) => a !== e.args[i]);
      out = args.some((a) => a === undefined)
        ? undefined
        : changed
        ? { ...e, args: args as Expr[] }
        : e;
    }
    done.set(e, out);
    return out;
  };
  return visit(root);
}

/** Elementwise work commutes with index changes that add no padding: applies one to every load. */
export function withView(root: Expr, change: (v: View) => View | undefined): Expr | undefined {
  return rewrite(root, (load) => {
    const view = change(load.view);
    return view === load.view ? load : view && { ...load, view };
  });
}

/** The same elements in order, seen as another shape. */
export const reshaped = (root: Expr, shape: Shape): Expr | undefined =>
  withView(root, (v) => sameShape(v.shape, shape) ? v : reshapeView(v, shape));

/** The buffer that the expression reads from front to back, if that is all it does. */
export function wholeBuffer(e: Expr): Tensor | undefined {
  return e.kind === "load" && isContiguous(e.view) && sizeOf(e.view.shape) === e.tensor.size
    ? e.tensor
    : undefined;
}
