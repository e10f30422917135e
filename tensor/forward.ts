/**
 * The walk of forward mode, tape to tape: tangents flow from inputs to results in the order of the tape, by each op's own
 * rule, or by its derivative's derivative. Like `reverse.ts` it knows no op; `autograd/jvp.ts` is what users call.
 */
import { isFloat } from "./dtype.ts";
import { reverse } from "./reverse.ts";
import { sameShape, ShapeError, show } from "./shape.ts";
import { apply, mark, type Node, tapeOf, type Tensor, type Tools } from "./tensor.ts";

type Tangents = readonly (Tensor | undefined)[];

/**
 * Extends `tangents` to every tensor on the tape of some results that changes with those that have one: Ju.
 *
 * @param results what was computed
 * @param since nodes made before this `mark` do not depend on what has a tangent
 */
export function forward(
  results: Iterable<Tensor>,
  since: number,
  tangents: Map<Tensor, Tensor>,
  tools: Tools,
): void {
  for (const node of tapeOf(results, since)) {
    const given = node.inputs.map((t) => tangents.get(t));
    if (given.every((t) => t === undefined)) continue;
    const rule = node.op.jvp;
    const made = rule ? rule.call(node.op, given, node, tools) : transposed(given, node, tools);
    node.outputs.forEach((t, i) => {
      const tangent = made[i];
      if (!tangent || !isFloat(t.dtype)) return;
      agree(node, tangent, t);
      if (!tangents.has(t)) tangents.set(t, tangent);
    });
  }
}

/** A tangent is what it belongs to in shape and element type; another would broadcast, and be wrong without a word. */
function agree({ op }: Node, tangent: Tensor, t: Tensor): void {
  if (sameShape(tangent.shape, t.shape) && tangent.dtype === t.dtype) return;
  throw new ShapeError(`jvp of ${op.name}`, `tangent ${show(tangent.spec)} for ${show(t.spec)}`);
}

/**
 * Tangents of any op: its vjp is linear in the cotangents g, and the transpose of a transpose is the map itself. What g is
 * doesn't matter, so it is nothing.
 */
export function transposed<A>(given: Tangents, node: Node<A>, tools: Tools): Tangents {
  const since = mark();
  const g = node.outputs.map((t) => isFloat(t.dtype) ? tools.hole(t.spec) : undefined);
  const wanted = given.map((t) => t !== undefined);
  const cotangents = node.op.vjp(g, node, wanted);
  const pairs = given.flatMap((t, i) => {
    const c = cotangents[i];
    return t && c ? [[c, t] as const] : [];
  });
  const holes = g.filter((t) => t !== undefined);
  const found = reverse(pairs, holes, (a, b) => tools.add(a, b));
  const reached = new Set(tapeOf(found.filter((t) => t !== undefined), since));
  if (holes.some((t) => reached.has(t.node))) {
    throw new TypeError(
      `jvp of ${node.op.name}: its derivative depends on the cotangent other than linearly, so it has no tangent; ` +
        "reverse mode, or a jvp rule of its own, will do",
    );
  }
  return g.map((t) => t && found[holes.indexOf(t)]);
}

/** The tangent rule of an op that is linear in each of its inputs, and in all of its outputs at once. */
export function multilinear<A>(tangents: Tangents, node: Node<A>, tools: Tools): Tangents {
  const terms = tangents.flatMap((t, i) =>
    t ? [apply(node.op, node.inputs.with(i, t), node.attrs)] : []
  );
  return node.outputs.map((_, k) =>
    terms.map((outputs) => outputs[k]).reduce((a, b) => tools.add(a, b))
  );
}

/** The tangent rule of an op that is linear in the inputs that are numbers, taken together; others are ids, or a key. */
export function linear<A>(tangents: Tangents, node: Node<A>, tools: Tools): Tangents {
  const inputs = node.inputs.map((x, i) =>
    tangents[i] ?? (isFloat(x.dtype) ? tools.zeros(x.spec) : x)
  );
  return apply(node.op, inputs, node.attrs);
}

/** The tangent rule of what is constant as far as derivatives are concerned. */
export const constant = (): Tangents => [];
