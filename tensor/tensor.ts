/**
 * The tape. An op is a function; calling it appends a {@linkcode Node} and nothing runs. Nodes carry increasing ids, so
 * "the tape" of some results is simply every node they reach, sorted by id: the one program representation that
 * reverse mode walks, and that `compile/` simplifies, fuses, plans and replays.
 */
import type { DType } from "./dtype.ts";
import { checkShape, type Shape, sizeOf, type Spec } from "./shape.ts";
import type { View } from "./view.ts";
import type { KernelContext, KernelPlan } from "./kernel.ts";

/** Static attributes of an op: plain data (numbers, strings, arrays), hashed for common subexpressions. */
export type Attrs = Readonly<Record<string, unknown>>;

/** How an op is computed on the device. */
export type Lowering<A> =
  /** A value that exists before the program runs: an argument, a constant. */
  | { readonly kind: "leaf" }
  /** The output is the first input's storage under another name: no work. */
  | { readonly kind: "alias" }
  /** The output is the first input seen through other strides: fused into whatever reads it. */
  | { readonly kind: "view"; readonly view: (input: View, attrs: A) => View | undefined }
  /** One expression per element; inputs all have the output's shape. Fused freely. */
  | {
    readonly kind: "map";
    readonly expression: (args: readonly string[], attrs: A, w: Wgsl) => string;
  }
  /** A sum or maximum over axes; reads its input through a fused expression. */
  | { readonly kind: "reduce" }
  /** Kernels of its own. With `epilogue`, elementwise work on output 0 is done where the value is stored. */
  | {
    readonly kind: "kernel";
    readonly epilogue: boolean;
    readonly build: (ctx: KernelContext<A>) => KernelPlan;
  };

/** Names of WGSL types at the vector width in use, for `map` expressions. */
export interface Wgsl {
  /** The type holding one step of values: `f32`, `vec4<f32>`, … */
  type(dtype: "f32" | "i32" | "u32"): string;
  /** Type of the output's elements in arithmetic (`f16` computes as `f32`). */
  readonly out: "f32" | "i32" | "u32";
  /** The number that an argument is known to be, if it is one: some compilers reckon with those against IEEE. */
  literal(argument: number): number | undefined;
  /** One step of a number, which may be infinite, of the output's type in arithmetic. */
  number(value: number): string;
  /** Names an intermediate value that the expression uses more than once. */
  let(value: string): string;
}

/** One op. `A` is the type of its static attributes. */
export interface Op<A = unknown> {
  readonly name: string;
  /** Output specs, or a `ShapeError` naming the op, the shapes and what was expected. */
  shape(inputs: readonly Spec[], attrs: A): readonly Spec[];
  /**
   * Cotangents of the inputs, for the wanted ones only, written with ops so that higher derivatives come free.
   * `g[i]` is the cotangent of output `i`, or undefined where it is zero (a symbolic zero).
   */
  vjp(
    g: readonly (Tensor | undefined)[],
    node: Node<A>,
    wanted: readonly boolean[],
  ): readonly (Tensor | undefined)[];
  /** The definition, in float64, as plainly as it can be written. Flat row-major arrays in and out. */
  reference(
    inputs: readonly Float64Array[],
    specs: readonly Spec[],
    attrs: A,
    out: readonly Spec[],
  ): readonly Float64Array[];
  readonly lowering: Lowering<A>;
}

/** One application of an op. */
export interface Node<A = unknown> {
  readonly id: number;
  readonly op: Op<A>;
  readonly inputs: readonly Tensor[];
  readonly attrs: A;
  readonly outputs: readonly Tensor[];
}

/** A value of the program: output `index` of a node. Immutable; holds no memory of its own. */
export class Tensor {
  /** @internal What makes it. */
  readonly node: Node;
  /** @internal Ops make tensors. */
  constructor(
    node: Node,
    /** @internal Which of the node's outputs it is. */
    readonly index: number,
    /** Shape and element type. */
    readonly spec: Spec,
  ) {
    this.node = node;
  }
  /** Extents, outermost first. */
  get shape(): Shape {
    return this.spec.shape;
  }
  /** Element type. */
  get dtype(): DType {
    return this.spec.dtype;
  }
  /** Number of elements. */
  get size(): number {
    return sizeOf(this.spec.shape);
  }
}

let nextId = 0;

/** The id that the next node will get; nodes made later have ids at least this large. */
export const mark = (): number => nextId;

/** Applies an op: checks shapes by the op's own rule, and appends the node. */
export function apply<A>(op: Op<A>, inputs: readonly Tensor[], attrs: A): Tensor[] {
  const specs = op.shape(inputs.map((t) => t.spec), attrs);
  for (const { shape } of specs) checkShape(op.name, shape);
  return append(op, inputs, attrs, specs);
}

/** Appends a node whose output specs are known already (clones, rewrites). */
export function append<A>(
  op: Op<A>,
  inputs: readonly Tensor[],
  attrs: A,
  specs: readonly Spec[],
): Tensor[] {
  const outputs: Tensor[] = [];
  const node: Node<A> = { id: nextId++, op, inputs, attrs, outputs };
  for (const [i, spec] of specs.entries()) outputs.push(new Tensor(node as Node, i, spec));
  return outputs;
}

/**
 * Every node that the results depend on, in the order in which they were made.
 * With `since`, only nodes made at or after that {@linkcode mark}.
 */
export function tapeOf(results: Iterable<Tensor>, since = 0): Node[] {
  const seen = new Set<Node>();
  const stack: Node[] = [];
  for (const t of results) stack.push(t.node);
  while (stack.length) {
    const node = stack.pop()!;
    if (seen.has(node) || node.id < since) continue;
    seen.add(node);
    for (const t of node.inputs) stack.push(t.node);
  }
  return [...seen].sort((a, b) => a.id - b.id);
}
