/** One step of AdamW on a loss of a model's parameters: what training and its comparison with PyTorch have in common. */
import { compile, type Compiled } from "../compile/compile.ts";
import { valueAndGrad } from "../autograd/grad.ts";
import type { Mask } from "../autograd/mask.ts";
import { type AdamState, adamw } from "../autograd/optimizer.ts";
import type { Device } from "../device/device.ts";
import type { PipelineParams } from "../diffusion/pipeline.ts";
import { add, mul } from "../ops/arithmetic.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** A step that is not compiled: `(state, batch, rate)` to the new state and the loss. */
export type OptimizerStep<B> = (
  state: AdamState,
  batch: B,
  rate: Tensor,
) => { state: AdamState; loss: Tensor };

/** A compiled step, whose new state lies in the memory of the old one. */
export type CompiledStep<B> = Compiled<[AdamState, B, Tensor], ReturnType<OptimizerStep<B>>>;

/** How the loss of a batch is taken apart. */
export interface LossParts<B> {
  /** Parts whose mean is the loss, computed one after the other. Default 1. */
  readonly parts?: number;
  /** How many of them to trace: all of them, but for planning. */
  readonly traced?: number;
  /** Factor that gradients carry on their way back, and lose at its end, in f32. Default 1. */
  readonly scale?: (batch: B) => number;
}

/**
 * A step that trains what a mask selects.
 *
 * @param loss of all parameters and one part of a batch, a scalar
 */
export function optimizerStep<B>(
  params: PipelineParams,
  trainable: Mask,
  decay: number,
  loss: (params: PipelineParams, batch: B, part: number) => Tensor,
  { parts = 1, traced = parts, scale = () => 1 }: LossParts<B> = {},
): OptimizerStep<B> {
  return (state, batch, rate) => {
    const factor = scale(batch);
    const unscaled = (t: Tensor) => factor === 1 ? t : mul(t, 1 / factor);
    let sum: Tensor | undefined;
    let grads: Record<string, Tensor> = {};
    for (let part = 0; part < Math.min(parts, traced); part++) {
      const one = valueAndGrad((trained: AdamState["params"]) => {
        const merged = trainable.merge(params, trained) as PipelineParams;
        return mul(loss(merged, batch, part), factor / parts);
      })(state.params);
      const value = unscaled(one.value);
      sum = sum ? add(sum, value) : value;
      const sums = Object.entries(one.grads).map(([k, g]) =>
        [k, grads[k] ? add(grads[k], unscaled(g)) : unscaled(g)] as const
      );
      grads = Object.fromEntries(sums);
    }
    return { state: adamw(state, grads, { rate, decay }), loss: sum! };
  };
}

/** Compiles a step for a device. */
export const compileStep = <B>(device: Device, step: OptimizerStep<B>): CompiledStep<B> =>
  compile(device, step, { donate: [0] });
