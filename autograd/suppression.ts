/** Choosing among boxes that overlap: a loop of as many turns as there is room for, each over all boxes at once. */
import type { Tensor } from "../tensor/tensor.ts";
import { expectOptions, expectTensors } from "../tensor/arguments.ts";
import { isFloat } from "../tensor/dtype.ts";
import { wholeNumber } from "../tensor/element.ts";
import { sameShape, ShapeError, show } from "../tensor/shape.ts";
import { expand, sum } from "../ops/broadcast.ts";
import { add, maximum, minimum, mul, sub } from "../ops/elementwise/arithmetic.ts";
import { cast } from "../ops/elementwise/cast.ts";
import { equal, greater, where } from "../ops/elementwise/compare.ts";
import { logicalOr } from "../ops/elementwise/logic.ts";
import { stopGradient } from "../ops/gradient.ts";
import { take } from "../ops/index/take.ts";
import { literal } from "../ops/leaf.ts";
import { iota } from "../ops/create/create.ts";
import { reshape, slice } from "../ops/movement.ts";
import { argmax } from "../ops/order/fold.ts";
import { max } from "../ops/reduce.ts";
import { scan } from "./scan.ts";

/** Options of {@linkcode nonMaxSuppression}. */
export interface SuppressionOptions {
  /** The most boxes that are chosen: shapes are static. Default all there are. */
  readonly size?: number;
  /** Boxes that overlap a chosen one by more than this share of both are left out. Default 0.5. */
  readonly overlap?: number;
  /** Boxes whose score is not above this are left out. Default none. */
  readonly score?: number;
}

/**
 * Boxes in the order of their scores, without those that overlap a better one too much; the share is that of what both cover
 * in what either covers. Of equal scores the first comes first. `vmap` does it for many images or classes. There is no derivative.
 *
 * @param boxes `[N, 4]`: two opposite corners, x₁, y₁, x₂, y₂ or the other way about
 * @param scores `[N]`; NaN is left out
 * @returns `indices`: u32 `[size]`, those beyond `count` 0; `count`: u32 `[]`
 * @throws ShapeError when boxes and scores do not fit
 */
export function nonMaxSuppression(
  boxes: Tensor,
  scores: Tensor,
  options: SuppressionOptions = {},
): { readonly indices: Tensor; readonly count: Tensor } {
  const op = "nonMaxSuppression";
  expectTensors(op, { boxes, scores });
  expectOptions(op, 2, options, { size: "number", overlap: "number", score: "number" });
  const n = boxes.shape[0];
  if (
    !sameShape(boxes.shape, [n, 4]) || !sameShape(scores.shape, [n]) || !isFloat(scores.dtype) ||
    !isFloat(boxes.dtype)
  ) {
    throw new ShapeError(
      op,
      `boxes ${show(boxes.spec)}, scores ${show(scores.spec)}; expected floats [N,4] and [N]`,
    );
  }
  const { overlap = 0.5, score = -Infinity } = options;
  const size = wholeNumber(op, "options.size", options.size ?? n);
  // Of no boxes none is the best one.
  if (!n) return { indices: expand(literal(0, "u32"), [size]), count: literal(0, "u32") };
  const all = stopGradient(cast(boxes, "f32"));
  const side = (i: number) => reshape(slice(all, 1, i, i + 1), [n]);
  const [low, high] = [minimum, maximum].map((f) => [0, 1].map((i) => f(side(i), side(i + 2))));
  const area = mul(sub(high[0], low[0]), sub(high[1], low[1]));
  const given = stopGradient(cast(scores, "f32"));
  const begin = where(greater(given, score), given, -Infinity);
  const [, picked] = scan(
    (left: Tensor, _: undefined) => {
      const best = argmax(left);
      const one = (t: Tensor) => take(t, best);
      const shared = [0, 1].map((i) =>
        maximum(sub(minimum(high[i], one(high[i])), maximum(low[i], one(low[i]))), 0)
      ).reduce((a, b) => mul(a, b));
      // Not as a quotient: boxes without area would be 0 / 0.
      const close = greater(shared, mul(sub(add(area, one(area)), shared), overlap));
      const gone = logicalOr(close, equal(iota(n, "u32"), best));
      const found = greater(max(left), -Infinity);
      return [where(gone, -Infinity, left), [where(found, best, 0), found]] as [Tensor, Tensor[]];
    },
    begin,
    undefined,
    { length: size },
  );
  return { indices: picked[0], count: sum(picked[1]) };
}
