/**
 * Attention's gradients written with products and exponentials, for their own derivatives. These are rare, so they may
 * hold the T·S weights of every head that the kernels never hold.
 */
import type { Tensor } from "../../tensor/tensor.ts";
import { reverse } from "../../tensor/reverse.ts";
import { add, exp, mul, sub } from "../elementwise/arithmetic.ts";
import { cast } from "../elementwise/cast.ts";
import { where } from "../elementwise/compare.ts";
import { variable } from "../gradient.ts";
import { tensor } from "../leaf.ts";
import { matmul } from "../matmul.ts";
import { permute, reshape } from "../movement.ts";
import type { AttentionGradAttrs, Operand } from "./problem.ts";

/** [B, N, H, D] as [B, H, N, D] in f32, and back: the permutation is its own inverse. */
const heads = (t: Tensor): Tensor => permute(cast(t, "f32"), [0, 2, 1, 3]);

/** One number for each query, [B, T, H], as a column of its scores. */
const column = (t: Tensor): Tensor => {
  const [b, n, h] = t.shape;
  return reshape(permute(t, [0, 2, 1]), [b, h, n, 1]);
};

/** 1 where query t may attend to key s. */
const allowed = (t: number, s: number): Tensor =>
  tensor(Uint32Array.from({ length: t * s }, (_, i) => Number(i % s <= Math.floor(i / s))), [t, s]);

/** q, k, v, cotangent, log-sum-exp, delta → dq, dk, dv. */
function gradients(
  [q, k, v, g, lse, delta]: readonly Tensor[],
  { causal, scale }: AttentionGradAttrs,
): Record<Operand, Tensor> {
  const [qs, ks, vs, gs] = [q, k, v, g].map(heads);
  const scores = sub(mul(matmul(qs, ks, { transposeB: true }), scale), column(lse));
  // What is masked is masked before the exponential: afterwards its derivative might be 0·∞.
  const mask = causal ? allowed(q.shape[1], k.shape[1]) : undefined;
  const weights = exp(mask ? where(mask, scores, -1e30) : scores);
  const slopes = mul(mul(weights, sub(matmul(gs, vs, { transposeB: true }), column(delta))), scale);
  const into = (t: Tensor, like: Tensor) => cast(permute(t, [0, 2, 1, 3]), like.dtype);
  return {
    q: into(matmul(slopes, ks), q),
    k: into(matmul(slopes, qs, { transposeA: true }), k),
    v: into(matmul(weights, gs, { transposeA: true }), v),
  };
}

/** Cotangents of the six inputs of attention's gradient, of which each counts as a variable of its own. */
export function attentionGradVjp(
  h: readonly (Tensor | undefined)[],
  inputs: readonly Tensor[],
  attrs: AttentionGradAttrs,
  wanted: readonly boolean[],
): (Tensor | undefined)[] {
  const own = inputs.map(variable);
  const made = gradients(own, attrs);
  const outputs = attrs.wanted.flatMap((name, i) => h[i] ? [[made[name], h[i]] as const] : []);
  const found = reverse(outputs, own.filter((_, i) => wanted[i]), add);
  return wanted.map((w) => w ? found.shift() : undefined);
}
