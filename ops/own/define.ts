/**
 * Ops of a user's own, as those of the library are: a shape rule, WGSL, and rules for derivatives and batches, of which each is
 * looked at when it is used. What is left out is refused by the op's name where it is needed.
 */
import { apply, type Batch, expectTensor, type Node, type Tensor } from "../../tensor/tensor.ts";
import { expectFunction, expectOptions } from "../../tensor/arguments.ts";
import { alike } from "../../tensor/batch.ts";
import { arithmetic } from "../../tensor/dtype.ts";
import { inMemory, type Spec } from "../../tensor/shape.ts";
import { what } from "../../tensor/what.ts";
import { MissingRule, type Op, ownName, type Tools, type Wgsl } from "../../tensor/op.ts";
import { mapOp } from "../elementwise/define.ts";
import { applyMap, type Operand } from "../elementwise/map.ts";
import {
  nameOf,
  namesOf,
  referenceOf,
  some,
  specsOf,
  split,
  tensorList,
  textOf,
  undefinedReference,
  underived,
  vjpOf,
} from "./checks.ts";
import {
  type ElementCode,
  type OwnContext,
  type PassesKernel,
  planOfElement,
  planOfPasses,
} from "./kernel.ts";

/** Static attributes of an op of your own: numbers, texts, truth values, and lists and plain objects of them. */
export type OwnAttrs = undefined | { readonly [key: string]: unknown };

/** The record of an op with a kernel of its own, for {@linkcode defineOp}. */
export interface OwnOp<A = undefined> {
  /** What messages and `explain` call it; none of the library's own names. */
  readonly name: string;
  /** Names of the inputs: arrays by which the kernel reads them. */
  readonly inputs: readonly string[];
  /** Names of the outputs: arrays that {@linkcode kernel} writes. Left out, there is one, `out`, and the op gives a tensor and no list. */
  readonly outputs?: readonly string[];
  /** Shapes and element types of the outputs, or an error that says what is wrong with the inputs. */
  readonly shape: (inputs: readonly Spec[], attrs: A) => Spec | readonly Spec[];
  /**
   * WGSL that returns element `i` of the output. What follows the op is computed where that is stored. Kernels see bool as u32,
   * and give 0 or 1 for it.
   */
  readonly element?: (ctx: OwnContext<A>) => string | ElementCode;
  /** In place of {@linkcode element}: WGSL that writes the outputs, in one pass over items or several. */
  readonly kernel?: (ctx: OwnContext<A>) => PassesKernel;
  /**
   * Cotangents of the inputs, a list of one each, written with ops: `undefined` where zero, or not `wanted`. `g[k]` is the
   * cotangent of output `k`, undefined where zero. `null` for an op whose derivative is zero. Left out, to differentiate the op
   * is an error.
   */
  readonly vjp?: Op<A>["vjp"] | null;
  /** Tangents of the outputs. Left out, `vjp` is transposed. */
  readonly jvp?: Op<A>["jvp"];
  /**
   * The op for many examples: `"alike"` where any number of leading axes is treated alike, so that the op itself computes
   * them; or a rule that gives each output with an axis of the examples in front. Left out, to map the op is an error.
   */
  readonly batch?: "alike" | Op<A>["batch"];
  /** The definition in float64, with flat arrays: `debugRun` compares with it. */
  readonly reference?: Op<A>["reference"];
}

/** The record of an elementwise op, for {@linkcode defineMap}. */
export interface OwnMap<A = undefined> {
  /** What messages and `explain` call it; none of the library's own names. */
  readonly name: string;
  /** How many operands it has. */
  readonly arity: number;
  /**
   * WGSL of one step of values: a number, or a vector of four, so constants are written `w.number(2)`. `w.let(value)` names what
   * is used more than once. Floats are computed in f32.
   */
  readonly expression: (args: readonly string[], attrs: A, w: Wgsl) => string;
  /** Cotangent of each operand given the result's, the operands and the result; `null` where zero. Left out, to differentiate is an error. */
  readonly vjp?:
    readonly (((g: Tensor, x: readonly Tensor[], y: Tensor, attrs: A) => Tensor) | null)[];
  /** Element types that it takes beside floats: `signed` has i32, `integers` i32, u32, and bool as u32. Default none. */
  readonly takes?: "signed" | "integers";
  /** The same in float64. */
  readonly reference?: (args: readonly number[], attrs: A) => number;
}

/** Arguments of an op of your own: inputs, and attributes behind them where it has any. */
export type OwnArguments<T, A> = A extends undefined ? T[] : [...T[], A];

/** An op of your own: its inputs, then its attributes where it has any. */
export type OneOut<A = undefined> = (...args: OwnArguments<Tensor, A>) => Tensor;
/** An op of your own with several outputs. */
export type ManyOut<A = undefined> = (...args: OwnArguments<Tensor, A>) => Tensor[];

/**
 * An op with a kernel of your own.
 *
 * ```ts ignore
 * const shifted = defineOp({
 *   name: "shifted",
 *   inputs: ["x"],
 *   shape: ([x]) => x,
 *   element: () => "return x[max(i, 1u) - 1u];",
 *   vjp: null,
 * });
 * ```
 *
 * @returns the op as a function of its inputs, and of attributes behind them. Called, it throws TypeError when an input is no
 *   tensor, the attributes are no plain data, or a rule gave something else than it should, and ShapeError as its shape rule does
 * @throws TypeError when the record lacks a part, or has one that there is not
 */
export function defineOp<A extends OwnAttrs = undefined>(
  record: OwnOp<A> & { readonly outputs: readonly string[] },
): ManyOut<A>;
/** An op of one output. */
export function defineOp<A extends OwnAttrs = undefined>(record: OwnOp<A>): OneOut<A>;
export function defineOp<A extends OwnAttrs = undefined>(
  record: OwnOp<A>,
): (...args: OwnArguments<Tensor, A>) => Tensor | Tensor[] {
  expectOptions("defineOp", 0, record, {
    name: "any",
    inputs: "any",
    outputs: "any",
    shape: "function",
    element: "function",
    kernel: "function",
    vjp: "any",
    jvp: "function",
    batch: "any",
    reference: "function",
  });
  const name = nameOf("defineOp", record);
  const who = `defineOp of "${name}"`;
  const names = {
    inputs: namesOf(who, "inputs", record.inputs),
    outputs: record.outputs === undefined ? ["out"] : namesOf(who, "outputs", record.outputs),
  };
  const all = [...names.inputs, ...names.outputs];
  const twice = all.find((n, i) => all.indexOf(n) !== i);
  if (twice) throw new TypeError(`${who}: two arrays are called "${twice}"`);
  expectFunction(who, 0, "shape", record.shape);
  const { vjp, batch, jvp, element, kernel } = record;
  if (!element === !kernel) {
    throw new TypeError(
      `${who}: it takes either an element or a kernel, not ${element ? "both" : "none"}`,
    );
  }
  if (element && names.outputs.length > 1) {
    throw new TypeError(`${who}: an element is of one output; a kernel writes several`);
  }
  if (vjp) expectFunction(who, 0, "vjp", vjp);
  if (batch !== undefined && batch !== "alike") expectFunction(who, 0, "batch", batch);
  const op: Op<A> = {
    name: ownName(name),
    shape: (inputs, attrs) => specsOf(name, names.outputs, record.shape(inputs, attrs)),
    vjp: vjpOf(name, vjp),
    batch: (b: Batch<A>) => {
      if (batch === "alike") return alike(b);
      if (batch) {
        return tensorList(`the batch rule of op "${name}"`, batch(b), names.outputs.length);
      }
      throw new MissingRule(
        `vmap: op "${name}" has no batch rule: say batch: "alike" if leading axes are all treated alike, or give a rule`,
      );
    },
    ...jvp && {
      jvp: (tangents: readonly (Tensor | undefined)[], node: Node<A>, tools: Tools) =>
        some(`the jvp of op "${name}"`, jvp(tangents, node, tools), names.outputs.length),
    },
    reference: referenceOf(name, record.reference),
    text: ({ inputs, outputs, attrs }) =>
      textOf(() =>
        (element ?? kernel)!({
          inputs: inputs.map((t) => inMemory(t.spec)),
          outputs: outputs.map((t) => inMemory(t.spec)),
          attrs,
        })
      ),
    lowering: {
      kind: "kernel",
      epilogue: element !== undefined,
      build: (ctx) =>
        element
          ? planOfElement(name, names, element(ctx), ctx)
          : planOfPasses(name, names, kernel!(ctx), ctx),
    },
  };
  return (...args: OwnArguments<Tensor, A>) => {
    const [inputs, attrs] = split(name, names.inputs, args as readonly unknown[]);
    const results = apply(op, inputs as Tensor[], attrs as A);
    return record.outputs === undefined ? results[0] : results;
  };
}

/**
 * An elementwise op of your own: it broadcasts, takes numbers as operands, and is fused with what stands around it. It needs no
 * shape rule and no batch rule, and its tangent rule is its derivative.
 *
 * ```ts ignore
 * const cube = defineMap({
 *   name: "cube",
 *   arity: 1,
 *   expression: ([x]) => `(${x} * ${x} * ${x})`,
 *   vjp: [(g, [x]) => mul(g, mul(square(x), 3))],
 * });
 * ```
 *
 * @returns the op as a function of its operands, and of attributes behind them
 * @throws TypeError when the record lacks a part, or has one that there is not
 */
export function defineMap<A extends OwnAttrs = undefined>(
  record: OwnMap<A>,
): (...args: OwnArguments<Operand, A>) => Tensor {
  expectOptions("defineMap", 0, record, {
    name: "any",
    arity: "number",
    expression: "function",
    vjp: "any",
    takes: "any",
    reference: "function",
  });
  const name = nameOf("defineMap", record);
  const who = `defineMap of "${name}"`;
  const { arity, vjp, takes, reference } = record;
  if (!Number.isInteger(arity) || arity < 1) {
    throw new TypeError(`${who}: its arity is ${what(arity)}`);
  }
  expectFunction(who, 0, "expression", record.expression);
  if (takes !== undefined && takes !== "signed" && takes !== "integers") {
    throw new TypeError(`${who}: takes is ${what(takes)}, not "signed" or "integers"`);
  }
  if (vjp !== undefined && (!Array.isArray(vjp) || vjp.length !== arity)) {
    throw new TypeError(
      `${who}: vjp is ${what(vjp)}, not a list of ${arity}, a rule for each operand`,
    );
  }
  const refused = () => underived(name);
  const rules = vjp ?? Array.from({ length: arity }, () => refused);
  const mapped = mapOp<A>({
    name: ownName(name),
    arity,
    expression: (args, attrs, w) => {
      const text: unknown = record.expression(args, attrs, w);
      if (typeof text === "string" && text.trim()) return text;
      throw new TypeError(`the expression of op "${name}" is ${what(text)}, not WGSL`);
    },
    vjp: rules.map((rule, i) => {
      if (rule === null) return null;
      expectFunction(who, 0, `vjp[${i}]`, rule);
      return (g, x, y, attrs) => {
        const t: unknown = rule(g, x, y, attrs);
        expectTensor(`the vjp of op "${name}"`, `cotangent ${i + 1}`, t);
        return t;
      };
    }),
    takes,
    reference: reference ?? (() => undefinedReference(name)),
  });
  const op: Op<A> = {
    ...mapped,
    text: ({ inputs, outputs: [{ dtype }], attrs }) =>
      textOf(() => {
        const named: string[] = [];
        const text = record.expression(inputs.map((_, i) => `x${i}`), attrs, {
          type: (dtype) => dtype,
          out: arithmetic(dtype),
          literal: () => undefined,
          number: String,
          let: (value) => `v${named.push(value)}`,
        });
        return [named, text];
      }),
  };
  return (...args: OwnArguments<Operand, A>) => {
    const operands = Array.from({ length: arity }, (_, i) => `operand ${i + 1}`);
    const [inputs, attrs] = split(name, operands, args as readonly unknown[], true);
    return applyMap(op, inputs, attrs as A);
  };
}
