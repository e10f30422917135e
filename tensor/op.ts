/**
 * What an op is: one record, in one place. TypeScript refuses a record that lacks a part, so a new op cannot be added
 * without its shape rule, its derivative, its float64 reference and its kernel.
 */
import type { Spec } from "./shape.ts";
import type { Node, Tensor } from "./tensor.ts";
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

const registry = new Map<string, Op<unknown>>();

/** Registers an op under its name. There is one registry; a second op of the same name is a programming error. */
export function defineOp<A>(op: Op<A>): Op<A> {
  if (registry.has(op.name)) throw new Error(`op "${op.name}" is defined twice`);
  registry.set(op.name, op as Op<unknown>);
  return op;
}

/** Every op there is, by name: what the tests sweep over. */
export const ops = (): ReadonlyMap<string, Op<unknown>> => registry;
