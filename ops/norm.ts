/**
 * Group norm (channels last) and layer norm. Forward also gives each group's mean and 1/σ, which are all that backward
 * needs beside the input. The input's gradient is an op of its own; those of scale and shift are sums, built only when
 * they are wanted, so that frozen parameters cost nothing.
 */
import { apply, type Tensor } from "../tensor/tensor.ts";
import { expectOptions, expectTensors } from "../tensor/arguments.ts";
import { sameShape, type Shape, ShapeError, show, type Spec } from "../tensor/shape.ts";
import { isFloat } from "../tensor/dtype.ts";
import { defineOp, type Op } from "../tensor/op.ts";
import { reverse } from "../tensor/reverse.ts";
import { add, mul, rsqrt, square, sub } from "./arithmetic.ts";
import { cast } from "./cast.ts";
import { expand, sum } from "./broadcast.ts";
import { reshape, slice } from "./movement.ts";
import { mean } from "./reduce.ts";
import { groupShape, layerShape, type NormAttrs, type NormShape } from "./norm_shape.ts";
import { groupGradKernel, groupNormKernel } from "./norm_group.ts";
import { layerGradKernel, layerNormKernel } from "./norm_layer.ts";

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
    vjp([h], { inputs: [x, gamma, g], attrs }, wanted) {
      // Second derivatives are rare: differentiate the same thing written with ops.
      if (!h) return [];
      const wantedInputs = [x, gamma, g].filter((_, i) => wanted[i]);
      const found = reverse([[byOps(kind, x, gamma, g, attrs), h]], wantedInputs, add);
      return [0, 1, 2].map((i) => wanted[i] ? found.shift() : undefined);
    },
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
    vjp([g], { inputs: [x, gamma, beta], outputs: [, stats], attrs }, wanted) {
      if (!g) return [];
      const axes = x.shape.map((_, i) => i).slice(0, -1);
      const g32 = cast(g, "f32");
      return [
        wanted[0] ? apply(gradOp, [x, gamma, g, stats], attrs)[0] : undefined,
        wanted[1]
          ? cast(sum(mul(g32, normalized(kind, x, stats, attrs)), axes), gamma.dtype)
          : undefined,
        wanted[2] ? cast(sum(g32, axes), beta.dtype) : undefined,
      ];
    },
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

/** (x − mean)/σ in f32, with statistics that are known already. */
function normalized(kind: Kind, x: Tensor, stats: Tensor, attrs: NormAttrs): Tensor {
  const s = shapeOf(kind, x.shape, attrs);
  const split = [s.images, s.pixels, s.groups, s.channels];
  const part = (i: number) =>
    expand(reshape(slice(stats, 1, i, i + 1), [s.images, 1, s.groups, 1]), split);
  const hat = mul(sub(reshape(cast(x, "f32"), split), part(0)), part(1));
  return reshape(hat, x.shape);
}

/** The input's gradient written with ops, from the input alone. */
function byOps(kind: Kind, x: Tensor, gamma: Tensor, g: Tensor, attrs: NormAttrs): Tensor {
  const s = shapeOf(kind, x.shape, attrs);
  const split = [s.images, s.pixels, s.groups, s.channels];
  const over = (t: Tensor) => expand(mean(t, [1, 3], { keep: true }), split);
  const values = reshape(cast(x, "f32"), split);
  const centred = sub(values, over(values));
  const scale = rsqrt(add(over(square(centred)), attrs.eps));
  const hat = mul(centred, scale);
  const w = reshape(mul(cast(g, "f32"), cast(gamma, "f32")), split);
  const dx = mul(scale, sub(sub(w, over(w)), mul(hat, over(mul(w, hat)))));
  return cast(reshape(dx, x.shape), x.dtype);
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
  expectOptions("groupNorm", 3, options, ["groups", "eps"]);
  const { groups, eps = 1e-5 } = options;
  return apply(groupNormOp, [x, gamma, beta], { groups, eps })[0];
}

/**
 * Layer normalization over the last axis: (x − mean)/√(variance + eps)·γ + β.
 *
 * @param x `[…, C]`, f32 or f16
 * @param gamma scale `[C]`
 * @param beta shift `[C]`
 */
export function layerNorm(
  x: Tensor,
  gamma: Tensor,
  beta: Tensor,
  options: LayerNormOptions = {},
): Tensor {
  expectTensors("layerNorm", { x, gamma, beta });
  expectOptions("layerNorm", 3, options, ["eps"]);
  return apply(layerNormOp, [x, gamma, beta], { groups: 1, eps: options.eps ?? 1e-5 })[0];
}
