/**
 * Group norm (channels last) and layer norm. Forward also gives each group's mean and 1/σ, which are all that backward
 * needs beside the input. The input's gradient is an op of its own; those of scale and shift are sums, built only when
 * they are wanted, so that frozen parameters cost nothing.
 */
import { apply, type Tensor } from "../../tensor/tensor.ts";
import { expectOptions, expectTensors } from "../../tensor/arguments.ts";
import { sameShape, type Shape, ShapeError, show, type Spec } from "../../tensor/shape.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { defineOp, type Op } from "../../tensor/op.ts";
import { add, mul, neg, square, sub } from "../elementwise/arithmetic.ts";
import { cast } from "../elementwise/cast.ts";
import { concat } from "../concat.ts";
import { sum } from "../broadcast.ts";
import { reshape, slice } from "../movement.ts";
import { mean } from "../reduce.ts";
import { groupShape, layerShape, type NormAttrs, type NormShape } from "./shape.ts";
import { batchedNorm, batchedNormGrad } from "./batch.ts";
import { groupGradKernel, groupNormKernel } from "./group.ts";
import { layerGradKernel, layerNormKernel } from "./layer.ts";

type Kind = "group" | "layer";
const shapeOf = (kind: Kind, x: Shape, { groups }: NormAttrs): NormShape =>
  kind === "group" ? groupShape(x, groups) : layerShape(x);

/** Calls `f` with the flat index, statistics index and channel of every element. */
function eachElement(s: NormShape, f: (i: number, stat: number, channel: number) => void): void {
  const row = s.groups * s.channels;
  for (let i = 0; i < s.images * s.pixels * row; i++) {
    const channel = i % row;
    const image = Math.floor(i / (row * s.pixels));
    f(i, image * s.groups + Math.floor(channel / s.channels), channel);
  }
}

/** Mean and 1/σ of every group, by definition; pairs. */
function statistics(x: Float64Array, s: NormShape, eps: number): Float64Array {
  const n = s.pixels * s.channels;
  const stats = new Float64Array(s.images * s.groups * 2);
  eachElement(s, (i, k) => stats[2 * k] += x[i] / n);
  eachElement(s, (i, k) => stats[2 * k + 1] += (x[i] - stats[2 * k]) ** 2 / n);
  return stats.map((v, i) => i % 2 ? 1 / Math.sqrt(v + eps) : v);
}

function defineNorm(kind: Kind) {
  const name = `${kind}Norm`;

  /** dx = (w − mean(w) − x̂·mean(w·x̂))/σ with w = g·γ. Inputs: x, γ, g, statistics. */
  const gradOp: Op<NormAttrs> = defineOp<NormAttrs>({
    name: `${name}Grad`,
    shape: ([x]) => [x],
    vjp: ([h], { inputs, attrs }, wanted) => h ? gradVjp(kind, inputs, h, attrs, wanted) : [],
    batch: batchedNormGrad,
    reference([x, gamma, g, stats], [spec], attrs) {
      const s = shapeOf(kind, spec.shape, attrs);
      const n = s.pixels * s.channels;
      const means = new Float64Array(stats.length);
      const hat = (i: number, k: number) => (x[i] - stats[2 * k]) * stats[2 * k + 1];
      eachElement(s, (i, k, c) => {
        means[2 * k] += g[i] * gamma[c] / n;
        means[2 * k + 1] += g[i] * gamma[c] * hat(i, k) / n;
      });
      const dx = new Float64Array(x.length);
      eachElement(s, (i, k, c) => {
        dx[i] = stats[2 * k + 1] *
          (g[i] * gamma[c] - means[2 * k] - hat(i, k) * means[2 * k + 1]);
      });
      return [dx];
    },
    lowering: {
      kind: "kernel",
      epilogue: true,
      build: kind === "group" ? groupGradKernel : layerGradKernel,
    },
  });

  /** Outputs: y, and per group (mean, 1/σ) as `[images·groups, 2]` in f32. */
  const op: Op<NormAttrs> = defineOp<NormAttrs>({
    name,
    shape([x, gamma, beta], attrs) {
      check(name, x, gamma, beta, attrs);
      const s = shapeOf(kind, x.shape, attrs);
      return [x, { shape: [s.images * s.groups, 2], dtype: "f32" }];
    },
    vjp([g, ofStats], { inputs: [x, gamma, beta], outputs: [, stats], attrs }, wanted) {
      const axes = x.shape.map((_, i) => i).slice(0, -1);
      const g32 = g && cast(g, "f32");
      const byValue = () => g && apply(gradOp, [x, gamma, g, stats], attrs)[0];
      const byStats = () => ofStats && statsVjp(kind, x, stats, ofStats, attrs);
      const parts = wanted[0] ? [byValue(), byStats()].filter((t) => t !== undefined) : [];
      return [
        parts.length ? parts.reduce((a, b) => add(a, b)) : undefined,
        wanted[1] && g32
          ? cast(sum(mul(g32, normalized(kind, x, stats, attrs)), axes), gamma.dtype)
          : undefined,
        wanted[2] && g32 ? cast(sum(g32, axes), beta.dtype) : undefined,
      ];
    },
    batch: batchedNorm,
    reference([x, gamma, beta], [spec], attrs) {
      const s = shapeOf(kind, spec.shape, attrs);
      const stats = statistics(x, s, attrs.eps);
      const y = new Float64Array(x.length);
      eachElement(s, (i, k, c) => {
        y[i] = (x[i] - stats[2 * k]) * stats[2 * k + 1] * gamma[c] + beta[c];
      });
      return [y, stats];
    },
    lowering: {
      kind: "kernel",
      epilogue: true,
      build: kind === "group" ? groupNormKernel : layerNormKernel,
    },
  });
  return op;
}

function check(name: string, x: Spec, gamma: Spec, beta: Spec, { groups, eps }: NormAttrs): void {
  const c = x.shape.at(-1) ?? 0;
  if (!isFloat(x.dtype) || x.shape.length < (name === "groupNorm" ? 2 : 1)) {
    throw new ShapeError(name, `needs floats with channels in the last axis, not ${show(x)}`);
  }
  if (!Number.isInteger(groups) || groups < 1 || c % groups) {
    throw new ShapeError(name, `${c} channels do not fall into ${groups} groups`);
  }
  for (const p of [gamma, beta]) {
    if (!sameShape(p.shape, [c]) || !isFloat(p.dtype)) {
      throw new ShapeError(name, `scale and shift must be [${c}] floats, not ${show(p)}`);
    }
  }
  if (!(eps >= 0 && Number.isFinite(Math.fround(eps)))) throw new ShapeError(name, `eps is ${eps}`);
}

/** What derivatives are written with: the view in groups, means over a group, and the statistics, all in f32. */
function inGroups(kind: Kind, shape: Shape, stats: Tensor, attrs: NormAttrs) {
  const s = shapeOf(kind, shape, attrs);
  const split = [s.images, s.pixels, s.groups, s.channels];
  const part = (i: number) => reshape(slice(stats, 1, i, i + 1), [s.images, 1, s.groups, 1]);
  const [level, scale] = [part(0), part(1)];
  const wide = (t: Tensor) => reshape(cast(t, "f32"), split);
  return {
    scale,
    wide,
    size: s.pixels * s.channels,
    hat: (x: Tensor) => mul(sub(wide(x), level), scale),
    perChannel: (t: Tensor) => reshape(cast(t, "f32"), [1, 1, s.groups, s.channels]),
    over: (t: Tensor) => mean(t, [1, 3], { keep: true }),
    /** (mean, 1/σ)-like pairs of every group, as the statistics are. */
    pairs: (a: Tensor, b: Tensor) =>
      concat([a, b].map((t) => reshape(t, [s.images * s.groups, 1])), 1),
  };
}

/** (x − mean)/σ in f32, with statistics that are known already. */
const normalized = (kind: Kind, x: Tensor, stats: Tensor, attrs: NormAttrs): Tensor =>
  reshape(inGroups(kind, x.shape, stats, attrs).hat(x), x.shape);

/** What the statistics' cotangents add to the input's: ∂mean/∂x = 1/n, ∂(1/σ)/∂x = −x̂/(σ²·n). */
function statsVjp(kind: Kind, x: Tensor, stats: Tensor, g: Tensor, attrs: NormAttrs): Tensor {
  const { scale, size, hat } = inGroups(kind, x.shape, stats, attrs);
  const of = (i: number) => reshape(slice(g, 1, i, i + 1), scale.shape);
  const each = sub(of(0), mul(mul(of(1), square(scale)), hat(x)));
  return cast(reshape(mul(each, 1 / size), x.shape), x.dtype);
}

/**
 * Second derivatives are rare, and written with ops. Of ⟨h, dx⟩ with dx = (w − m₁ − x̂·m₂)/σ, where m₁ and m₂ are the
 * means of w and w·x̂, and h₁ and h₂ those of h and h·x̂; the statistics count as inputs of their own.
 */
function gradVjp(
  kind: Kind,
  [x, gamma, g, stats]: readonly Tensor[],
  h: Tensor,
  attrs: NormAttrs,
  wanted: readonly boolean[],
): (Tensor | undefined)[] {
  const { scale, size, wide, hat: hatOf, over, perChannel, pairs } = inGroups(
    kind,
    x.shape,
    stats,
    attrs,
  );
  const [hat, gs, hs, factor] = [hatOf(x), wide(g), wide(h), perChannel(gamma)];
  const w = mul(gs, factor);
  const [m1, m2, h1, h2] = [w, mul(w, hat), hs, mul(hs, hat)].map(over);
  // The map from w to dx is its own transpose.
  const ofW = () => mul(scale, sub(sub(hs, h1), mul(hat, h2)));
  const back = (t: Tensor, like: Tensor) => cast(reshape(t, like.shape), like.dtype);
  const ofScale = () => sub(sub(over(mul(hs, w)), mul(h1, m1)), mul(mul(h2, m2), 3));
  return [
    wanted[0] ? back(neg(mul(square(scale), add(mul(hs, m2), mul(w, h2)))), x) : undefined,
    wanted[1] ? back(sum(mul(gs, ofW()), [0, 1]), gamma) : undefined,
    wanted[2] ? back(mul(factor, ofW()), g) : undefined,
    wanted[3]
      ? mul(pairs(mul(square(scale), add(mul(h1, m2), mul(m1, h2))), ofScale()), size)
      : undefined,
  ];
}

const groupNormOp = defineNorm("group");
const layerNormOp = defineNorm("layer");

/** Options of {@linkcode groupNorm}. */
export interface GroupNormOptions {
  /** How many groups the channels fall into. */
  readonly groups: number;
  /** Added to the variance. Default 1e-5. */
  readonly eps?: number;
}

/** Options of {@linkcode layerNorm}. */
export interface LayerNormOptions {
  /** Added to the variance. Default 1e-5. */
  readonly eps?: number;
}

/**
 * Group normalization: (x − mean)/√(variance + eps)·γ + β, with statistics of each image over all middle axes and
 * C/groups neighbouring channels.
 *
 * @param x `[B, …, C]`, channels last, f32 or f16
 * @param gamma scale `[C]`
 * @param beta shift `[C]`
 * @throws ShapeError when the channels do not divide into groups
 */
export function groupNorm(
  x: Tensor,
  gamma: Tensor,
  beta: Tensor,
  options: GroupNormOptions,
): Tensor {
  expectTensors("groupNorm", { x, gamma, beta });
  expectOptions("groupNorm", 3, options, { groups: "number", eps: "number" });
  const { groups, eps = 1e-5 } = options;
  return apply(groupNormOp, [x, gamma, beta], { groups, eps })[0];
}

/**
 * Layer normalization over the last axis: (x − mean)/√(variance + eps)·γ + β.
 *
 * @param x `[…, C]`, f32 or f16
 * @param gamma scale `[C]`
 * @param beta shift `[C]`
 * @returns of x's shape and element type
 * @throws ShapeError when scale or shift does not fit the channels
 */
export function layerNorm(
  x: Tensor,
  gamma: Tensor,
  beta: Tensor,
  options: LayerNormOptions = {},
): Tensor {
  expectTensors("layerNorm", { x, gamma, beta });
  expectOptions("layerNorm", 3, options, { eps: "number" });
  return apply(layerNormOp, [x, gamma, beta], { groups: 1, eps: options.eps ?? 1e-5 })[0];
}
