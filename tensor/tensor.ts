/**
 * The tape. An op is a function; calling it appends a {@linkcode Node} and nothing runs. Nodes carry increasing ids, so
 * "the tape" of some results is simply every node they reach, sorted by id: the one program representation that
 * reverse mode walks, and that `compile/` simplifies, fuses, plans and replays.
 */
import type { DType } from "./dtype.ts";
import { checkShape, type Shape, show, sizeOf, type Spec } from "./shape.ts";
import { what } from "./what.ts";
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
    /** Element types of its operands. */
    readonly takes: readonly DType[];
    readonly expression: (args: readonly string[], attrs: A, w: Wgsl) => string;
  }
  /** A fold over axes, which stay at extent 1; reads its input through a fused expression. */
  | { readonly kind: "reduce"; readonly join: "sum" | "prod" | "max" | "min" }
  /** A part of the tape that is run some number of times. */
  | { readonly kind: "loop"; readonly loop: (attrs: A) => Loop }
  /** Kernels of its own. With `epilogue`, elementwise work on output 0 is done where the value is stored. */
  | {
    readonly kind: "kernel";
    readonly epilogue: boolean;
    readonly build: (ctx: KernelContext<A>) => KernelPlan;
  };

/**
 * A loop: `body` computes, from carries, an element of each of some stacks, and whatever else it reads, the next carries and an
 * element of each result. The op's inputs are the first carries, the stacks, and the rest of the body's inputs in their order; its outputs the
 * last carries, the results' stacks, and a stack of each carry as it was before every turn.
 */
export interface Loop {
  /** What is read from outside, the carries and an element of each stack first, and what is given. */
  readonly body: { readonly boundary: readonly Tensor[]; readonly results: readonly Tensor[] };
  readonly turns: number;
  /** How many carries and stacks there are. */
  readonly carries: number;
  readonly stacks: number;
  /** Whether the stacks are walked from their ends. */
  readonly reverse: boolean;
}

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

/** What the walks over a tape need of the ops, which stand above them (`ops/tools.ts`). */
export interface Tools {
  /** The sum of two tensors of one shape. */
  add(a: Tensor, b: Tensor): Tensor;
  /** Broadcasts, adding leading axes. */
  expand(x: Tensor, shape: Shape): Tensor;
  /** A leaf without a value: what a function is traced with. */
  hole(spec: Spec): Tensor;
  /** A tensor of zeros. */
  zeros(spec: Spec): Tensor;
}

/** What a batch rule is given: a node as it was traced for one example, and its inputs for all examples. */
export interface Batch<A = unknown> {
  /** The op, its attributes, and its inputs and outputs as they are for one example. */
  readonly node: Node<A>;
  /** How many examples there are: at least one. */
  readonly size: number;
  /** The inputs. Those that differ from example to example have one more axis, in front; at least one has. */
  readonly inputs: readonly Tensor[];
  /** Which inputs differ from example to example. */
  readonly batched: readonly boolean[];
  /** Input `i` with the axis of the examples in front, along which it repeats where all have the same. */
  wide(i: number): Tensor;
  /** All inputs as {@linkcode wide} gives them. */
  all(): Tensor[];
  /** The rule of a composition that computes the same as the op: for cases that a rule can't do better. */
  through(f: (inputs: readonly Tensor[]) => readonly Tensor[]): Tensor[];
}

/** One op. `A` is the type of its static attributes. */
export interface Op<A = unknown> {
  /** What messages call it; no two ops have the same. */
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
  /**
   * The outputs for all examples of a batch at once, each with an axis for the examples in front: what `vmap` walks with.
   * `tensor/batch.ts` has the common ones: of ops that treat leading axes alike, and of leaves.
   */
  batch(b: Batch<A>): readonly Tensor[];
  /**
   * Tangents of the outputs given those of the inputs, undefined where they are zero: what `jvp` walks with. Left out, it is
   * the derivative's derivative, which is right for every op; `tensor/forward.ts` has the rule of linear ones.
   */
  jvp?(
    tangents: readonly (Tensor | undefined)[],
    node: Node<A>,
    tools: Tools,
  ): readonly (Tensor | undefined)[];
  /** The definition, in float64, as plainly as it can be written. Flat row-major arrays in and out. */
  reference(
    inputs: readonly Float64Array[],
    specs: readonly Spec[],
    attrs: A,
    out: readonly Spec[],
  ): readonly Float64Array[];
  /** @internal How it is computed. */
  readonly lowering: Lowering<A>;
  /**
   * @internal What of its kernels comes from elsewhere than its attributes and specs, as text: where it differs, so do programs.
   * Undefined where there is none to be had: no other program is as this one.
   */
  readonly text?: (node: Node<A>) => string | undefined;
  /** Of a leaf: what there is to see of its value, as it is printed behind the spec. */
  readonly describe?: (attrs: A, spec: Spec) => string;
}

/** One application of an op. */
export interface Node<A = unknown> {
  /** @internal Its place on the tape. */
  readonly id: number;
  /** What is applied. */
  readonly op: Op<A>;
  /** What it is applied to. */
  readonly inputs: readonly Tensor[];
  /** Static attributes. */
  readonly attrs: A;
  /** What it gives. */
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

  /** Element type, shape, and its values where they are on the host; else where they are. In one line. */
  toString(): string {
    const { op, attrs } = this.node;
    const seen = op.describe?.(attrs, this.spec) ?? `(result of ${op.name}, not computed yet)`;
    return `${show(this.spec)} ${seen}`;
  }
  /** How Deno prints it. */
  [Symbol.for("Deno.customInspect")](): string {
    return this.toString();
  }
  /** How Node prints it. */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }
  /**
   * Text where text is asked for.
   *
   * @throws TypeError where a number is: arithmetic is done by ops
   */
  [Symbol.toPrimitive](hint: string): string {
    if (hint !== "string") this.#refuse("a number");
    return this.toString();
  }
  /**
   * A tensor is no number.
   *
   * @throws TypeError always
   */
  valueOf(): never {
    this.#refuse("a number");
  }
  /**
   * What a tensor holds has to be waited for, so there is no JSON of it.
   *
   * @throws TypeError always
   */
  toJSON(): never {
    this.#refuse("JSON");
  }
  #refuse(as: string): never {
    throw new TypeError(
      `the tensor ${show(this.spec)} is used as ${as}. Its values have to be waited for: ` +
        "await device.read(t) gives them, await device.item(t) the one of a scalar. " +
        "Arithmetic is add(a, b), mul(a, b), …; text is String(t)",
    );
  }

  static {
    // Beside the declared members, so that spreading one is an error already when it is type-checked.
    Object.defineProperty(this.prototype, Symbol.iterator, {
      value(this: Tensor) {
        this.#refuse("a list");
      },
    });
  }
}

let nextId = 0;

/** The id that the next node will get; nodes made later have ids at least this large. */
export const mark = (): number => nextId;

/** Applies an op: checks shapes by the op's own rule, and appends the node. */
export function apply<A>(op: Op<A>, inputs: readonly Tensor[], attrs: A): Tensor[] {
  inputs.forEach((t, i) => expectTensor(op.name, `argument ${i + 1}`, t));
  const specs = op.shape(inputs.map((t) => t.spec), attrs);
  for (const { shape } of specs) checkShape(op.name, shape);
  return append(op, inputs, attrs, specs);
}

/**
 * Refuses what is no tensor.
 *
 * @param op the function that was called, as its user knows it
 * @param place which argument it is
 * @param also what else would have been taken
 * @throws TypeError that names the function, the argument, what it is and what to do
 */
export function expectTensor(
  op: string,
  place: string,
  x: unknown,
  also = "",
): asserts x is Tensor {
  if (x instanceof Tensor) return;
  throw new TypeError(`${op}: ${place} is ${what(x)}, not a tensor${also}${remedy(x)}`);
}

/** What to do about a value that should have been a tensor. */
function remedy(x: unknown): string {
  if (x === undefined || x === null) return ": was it left out, or is its name misspelt?";
  if (typeof x === "number" || typeof x === "boolean") return ": scalar(x) makes one of it";
  if (typeof (x as PromiseLike<unknown>).then === "function") return "";
  if (Array.isArray(x) && x.some((v) => v instanceof Tensor)) return ": pass them one by one";
  if (typeof x !== "object") return "";
  if (Array.isArray(x) || ArrayBuffer.isView(x)) return ": tensor(values, shape) makes one of it";
  if (x.constructor?.name === "Tensor") return " of this copy of the library: import it once";
  return typeof x === "object" ? ": pass one of its parts" : "";
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
