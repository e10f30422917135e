/**
 * Scaled dot-product attention, the op that dominates a diffusion model's memory when it is written plainly: T·S scores a
 * head. Forward keeps one number a row (the log-sum-exp of its scores), and backward recomputes the scores from it, so
 * that nothing of that size outlives a kernel; only second derivatives write them out. The kernels are in `attention/`, one file per way of computing it.
 */
import { apply, type Tensor } from "../tensor/tensor.ts";
import { expectOptions, expectTensors } from "../tensor/arguments.ts";
import { defineOp } from "../tensor/op.ts";
import type { KernelContext, KernelPlan } from "../tensor/kernel.ts";
import { mul, sub } from "./elementwise/arithmetic.ts";
import { cast } from "./elementwise/cast.ts";
import { expand, sum } from "./broadcast.ts";
import { literal } from "./leaf.ts";
import { pad, reshape, slice } from "./movement.ts";
import { isExtent, ShapeError, show } from "../tensor/shape.ts";
import {
  type AttentionAttrs,
  type AttentionGradAttrs,
  type Operand,
  problemOf,
} from "./attention/problem.ts";
import { batchedAttention, batchedAttentionGrad } from "./attention/batch.ts";
import { attentionGradReference, attentionReference } from "./attention/reference.ts";
import { attentionGradVjp } from "./attention/second.ts";
import { flashFits, flashForward, flashGrad } from "./attention/flash.ts";
import { streamingForward, streamingGrad } from "./attention/streaming.ts";
import { maskedAttention, type ScorePlaces } from "./attention/masked.ts";
import { cpuForward, cpuGrad, scoresFit } from "./attention/cpu.ts";

/** Rows are query positions in the order of the result, so the log-sum-exp has its shape without the last axis. */
const attentionOp = defineOp<AttentionAttrs>({
  name: "attention",
  shape: (inputs, attrs) => {
    const { B, T, H } = problemOf("attention", inputs, attrs);
    return [inputs[0], { shape: [B, T, H], dtype: "f32" }];
  },
  vjp([given, ofLse], node, wanted) {
    const names = (["q", "k", "v"] as const).filter((_, i) => wanted[i]);
    if (!(given || ofLse) || !names.length) return [undefined, undefined, undefined];
    const [y, lse] = node.outputs;
    const g = given ?? expand(literal(0, y.dtype), y.shape);
    // Σ_s dP·P of a row, by way of the result: it is what the softmax's derivative subtracts. The derivative of the
    // log-sum-exp is the softmax itself, so that its cotangent is taken off there.
    const inner = sum(mul(cast(g, "f32"), cast(y, "f32")), [3]);
    const delta = ofLse ? sub(inner, ofLse) : inner;
    const grads = apply(attentionGradOp, [...node.inputs, g, lse, delta], {
      ...node.attrs,
      wanted: names,
    });
    return (["q", "k", "v"] as const).map((name) => grads[names.indexOf(name)]);
  },
  batch: batchedAttention,
  reference: attentionReference,
  lowering: { kind: "kernel", epilogue: false, build: buildForward },
});

const attentionGradOp = defineOp<AttentionGradAttrs>({
  name: "attentionGrad",
  shape: (inputs, attrs) => {
    problemOf("attentionGrad", inputs, attrs);
    const of: Record<Operand, number> = { q: 0, k: 1, v: 2 };
    return attrs.wanted.map((w) => inputs[of[w]]);
  },
  vjp: (h, { inputs, attrs }, wanted) => attentionGradVjp(h, inputs, attrs, wanted),
  batch: batchedAttentionGrad,
  reference: attentionGradReference,
  lowering: { kind: "kernel", epilogue: false, build: buildGrad },
});

function buildForward(ctx: KernelContext<AttentionAttrs>): KernelPlan {
  const p = problemOf("attention", ctx.inputs, ctx.attrs);
  if (ctx.profile.cpu && scoresFit(p, ctx.profile)) return cpuForward(p, ctx);
  if (!ctx.profile.cpu && flashFits(p, ["forward"], ctx)) return flashForward(p, ctx);
  return streamingForward(p, ctx);
}

function buildGrad(ctx: KernelContext<AttentionGradAttrs>): KernelPlan {
  const p = problemOf("attentionGrad", ctx.inputs, ctx.attrs);
  if (ctx.profile.cpu && scoresFit(p, ctx.profile)) return cpuGrad(p, ctx);
  if (!ctx.profile.cpu && flashFits(p, ["queryGrad", "keyValueGrad"], ctx)) {
    return flashGrad(p, ctx);
  }
  return streamingGrad(p, ctx);
}

export type { ScorePlaces } from "./attention/masked.ts";

/** Options of {@linkcode attention}. */
export interface AttentionOptions {
  /** Query t attends to keys 0 … t only (CLIP's text encoder). Default false. */
  readonly causal?: boolean;
  /** Factor on the scores. Default 1/√D. */
  readonly scale?: number;
  /** Which keys a query sees: true, or not 0. Of any element type, broadcasts to [B, H, T, S]. */
  readonly mask?: Tensor;
  /** Added to the scores before the softmax. Floats that broadcast to [B, H, T, S]. */
  readonly bias?: Tensor;
  /** How many keys before and behind its own place a query sees: one number for both, or [before, behind]. */
  readonly window?: number | readonly [before: number, behind: number];
  /** Scores become cap · tanh(score / cap), before bias and masks. */
  readonly softCap?: number;
  /** The place of query 0 among the keys, for `causal` and `window`: how many keys are of the past. Default 0. */
  readonly offset?: number;
  /** How many keys of each example there are, the others being padding: integers `[B]`. */
  readonly keyValueLengths?: Tensor;
  /** What becomes of the scores [B, H, T, S], f32, last before the softmax; −∞ hides a key. */
  readonly scoreMod?: (scores: Tensor, at: ScorePlaces) => Tensor;
  /** What becomes of the weights [B, H, T, S], f32, that the softmax gave. */
  readonly weightMod?: (weights: Tensor, at: ScorePlaces) => Tensor;
}

/**
 * softmax(scale · q·kᵀ) · v for every head.
 *
 * Heads are interleaved as a linear layer of width H·D gives them: reshape its output to [B, T, H, D], nothing needs to
 * be transposed. Storage may be f32 or f16 for each operand; arithmetic is f32. The result has q's dtype. Keys and values may
 * have fewer heads than queries, each of them then serving H/G neighbouring ones (grouped queries).
 *
 * Masks, biases, windows, caps, offsets, lengths and functions of scores are computed with the scores of every head in memory;
 * without them they never are.
 * A query that sees no key gives 0.
 *
 * @param q queries [B, T, H, D]
 * @param k keys [B, S, G, D], H a multiple of G
 * @param v values [B, S, G, E]
 * @returns [B, T, H, E]
 * @throws ShapeError when the shapes do not agree
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  expectTensors("attention", { q, k, v });
  expectOptions("attention", 3, options, {
    causal: "true or false",
    scale: "number",
    mask: "any",
    bias: "any",
    window: "any",
    softCap: "a number of f32",
    offset: "number",
    keyValueLengths: "any",
    scoreMod: "function",
    weightMod: "function",
  });
  const { causal = false, mask, bias, window, softCap, offset = 0 } = options;
  const { keyValueLengths: lengths, scoreMod, weightMod } = options;
  const scale = options.scale ?? 1 / Math.sqrt(q.shape.at(-1) || 1);
  const [keys, values] = checkHeads(q, k, v);
  if (
    mask || bias || window !== undefined || softCap || offset || lengths || scoreMod || weightMod
  ) {
    if (lengths) expectTensors("attention", { q, k, v, "options.keyValueLengths": lengths });
    if (mask) expectTensors("attention", { q, k, v, "options.mask": mask });
    if (bias) expectTensors("attention", { q, k, v, "options.bias": bias });
    const sides = typeof window === "number" ? [window, window] as const : window;
    const fits = (n: number) => n === Infinity || isExtent(n) && n < 2 ** 31;
    if (sides && (sides.length !== 2 || !sides.every(fits))) {
      throw new ShapeError(
        "attention",
        `a window of [${sides}] is no two whole numbers of at least 0, or Infinity`,
      );
    }
    const more = { window: sides, softCap, offset, lengths, scoreMod, weightMod };
    return maskedAttention(q, k, v, { causal, scale, mask, bias, ...more });
  }
  // Narrower values, or keys, are filled up with zeros, which change no score.
  const width = Math.max(q.shape[3], v.shape[3]);
  const wide = (t: Tensor) => pad(t, [[0, 0], [0, 0], [0, 0], [0, width - t.shape[3]]]);
  const [y] = apply(attentionOp, [q, keys, values].map(wide), { causal, scale });
  const out = slice(y, 3, 0, v.shape[3]);
  // Without keys a row is a sum of nothing, whatever its query is.
  return k.size || !q.size ? out : expand(literal(0, q.dtype), out.shape);
}

/** Keys and values with as many heads as queries have. */
function checkHeads(q: Tensor, k: Tensor, v: Tensor): [Tensor, Tensor] {
  const given = `q is ${show(q.spec)}, k is ${show(k.spec)}, v is ${show(v.spec)}`;
  if ([q, k, v].some((t) => t.shape.length !== 4)) {
    throw new ShapeError("attention", `expected q [B,T,H,D], k and v [B,S,H,D]; ${given}`);
  }
  if (k.shape.slice(0, 3).join() !== v.shape.slice(0, 3).join()) {
    throw new ShapeError("attention", `k and v must have one shape but for their widths; ${given}`);
  }
  const [b, , h, d] = q.shape;
  const [kb, s, groups, kd] = k.shape;
  if (b !== kb || d !== kd || (groups ? h % groups : h)) {
    throw new ShapeError(
      "attention",
      `q and k must agree in batch and width, and q's heads be a multiple of k's; ${given}`,
    );
  }
  const shared = (t: Tensor) =>
    groups === h ? t : reshape(
      expand(reshape(t, [b, s, groups, 1, t.shape[3]]), [b, s, groups, h / groups, t.shape[3]]),
      [b, s, h, t.shape[3]],
    );
  return [shared(k), shared(v)];
}
