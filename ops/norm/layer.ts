/** Layer norm's kernels: two folds of each row (mean, then centred squares), one for the gradient. See `rows.ts`. */
import {
  type BufferUse,
  f32,
  type KernelContext,
  type KernelPlan,
  realSize,
  storageType,
} from "../../tensor/kernel.ts";
import { layerShape, type NormAttrs } from "./shape.ts";
import { rowKernel, rowType, rowWidth } from "../rows.ts";

/** Forward: y to output 0, (mean, 1/σ) of each row to output 1. */
export function layerNormKernel(ctx: KernelContext<NormAttrs>): KernelPlan {
  const [x] = ctx.inputs;
  const { images: rows, channels: length } = layerShape(x.shape);
  const type = rowType(length);
  const parameter = (name: string, i: number): BufferUse => ({
    name,
    ref: { input: i },
    access: "read",
    type: storageType(ctx.inputs[i].dtype, rowWidth(length)),
  });
  const dispatch = rowKernel({
    label: "layerNorm",
    rows,
    length,
    operands: [{ name: "xs", dtype: x.dtype, input: 0 }],
    buffers: [
      parameter("gammas", 1),
      parameter("betas", 2),
      { name: "stats", ref: { output: 1 }, access: "write", type: "vec2<f32>" },
    ],
    phases: [
      {
        folds: [{ name: "total", join: "add", value: ([x]) => x }],
        then: `let mean = total * ${realSize(1 / length, "share")};`,
      },
      {
        update: ([x]) => [`${x} - ${type}(mean)`],
        folds: [{ name: "squares", join: "add", value: ([x]) => `${x} * ${x}` }],
        then: `let scale = inverseSqrt(squares * ${realSize(1 / length, "share")} + ${
          f32(ctx.attrs.eps)
        });`,
      },
    ],
    finish: "stats[row] = vec2<f32>(mean, scale);",
    map: {
      value: ([x], k) => `${x} * scale * ${type}(gammas[${k}]) + ${type}(betas[${k}])`,
      epilogue: ctx.epilogue,
    },
  }, ctx.profile);
  return { dispatches: [dispatch] };
}

/** The input's gradient. Inputs: x, γ, g, statistics. */
export function layerGradKernel(ctx: KernelContext<NormAttrs>): KernelPlan {
  const [x, gamma, g] = ctx.inputs;
  const { images: rows, channels: length } = layerShape(x.shape);
  const type = rowType(length);
  const dispatch = rowKernel({
    label: "layerNormGrad",
    rows,
    length,
    operands: [
      { name: "xs", dtype: x.dtype, input: 0 },
      { name: "gs", dtype: g.dtype, input: 2 },
    ],
    buffers: [
      {
        name: "gammas",
        ref: { input: 1 },
        access: "read",
        type: storageType(gamma.dtype, rowWidth(length)),
      },
      { name: "stats", ref: { input: 3 }, access: "read", type: "vec2<f32>" },
    ],
    prologue: "let stat = stats[row];",
    phases: [{
      update: ([x, g], k) => [
        `(${x} - ${type}(stat.x)) * stat.y`,
        `${g} * ${type}(gammas[${k}])`,
      ],
      folds: [
        { name: "level", join: "add", value: ([, w]) => w },
        { name: "slope", join: "add", value: ([hat, w]) => `${w} * ${hat}` },
      ],
      then: `let a = ${type}(level * ${realSize(1 / length, "share")}); let b = slope * ${
        realSize(1 / length, "share")
      };`,
    }],
    map: {
      value: ([hat, w]) => `(${w} - a - ${hat} * b) * stat.y`,
      epilogue: ctx.epilogue,
    },
  }, ctx.profile);
  return { dispatches: [dispatch] };
}
