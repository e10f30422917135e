/**
 * Attention with what the kernels do not know: masks, biases, windows, capped scores. It is written with products and
 * softmax, and holds the scores of every head in memory; so do its derivatives, of every order.
 */
import { expectTensor, type Tensor } from "../../tensor/tensor.ts";
import { isFloat, storedAs } from "../../tensor/dtype.ts";
import { sameShape, type Shape, ShapeError, show } from "../../tensor/shape.ts";
import { expand } from "../broadcast.ts";
import { add, div, mul, sub } from "../elementwise/arithmetic.ts";
import { tanh } from "../elementwise/activation.ts";
import { cast } from "../elementwise/cast.ts";
import { greater, less, lessEqual, notEqual, where } from "../elementwise/compare.ts";
import { tensor } from "../leaf.ts";
import { matmul } from "../matmul.ts";
import { permute, reshape } from "../movement.ts";
import { softmax } from "../softmax.ts";

/** What is asked for beyond plain attention. */
export interface Masking {
  readonly causal: boolean;
  readonly scale: number;
  /** What key each query may see: not 0. Broadcasts to [B, H, T, S]. */
  readonly mask?: Tensor;
  /** Added to the scores. Broadcasts to [B, H, T, S]. */
  readonly bias?: Tensor;
  /** How many keys before and behind its own place a query sees. */
  readonly window?: readonly [before: number, behind: number];
  /** Scores become cap · tanh(score / cap). */
  readonly softCap?: number;
  /** The place of query 0 among the keys. */
  readonly offset: number;
  /** How many keys of each example there are: integers [B]. */
  readonly lengths?: Tensor;
  readonly scoreMod?: (scores: Tensor, at: ScorePlaces) => Tensor;
  readonly weightMod?: (weights: Tensor, at: ScorePlaces) => Tensor;
}

/** Which example, head, query and key a score is of: i32, each of the extent of its axis and 1 along the others. */
export interface ScorePlaces {
  /** [B, 1, 1, 1] */
  readonly batch: Tensor;
  /** [1, H, 1, 1] */
  readonly head: Tensor;
  /** [1, 1, T, 1] */
  readonly query: Tensor;
  /** [1, 1, 1, S] */
  readonly key: Tensor;
}

const placesOf = (shape: Shape): ScorePlaces => {
  const [batch, head, query, key] = shape.map((n, i) =>
    axisNumbers(n, 0, shape.map((_, j) => i === j ? n : 1))
  );
  return { batch, head, query, key };
};

/** What a function of a user makes of scores. */
function changed(
  name: string,
  f: Masking["scoreMod"],
  scores: Tensor,
): Tensor {
  if (!f) return scores;
  const y: unknown = f(scores, placesOf(scores.shape));
  expectTensor("attention", `what options.${name} gave`, y);
  if (y.dtype === "f32" && sameShape(y.shape, scores.shape)) return y;
  throw new ShapeError("attention", `${name} gave ${show(y.spec)} for ${show(scores.spec)}`);
}

const axisNumbers = (n: number, from: number, shape: Shape): Tensor =>
  reshape(tensor(Int32Array.from({ length: n }, (_, i) => i + from)), shape);

/** A mask or a bias of as many axes as scores have. */
function broadcastable(name: string, t: Tensor, scores: Shape): Tensor {
  const full = [...Array(Math.max(0, 4 - t.shape.length)).fill(1), ...t.shape];
  if (full.length !== 4 || full.some((d, i) => d !== 1 && d !== scores[i])) {
    throw new ShapeError(
      "attention",
      `the ${name} ${show(t.spec)} does not broadcast to [${scores}]`,
    );
  }
  return expand(reshape(t, full), scores);
}

/** Scores [B, H, T, S] after cap, bias and masks; −∞ where a key is not seen. */
function scoresOf(q: Tensor, k: Tensor, m: Masking): Tensor {
  const [b, t, h, d] = q.shape;
  const [, s, groups] = k.shape;
  // Queries that share a head of keys are more rows of its product.
  const rows = reshape(permute(q, [0, 2, 1, 3]), [b, groups, h / groups * t, d]);
  const product = matmul(rows, permute(k, [0, 2, 1, 3]), { transposeB: true, dtype: "f32" });
  const shape = [b, h, t, s];
  let scores = mul(reshape(product, shape), m.scale);
  if (m.softCap) scores = mul(tanh(div(scores, m.softCap)), m.softCap);
  if (m.bias) {
    if (!isFloat(m.bias.dtype)) {
      throw new ShapeError("attention", `the bias is ${show(m.bias.spec)}, not f32 or f16`);
    }
    scores = add(scores, cast(broadcastable("bias", m.bias, shape), "f32"));
  }
  const hide = (seen: Tensor) => scores = where(seen, scores, -Infinity);
  if (m.mask) hide(notEqual(broadcastable("mask", m.mask, shape), 0));
  const ahead = () =>
    expand(sub(axisNumbers(s, 0, [1, 1, 1, s]), axisNumbers(t, m.offset, [1, 1, t, 1])), shape);
  if (m.lengths) {
    if (!sameShape(m.lengths.shape, [b]) || isFloat(m.lengths.dtype)) {
      throw new ShapeError(
        "attention",
        `keyValueLengths are ${show(m.lengths.spec)}, expected integers [${b}]`,
      );
    }
    const keys = cast(axisNumbers(s, 0, [1, 1, 1, s]), storedAs(m.lengths.dtype));
    hide(expand(less(keys, reshape(m.lengths, [b, 1, 1, 1])), shape));
  }
  if (m.causal) hide(lessEqual(ahead(), 0));
  if (m.window) {
    const [before, behind] = m.window;
    if (Number.isFinite(before)) hide(greater(ahead(), -before - 1));
    if (Number.isFinite(behind)) hide(lessEqual(ahead(), behind));
  }
  return changed("scoreMod", m.scoreMod, scores);
}

/** Attention by products: q [B, T, H, D], k [B, S, G, D], v [B, S, G, E] with G heads that H is a multiple of. */
export function maskedAttention(q: Tensor, k: Tensor, v: Tensor, m: Masking): Tensor {
  const [b, t, h] = q.shape;
  const [, s, groups, e] = v.shape;
  const scores = scoresOf(q, k, m);
  const seen = greater(scores, -Infinity);
  // A query that sees nothing gets nothing.
  const weights = where(seen, softmax(where(seen, scores, -1e30)), 0);
  const used = changed("weightMod", m.weightMod, weights);
  const rows = reshape(used, [b, groups, h / groups * t, s]);
  const y = matmul(rows, cast(permute(v, [0, 2, 1, 3]), "f32"));
  return cast(permute(reshape(y, [b, h, t, e]), [0, 2, 1, 3]), q.dtype);
}
