/**
 * What a program that is run once has in common with others: its ops, their attributes and the shapes of what they are
 * applied to. Values are left out, so that `mul(x, rate)` is one program whatever the rate is: numbers and constants become
 * arguments, as what lies on the device does.
 */
import { append, type Node, tapeOf, type Tensor } from "../../tensor/tensor.ts";
import type { HostArray } from "../../tensor/dtype.ts";
import { ARRAYS } from "../../tensor/dtype.ts";
import { constantValues, input, literalValue, withoutMemory } from "../../ops/leaf.ts";

/** A tape with its values apart. */
export interface Split {
  /** What two tapes have the same of if one program serves both; undefined for what only it can use. */
  readonly key: string | undefined;
  readonly nodes: readonly Node[];
  /** What lies on the device, in order. */
  readonly arrays: readonly Tensor[];
  /** Values on the host, in order: those of the tensors of {@linkcode hosted}. */
  readonly hosted: readonly Tensor[];
}

/**
 * Takes the tape of some results apart.
 *
 * @throws TypeError when they are made of the arguments of a function that is being traced
 */
export function split(results: readonly Tensor[], prefix: string): Split {
  const nodes = tapeOf(results);
  const places = new Map<Node, number>();
  const arrays: Tensor[] = [];
  const hosted: Tensor[] = [];
  let key: string | undefined = prefix;
  for (const node of nodes) {
    const { op, inputs, outputs, attrs } = node;
    places.set(node, places.size);
    if (op.lowering.kind === "leaf") {
      if (op.name === "input") refuseLeaked(nodes);
      const [t] = outputs;
      (op.name === "array" ? arrays : hosted).push(t);
      if (key !== undefined) key += `${op.name === "array" ? "@" : "#"}${t.dtype}[${t.shape}]`;
      continue;
    }
    if (key === undefined) continue;
    const how = attributes(attrs), text = op.text ? op.text(node) : "";
    if (how === undefined || text === undefined) {
      key = undefined;
      continue;
    }
    key += `${op.name}${text}(`;
    for (const t of inputs) key += `${places.get(t.node)}.${t.index},`;
    key += `${how})${outputs.map(({ dtype, shape }) => `${dtype}[${shape}]`)}`;
  }
  if (key !== undefined) { for (const t of results) key += `=${places.get(t.node)}.${t.index}`; }
  return { key, nodes, arrays, hosted };
}

/** Attributes as text; undefined where something in them is equal only to itself. */
function attributes(x: unknown): string | undefined {
  switch (typeof x) {
    case "number":
      return Object.is(x, -0) ? "-0" : String(x);
    case "string":
      return JSON.stringify(x);
    case "undefined":
    case "boolean":
      return String(x);
    case "object":
      break;
    default:
      return undefined;
  }
  if (x === null) return "null";
  const list = Array.isArray(x);
  if (!list && Object.getPrototypeOf(x) !== Object.prototype) return undefined;
  let text = list ? "[" : "{";
  for (const name in x) {
    const part = attributes((x as Record<string, unknown>)[name]);
    if (part === undefined) return undefined;
    text += list ? `${part},` : `${JSON.stringify(name)}:${part},`;
  }
  return text + (list ? `${(x as unknown[]).length}]` : "}");
}

/** The same tape with an argument in place of every value: arrays first, then what the host has. */
export function lift(
  results: readonly Tensor[],
  { nodes, arrays, hosted }: Split,
): { readonly inputs: readonly Tensor[]; readonly results: readonly Tensor[] } {
  const leaves = [...arrays, ...hosted];
  const inputs = leaves.map((t, i) => input(t.spec, i));
  const now = new Map(leaves.map((t, i) => [t, inputs[i]]));
  for (const { op, inputs, attrs, outputs } of nodes) {
    if (op.lowering.kind === "leaf") continue;
    const made = append(op, inputs.map((t) => now.get(t)!), attrs, outputs.map((t) => t.spec));
    outputs.forEach((t, i) => now.set(t, made[i]));
  }
  return { inputs, results: results.map((t) => now.get(t)!) };
}

/** The values of a constant or a number. */
export function hostValuesOf(t: Tensor): HostArray {
  const value = literalValue(t);
  return value === undefined ? constantValues(t)! : ARRAYS[t.dtype].of(value);
}

/**
 * Refuses results that are made of the arguments of a trace, which hold nothing once that is over.
 *
 * @param own the arguments of the tape's own trace
 */
export function refuseLeaked(tape: readonly Node[], own: ReadonlySet<Node> = new Set()): void {
  const leaked = tape.find((n) => n.op.name === "input" && !own.has(n));
  if (!leaked) return;
  const t = leaked.outputs[0];
  const used = tape.find((n) => n.inputs.includes(t));
  throw new TypeError(
    `${used ? `an input of ${used.op.name}` : "a result"} is ${withoutMemory(t)}`,
  );
}
