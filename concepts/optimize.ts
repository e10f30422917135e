/** One step of AdamW on a loss of a model's parameters: what training and its comparison with PyTorch have in common. */
import { compile, type Compiled } from "../compile/compile.ts";
import { valueAndGrad } from "../autograd/grad.ts";
import type { Mask } from "../autograd/mask.ts";
import { type AdamState, adamw } from "../autograd/optimizer.ts";
import type { Pipeline, PipelineParams } from "../diffusion/pipeline.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** `(state, batch, rate)` to the new state, in the memory of the old one, and the loss. */
export type OptimizerStep<B> = Compiled<
  [AdamState, B, Tensor],
  { state: AdamState; loss: Tensor }
>;

/**
 * Compiles a step that trains what a mask selects.
 *
 * @param loss of all parameters and a batch, a scalar
 */
export function optimizerStep<B>(
  { device, params }: Pick<Pipeline, "device" | "params">,
  trainable: Mask,
  decay: number,
  loss: (params: PipelineParams, batch: B) => Tensor,
): OptimizerStep<B> {
  return compile(device, (state: AdamState, batch: B, rate: Tensor) => {
    const { value, grads } = valueAndGrad((trained: AdamState["params"]) =>
      loss(trainable.merge(params, trained) as PipelineParams, batch)
    )(state.params);
    return { state: adamw(state, grads, { rate, decay }), loss: value };
  }, { donate: [0] });
}
