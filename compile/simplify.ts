/**
 * Tape → tape: common subexpressions, identities, what is empty, and dead code. Nodes are rebuilt in order with replaced inputs; what
 * nothing reaches disappears by itself, since the tape is defined by what the results reach.
 */
import { append, type Node, tapeOf, type Tensor } from "../tensor/tensor.ts";
import { isOwn } from "../tensor/op.ts";
import { BYTES, type HostArray, viewBytes } from "../tensor/dtype.ts";
import { sameShape, show } from "../tensor/shape.ts";
import { lookUpReplaced } from "../ops/embedding/embedding.ts";
import { constantTensor, literalValue } from "../ops/leaf.ts";

/** Rewrites the results so that equal computations are shared and identities are gone. */
export function simplify(results: readonly Tensor[]): Tensor[] {
  const now = new Map<Tensor, Tensor>();
  const known = new Map<string, readonly Tensor[]>();
  const keys = new AttrKeys();
  for (const node of tapeOf(results)) {
    const inputs = node.inputs.map((t) => now.get(t)!);
    const constants = ofNothing(node);
    if (constants) {
      node.outputs.forEach((t, i) => now.set(t, constants[i]));
      continue;
    }
    const identity = identityOf(node, inputs);
    if (identity) {
      now.set(node.outputs[0], identity);
      continue;
    }
    const key = node.op.lowering.kind === "leaf" && node.op.name !== "literal"
      ? constantKey(node) ?? `#${node.id}`
      : `${node.op.name}(${inputs.map((t) => `${t.node.id}.${t.index}`)})${keys.of(node.attrs)}:${
        node.outputs[0].dtype
      }`;
    let outputs = known.get(key);
    if (!outputs) {
      const same = inputs.every((t, i) => t === node.inputs[i]);
      const lookUp = node.op.name === "embedding"
        ? lookUpReplaced(inputs[0], inputs[1])
        : undefined;
      outputs = lookUp
        ? [lookUp]
        : same
        ? node.outputs
        : append(node.op, inputs, node.attrs, node.outputs.map((o) => o.spec));
      known.set(key, outputs);
    }
    node.outputs.forEach((t, i) =>
      now.set(t, t.size || !ofSeveral(node) ? outputs[i] : emptyLike(t))
    );
  }
  return results.map((t) => now.get(t)!);
}

/** Constants up to this many elements are compared by their values; tables of a model's own are made anew at each use. */
const COMPARED = 4096;

function constantKey({ op, attrs, outputs: [{ spec, size }] }: Node): string | undefined {
  if (op.name !== "constant" || size > COMPARED) return undefined;
  const { buffer, byteOffset, byteLength } = (attrs as { data: HostArray }).data;
  // Bits, not numbers: 0 and −0 are two constants, and so are two NaNs.
  return `constant ${show(spec)}: ${new Uint8Array(buffer, byteOffset, byteLength).join()}`;
}

/**
 * What a node computes where an operand or a result is empty: constants, by its own definition (a sum of nothing is 0), which
 * no other operand changes. No kernel of the library is ever built for an empty tensor. An op of a user may read its other
 * operands all the same, and need not have a definition: where it has a result, its kernel says what that is.
 */
function ofNothing(node: Node): Tensor[] | undefined {
  const { op, inputs, attrs, outputs } = node;
  if (op.lowering.kind === "leaf" || ofSeveral(node)) return undefined;
  if (outputs.every((t) => t.size > 0) && inputs.every((t) => t.size > 0)) return undefined;
  const nothing = outputs.every((t) => t.size === 0);
  if (!nothing && isOwn(op)) return undefined;
  const values = nothing ? outputs.map(() => new Float64Array()) : op.reference(
    inputs.map((t) => new Float64Array(t.size)),
    inputs.map((t) => t.spec),
    attrs,
    outputs.map((t) => t.spec),
  );
  return outputs.map(({ spec, size }, i) => {
    const data = viewBytes(spec.dtype, new ArrayBuffer(size * BYTES[spec.dtype]), size);
    data.set(values[i]);
    return constantTensor(data, spec);
  });
}

/** Whether a node is of more than what happens to be empty among its inputs: a loop, or what repeats several tensors. */
const ofSeveral = ({ op: { lowering: { kind } }, inputs }: Node): boolean =>
  kind === "loop" || (kind === "alias" && inputs.length > 1);

const emptyLike = ({ spec }: Tensor): Tensor =>
  constantTensor(viewBytes(spec.dtype, new ArrayBuffer(0), 0), spec);

/** The input that a node merely repeats, if it does. */
function identityOf(node: Node, inputs: readonly Tensor[]): Tensor | undefined {
  const out = node.outputs[0];
  const keeps = (t: Tensor | undefined) =>
    t && sameShape(t.shape, out.shape) && t.dtype === out.dtype ? t : undefined;
  const is = (i: number, v: number) => Object.is(scalarValue(inputs[i]), v);
  switch (node.op.name) {
    // x + 0 is not x where x is −0; x − 0 and x + −0 are.
    case "add":
      return is(1, -0) ? keeps(inputs[0]) : is(0, -0) ? keeps(inputs[1]) : undefined;
    case "sub":
      return is(1, 0) ? keeps(inputs[0]) : undefined;
    case "mul":
      return is(1, 1) ? keeps(inputs[0]) : is(0, 1) ? keeps(inputs[1]) : undefined;
    case "div":
      return is(1, 1) ? keeps(inputs[0]) : undefined;
    case "reshape":
    // What they hold back or set apart was for derivatives, which have been taken.
    case "variable":
    case "stopGradient":
    case "cutGradient":
      return keeps(inputs[0]);
    default:
      return undefined;
  }
}

/** The literal behind a broadcast, if that is what the tensor is. */
function scalarValue(t: Tensor): number | undefined {
  while (t.node.op.name === "expand" || t.node.op.name === "reshape") t = t.node.inputs[0];
  return literalValue(t);
}

/**
 * Attributes as strings; typed arrays, functions and objects without a plain form count as equal only to themselves. JSON has
 * one word for ±∞ and NaN, and none for −0.
 */
class AttrKeys {
  readonly #ids = new Map<object, number>();
  of(attrs: unknown): string {
    return attrs === undefined ? "" : JSON.stringify(attrs, (_k, v) => {
      if (typeof v === "number" && (!Number.isFinite(v) || Object.is(v, -0))) {
        return `number ${Object.is(v, -0) ? "-0" : v}`;
      }
      if (typeof v === "string") return `"${v}`;
      if (v === undefined) return "undefined";
      if (v === null || (typeof v !== "object" && typeof v !== "function")) return v;
      if (Array.isArray(v) || Object.getPrototypeOf(v) === Object.prototype) return v;
      let id = this.#ids.get(v);
      if (id === undefined) this.#ids.set(v, id = this.#ids.size);
      return `#${id}`;
    });
  }
}
