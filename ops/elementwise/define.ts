/**
 * The elementwise machinery: how one-line expression records become ops that differentiate, check dtypes and fuse. The
 * ops themselves are tables in `arithmetic.ts`, `activation.ts` and `compare.ts`; `map.ts` applies them.
 */
import type { Tensor } from "../../tensor/tensor.ts";
import type { DType } from "../../tensor/dtype.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { expectType, FLOATS } from "../../tensor/element.ts";
import { sameShape, ShapeError, show, type Spec } from "../../tensor/shape.ts";
import { alike } from "../../tensor/batch.ts";
import { defineOp, type Op, type Wgsl } from "../../tensor/op.ts";

/** The record from which an elementwise op is made. */
export interface MapRecord<A> {
  readonly name: string;
  readonly arity: number;
  /** WGSL for one step of values. */
  readonly expression: (args: readonly string[], attrs: A, w: Wgsl) => string;
  /** The same in float64. */
  readonly reference: (args: readonly number[], attrs: A) => number;
  /** The same for integers, where it is not that of floats cut to 32 bits. */
  readonly integers?: (args: readonly number[], attrs: A) => number;
  /** Element types that it takes beside floats ("all": bool, too), or instead of them ("bits": integers and bool). Default none. */
  readonly takes?: "signed" | "integers" | "all" | "only integers" | "bits";
  /** Cotangent of each input given the output's, or `null` where the derivative is zero everywhere. */
  readonly vjp:
    readonly (((g: Tensor, x: readonly Tensor[], y: Tensor, attrs: A) => Tensor) | null)[];
  /** Tangent of the output, where it is not the sum of what {@linkcode vjp} makes of each input's. */
  readonly jvp?: Op<A>["jvp"];
  /** Output dtype when it is not the inputs' own. */
  readonly dtype?: (inputs: readonly Spec[], attrs: A) => DType;
  /** Inputs whose dtype need not agree with the others (the condition of `where`). */
  readonly free?: readonly number[];
}

const TAKES: Record<string, readonly DType[]> = {
  floats: FLOATS,
  signed: ["f32", "f16", "i32"],
  integers: ["f32", "f16", "i32", "u32"],
  all: ["f32", "f16", "i32", "u32", "bool"],
  "only integers": ["i32", "u32"],
  bits: ["i32", "u32", "bool"],
};

/** Whole numbers as 32 bits hold them; floats as they are. */
export const wrapped = (y: Float64Array, dtype: DType): Float64Array =>
  dtype === "u32" ? y.map((v) => v >>> 0) : dtype === "i32" ? y.map((v) => v | 0) : y;

/** A product as it is wrapped: that of large whole numbers is none of float64's. */
export const times = (a: number, b: number, dtype: DType): number =>
  isFloat(dtype) ? a * b : Math.imul(a, b);

/** Makes and registers an elementwise op. */
export const defineMap = <A = undefined>(r: MapRecord<A>): Op<A> => defineOp(mapOp(r));

/** An elementwise op. */
export function mapOp<A>(r: MapRecord<A>): Op<A> {
  const takes = TAKES[r.takes ?? "floats"];
  return {
    name: r.name,
    shape(inputs, attrs) {
      const same = inputs.filter((_, i) => !r.free?.includes(i));
      for (const s of same) expectType(r.name, s, takes);
      for (const s of same) {
        if (s.dtype !== same[0].dtype) {
          throw new ShapeError(
            r.name,
            `operands are ${same.map(show).join(" and ")}; cast one of them first`,
          );
        }
      }
      for (const s of inputs) {
        if (!sameShape(s.shape, inputs[0].shape)) {
          throw new ShapeError(r.name, `unbroadcast operands ${inputs.map(show).join(" and ")}`);
        }
      }
      return [{ shape: inputs[0].shape, dtype: r.dtype?.(inputs, attrs) ?? same[0].dtype }];
    },
    vjp([g], node, wanted) {
      return r.vjp.map((rule, i) =>
        g && rule && wanted[i] ? rule(g, node.inputs, node.outputs[0], node.attrs) : undefined
      );
    },
    batch: alike,
    // The derivative is diagonal, and its own transpose.
    jvp: r.jvp ?? ((tangents, { inputs, outputs: [y], attrs }, { add }) => {
      const terms = r.vjp.flatMap((rule, i) => {
        const t = tangents[i];
        return rule && t ? [rule(t, inputs, y, attrs)] : [];
      });
      return [terms.length ? terms.reduce(add) : undefined];
    }),
    reference(inputs, _specs, attrs, [out]) {
      const n = inputs[0].length;
      const y = new Float64Array(n);
      const args = new Array<number>(inputs.length);
      const rule = !isFloat(out.dtype) && r.integers || r.reference;
      for (let i = 0; i < n; i++) {
        for (let k = 0; k < args.length; k++) args[k] = inputs[k][i];
        y[i] = rule(args, attrs);
      }
      return [wrapped(y, out.dtype)];
    },
    lowering: { kind: "map", takes, expression: r.expression },
  };
}
