/** Reductions beside the sum: the maximum, and the mean. */
import { apply, type Tensor } from "../tensor/tensor.ts";
import { defineOp } from "../tensor/op.ts";
import { div, mul } from "./arithmetic.ts";
import {
  expand,
  fold,
  reduce,
  type ReduceAttrs,
  reducedShape,
  type ReduceOptions,
  sum,
  sumOp,
} from "./broadcast.ts";
import { cast } from "./cast.ts";
import { equal } from "./compare.ts";

/** Registered as `max`. */
export const maxOp = defineOp<ReduceAttrs>({
  name: "max",
  shape: ([x], { axes }) => [{ shape: reducedShape(x.shape, axes), dtype: x.dtype }],
  vjp: ([g], node) => {
    if (!g) return [undefined];
    // The gradient is shared equally among the places that attain the maximum.
    const [x] = node.inputs;
    const hit = cast(equal(x, expand(node.outputs[0], x.shape)), x.dtype);
    const share = div(g, cast(apply(sumOp, [hit], node.attrs)[0], g.dtype));
    return [mul(hit, expand(share, x.shape))];
  },
  reference: fold(-Infinity, Math.max),
  lowering: { kind: "reduce" },
});

/** Maximum over `axes` (all of them when left out). */
export function max(x: Tensor, axes?: readonly number[], options: ReduceOptions = {}): Tensor {
  return reduce(maxOp, x, axes, options.keep ?? false);
}

/** Mean over `axes` (all of them when left out); that of f16 is f32. */
export function mean(x: Tensor, axes?: readonly number[], options: ReduceOptions = {}): Tensor {
  const y = sum(x, axes, options);
  return mul(y, y.size / x.size);
}
