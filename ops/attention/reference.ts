/** Attention by its definition, in float64: softmax(scale·q·kᵀ)·v and its derivatives, one number after the other. */
import type { Spec } from "../../tensor/shape.ts";
import {
  type AttentionAttrs,
  type AttentionGradAttrs,
  type Problem,
  problemOf,
} from "./problem.ts";

/** Calls back for every pair of a query row and a key row that may attend, with their offsets. */
function eachPair(
  p: Problem,
  visit: (row: number, q: number, k: number, key: number) => void,
): void {
  for (let b = 0; b < p.B; b++) {
    for (let t = 0; t < p.T; t++) {
      for (let h = 0; h < p.H; h++) {
        const row = (b * p.T + t) * p.H + h;
        for (let s = 0; s < (p.causal ? Math.min(p.S, t + 1) : p.S); s++) {
          visit(row, row * p.D, ((b * p.S + s) * p.H + h) * p.D, s);
        }
      }
    }
  }
}

function dot(x: Float64Array, i: number, y: Float64Array, j: number, n: number): number {
  let sum = 0;
  for (let d = 0; d < n; d++) sum += x[i + d] * y[j + d];
  return sum;
}

/** q, k, v → the result [B, T, H, D] and the log-sum-exp of each row of scores [B, T, H]. */
export function attentionReference(
  [q, k, v]: readonly Float64Array[],
  specs: readonly Spec[],
  attrs: AttentionAttrs,
): Float64Array[] {
  const p = problemOf("attention", specs, attrs);
  const rows = p.B * p.T * p.H;
  const most = new Float64Array(rows).fill(-Infinity);
  eachPair(p, (row, i, j) => most[row] = Math.max(most[row], p.scale * dot(q, i, k, j, p.D)));
  const total = new Float64Array(rows);
  const y = new Float64Array(q.length);
  eachPair(p, (row, i, j) => {
    const e = Math.exp(p.scale * dot(q, i, k, j, p.D) - most[row]);
    total[row] += e;
    for (let d = 0; d < p.D; d++) y[i + d] += e * v[j + d];
  });
  return [
    y.map((x, i) => x / total[Math.floor(i / p.D)]),
    total.map((x, row) => most[row] + Math.log(x)),
  ];
}

/** q, k, v, cotangent, log-sum-exp, delta → the wanted ones of dq, dk, dv. */
export function attentionGradReference(
  [q, k, v, g, lse, delta]: readonly Float64Array[],
  specs: readonly Spec[],
  attrs: AttentionGradAttrs,
): Float64Array[] {
  const p = problemOf("attentionGrad", specs, attrs);
  const dq = new Float64Array(q.length);
  const dk = new Float64Array(k.length);
  const dv = new Float64Array(v.length);
  eachPair(p, (row, i, j) => {
    const weight = Math.exp(p.scale * dot(q, i, k, j, p.D) - lse[row]);
    const ds = p.scale * weight * (dot(g, i, v, j, p.D) - delta[row]);
    for (let d = 0; d < p.D; d++) {
      dq[i + d] += ds * k[j + d];
      dk[j + d] += ds * q[i + d];
      dv[j + d] += weight * g[i + d];
    }
  });
  return attrs.wanted.map((w) => ({ q: dq, k: dk, v: dv })[w]);
}
