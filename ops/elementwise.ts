/**
 * The elementwise machinery: how one-line expression records become ops that differentiate, check dtypes and fuse. The
 * ops themselves are tables in `arithmetic.ts`, `activation.ts` and `compare.ts`; `map.ts` applies them.
 */
import type { Tensor } from "../tensor/tensor.ts";
import type { DType } from "../tensor/dtype.ts";
import { sameShape, ShapeError, show, type Spec } from "../tensor/shape.ts";
import { defineOp, type Op, type Wgsl } from "../tensor/op.ts";

/** The record from which an elementwise op is made. */
export interface MapRecord<A> {
  readonly name: string;
  readonly arity: number;
  /** WGSL for one step of values. */
  readonly expression: (args: readonly string[], attrs: A, w: Wgsl) => string;
  /** The same in float64. */
  readonly reference: (args: readonly number[], attrs: A) => number;
  /** Cotangent of each input given the output's, or `null` where the derivative is zero everywhere. */
  readonly vjp:
    readonly (((g: Tensor, x: readonly Tensor[], y: Tensor, attrs: A) => Tensor) | null)[];
  /** Output dtype when it is not the inputs' own. */
  readonly dtype?: (inputs: readonly Spec[], attrs: A) => DType;
  /** Inputs whose dtype need not agree with the others (the condition of `where`). */
  readonly free?: readonly number[];
}

/** Makes and registers an elementwise op. */
export function defineMap<A = undefined>(r: MapRecord<A>): Op<A> {
  return defineOp<A>({
    name: r.name,
    shape(inputs, attrs) {
      const same = inputs.filter((_, i) => !r.free?.includes(i));
      for (const s of same) {
        if (s.dtype !== same[0].dtype) {
          throw new ShapeError(
            r.name,
            `operands are ${inputs.map(show).join(" and ")}; cast one of them first`,
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
    reference(inputs, _specs, attrs, [out]) {
      const n = inputs[0].length;
      const y = new Float64Array(n);
      const args = new Array<number>(inputs.length);
      for (let i = 0; i < n; i++) {
        for (let k = 0; k < args.length; k++) args[k] = inputs[k][i];
        y[i] = r.reference(args, attrs);
      }
      return [
        out.dtype === "u32" ? y.map((v) => v >>> 0) : out.dtype === "i32" ? y.map((v) => v | 0) : y,
      ];
    },
    lowering: { kind: "map", expression: r.expression },
  });
}
