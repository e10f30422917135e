/**
 * Attention without softmax, whose memory is one matrix a head: what is read of a sequence at each step is the sum of what was
 * written, faded by gates or corrected where a key was written before. Steps of a chunk are products; a loop carries the
 * matrix from chunk to chunk (Yang et al., 2024), so that the work grows with the length and not with its square.
 */
import type { Tensor } from "../tensor/tensor.ts";
import { expectOptions, expectTensors } from "../tensor/arguments.ts";
import { isFloat } from "../tensor/dtype.ts";
import { wholeNumber } from "../tensor/element.ts";
import { sameShape, ShapeError, show } from "../tensor/shape.ts";
import { expand, sum } from "../ops/broadcast.ts";
import { eye, tri } from "../ops/create/create.ts";
import { add, exp, mul, neg, sub } from "../ops/elementwise/arithmetic.ts";
import { cast } from "../ops/elementwise/cast.ts";
import { where } from "../ops/elementwise/compare.ts";
import { literal } from "../ops/leaf.ts";
import { matmul } from "../ops/matmul.ts";
import { pad, permute, reshape, slice, transpose } from "../ops/movement.ts";
import { cumsum } from "../ops/scan/scan.ts";
import { scan } from "./scan.ts";

/** Options of {@linkcode linearAttention}. */
export interface LinearAttentionOptions {
  /** Logarithms of what stays of the state at each step, at most 0: `[B, T, G]`, or `[B, T, G, D]` for each feature of a key. */
  readonly decay?: Tensor;
  /**
   * How much of a value is written, with the delta rule: what the state has for the key is taken off it first. `[B, T, G]`.
   * Default: values are written as they are.
   */
  readonly beta?: Tensor;
  /** The state to begin with: `[B, G, D, E]`. Default zeros. */
  readonly state?: Tensor;
  /** Factor on what is read. Default 1/√D. */
  readonly scale?: number;
  /** Steps that are computed at once. Default 32, of decays for each feature 16. */
  readonly chunk?: number;
}

/** (I + N)⁻¹ of strictly lower triangular matrices `[…, n, n]`: Σ (−N)ᵏ, by doubling. */
function inverseOfUnit(lower: Tensor, n: number): Tensor {
  let power = neg(lower);
  let y = add(power, eye(n));
  for (let k = 2; k < n; k *= 2) {
    power = matmul(power, power);
    y = add(y, matmul(y, power));
  }
  return y;
}

/**
 * Linear attention: Sₜ = e^gₜ · Sₜ₋₁ + kₜ uₜᵀ, of which step t reads scale · Sₜᵀ qₜ. What is written is uₜ = vₜ, or with
 * `beta` uₜ = βₜ (vₜ − (e^gₜ · Sₜ₋₁)ᵀ kₜ). With `decay` it is gated linear attention, with `beta` the delta rule, with both
 * the gated delta rule. Arithmetic is f32.
 *
 * @param q queries `[B, T, H, D]`, f32 or f16
 * @param k keys `[B, T, G, D]`, H a multiple of G
 * @param v values `[B, T, G, E]`
 * @returns `[y, state]`: `[B, T, H, E]` in q's element type, and f32 `[B, G, D, E]`, with which the next call goes on
 * @throws ShapeError when the shapes do not agree
 */
export function linearAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: LinearAttentionOptions = {},
): [y: Tensor, state: Tensor] {
  const op = "linearAttention";
  expectTensors(op, { q, k, v });
  expectOptions(op, 3, options, {
    decay: "any",
    beta: "any",
    state: "any",
    scale: "number",
    chunk: "number",
  });
  const { decay, beta, state } = options;
  for (const [name, t] of Object.entries({ decay, beta, state })) {
    if (t) expectTensors(op, { q, k, v, [`options.${name}`]: t });
  }
  const [b, t, h, d] = q.shape;
  const [, , g, e] = v.shape;
  const each = decay?.shape.length === 4;
  const fits = [q, k, v].every((x) => x.shape.length === 4 && isFloat(x.dtype)) &&
    sameShape(k.shape, [b, t, g, d]) && sameShape(v.shape, [b, t, g, e]) && g > 0 && h % g === 0 &&
    (!decay || sameShape(decay.shape, each ? [b, t, g, d] : [b, t, g])) &&
    (!beta || sameShape(beta.shape, [b, t, g])) && (!state || sameShape(state.shape, [b, g, d, e]));
  if (!fits) {
    const given = { q, k, v, decay, beta, state };
    const list = Object.entries(given).map(([n, x]) => x ? `${n} ${show(x.spec)}` : "").filter(
      Boolean,
    );
    throw new ShapeError(
      op,
      `${
        list.join(", ")
      }; expected q [B,T,H,D], k [B,T,G,D], v [B,T,G,E] of floats, H a multiple of G, decay [B,T,G] ` +
        "or [B,T,G,D], beta [B,T,G], state [B,G,D,E]",
    );
  }
  const { scale = 1 / Math.sqrt(d || 1), chunk = each ? 16 : 32 } = options;
  const c = Math.max(1, Math.min(wholeNumber(op, "options.chunk", chunk, 1), t));
  const n = Math.ceil(t / c), r = h / g;
  /** `[B, T, heads · r, w]` as chunks `[N, B, G, r, C, w]`; steps beyond the end write and fade nothing. */
  const chunks = (x: Tensor, each: number, w: number) => {
    const long = pad(reshape(cast(x, "f32"), [b, t, g * each * w]), [[0, 0], [0, n * c - t], [
      0,
      0,
    ]]);
    return permute(reshape(long, [b, n, c, g, each, w]), [1, 0, 3, 4, 2, 5]);
  };
  const [Q, K, V] = [chunks(q, r, d), chunks(k, 1, d), chunks(v, 1, e)];
  // What is left at each step of what was there when the chunk began, as a logarithm.
  const left = decay && cumsum(chunks(decay, 1, each ? d : 1), 4);
  const seen = tri(c, c, 0, "bool"), past = tri(c, c, -1, "bool");
  /** Σ_d xₜ yₛ e^(leftₜ − leftₛ) where a mask lets t see s. */
  const pairs = (x: Tensor, y: Tensor, mask: Tensor) => {
    if (!left) return where(mask, matmul(x, y, { transposeB: true }), 0);
    const w = left.shape[5];
    const at = (u: Tensor, from: boolean) =>
      reshape(u, [...u.shape.slice(0, 4), ...(from ? [1, c] : [c, 1]), u.shape[5]]);
    const shown = reshape(mask, [c, c, 1]);
    // Later steps would be infinite before they are left out.
    const fade = where(shown, exp(where(shown, sub(at(left, false), at(left, true)), 0)), 0);
    if (w > 1) return sum(mul(mul(at(x, false), at(y, true)), fade), [-1]);
    return mul(matmul(x, y, { transposeB: true }), reshape(fade, fade.shape.slice(0, -1)));
  };
  const faded = (x: Tensor) => left ? mul(x, exp(left)) : x;
  const last = left && slice(left, 4, c - 1, c);
  const xs = {
    reads: pairs(Q, K, seen),
    queries: faded(Q),
    keys: last && left ? mul(K, exp(sub(last, left))) : K,
    ...(last ? { stays: transpose(exp(last)) } : {}),
    ...corrected(),
  };
  function corrected() {
    if (!beta) return { values: V };
    const rate = chunks(beta, 1, 1);
    const solve = inverseOfUnit(mul(pairs(K, K, past), rate), c);
    return {
      values: matmul(solve, mul(V, rate)),
      known: matmul(solve, mul(faded(K), rate)),
    };
  }
  const begin = state
    ? reshape(cast(state, "f32"), [b, g, 1, d, e])
    : expand(literal(0, "f32"), [b, g, 1, d, e]);
  const [end, ys] = scan(
    (s: Tensor, x: { readonly [name: string]: Tensor }) => {
      const u = x.known ? sub(x.values, matmul(x.known, s)) : x.values;
      const y = add(matmul(x.queries, s), matmul(x.reads, u));
      const stays = x.stays ? mul(s, x.stays) : s;
      return [add(stays, matmul(x.keys, u, { transposeA: true })), y] as [Tensor, Tensor];
    },
    begin,
    xs as { readonly [name: string]: Tensor },
    { length: n },
  );
  const long = reshape(permute(ys, [1, 0, 4, 2, 3, 5]), [b, n * c, h, e]);
  return [cast(mul(slice(long, 1, 0, t), scale), q.dtype), reshape(end, [b, g, d, e])];
}
