/** One step of AdamW on a loss of a model's parameters: what training and its comparison with PyTorch have in common. */
import { compile, type Compiled, evaluate } from "../../compile/compile.ts";
import { valueAndGrad } from "../../autograd/grad.ts";
import type { Mask } from "../../autograd/mask.ts";
import {
  adamInit,
  type AdamState,
  adamw,
  clipByGlobalNorm,
  type Named,
} from "../../autograd/optimizer.ts";
import type { Device } from "../../device/device.ts";
import type { PipelineParams } from "../../diffusion/pipeline.ts";
import { add, mul } from "../../ops/elementwise/arithmetic.ts";
import { scalar, tensor } from "../../ops/leaf.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { flatten } from "../../tensor/tree.ts";

/** A step that is not compiled: `(state, batch, rate)` to the new state and the loss. */
export type OptimizerStep<B> = (
  state: AdamState,
  batch: B,
  rate: Tensor,
) => { state: AdamState; loss: Tensor };

/** A compiled step, whose new state lies in the memory of the old one. */
export type CompiledStep<B> = Compiled<[AdamState, B, Tensor], ReturnType<OptimizerStep<B>>>;

/** The loss of all parameters and one part of a batch, a scalar. */
export type PartLoss<B> = (params: PipelineParams, batch: B, part: number) => Tensor;

/** How the loss of a batch is taken apart, and what becomes of its gradients. */
export interface LossParts<B> {
  /** Parts whose mean is the loss, computed one after the other. Default 1. */
  readonly parts?: number;
  /** How many of them to trace: all of them, but for planning. */
  readonly traced?: number;
  /** Factor that gradients carry on their way back, and lose at its end, in f32. Default 1. */
  readonly scale?: (batch: B) => number;
  /** The most that the norm of all gradients together may be: longer ones are shortened to it. Default: any. */
  readonly clip?: number;
}

/** A mean loss and its gradients, or what is summed up of them so far. */
export interface Gradients {
  /** The loss, a scalar. */
  readonly value: Tensor;
  /** Of each trained parameter. */
  readonly grads: Named;
}

/** Sums over the parts of a batch, each weighted so that the sum over all of them and `batches` batches is a mean. */
function partGradients<B>(
  params: PipelineParams,
  trainable: Mask,
  loss: PartLoss<B>,
  trained: Named,
  batch: B,
  { parts = 1, traced = parts, scale = () => 1 }: LossParts<B>,
  batches = 1,
): Gradients {
  const factor = scale(batch);
  const unscaled = (t: Tensor) => factor === 1 ? t : mul(t, 1 / factor);
  let sum: Gradients | undefined;
  for (let part = 0; part < Math.min(parts, traced); part++) {
    const scaled = valueAndGrad((trained: Named) => {
      const merged = trainable.merge(params, trained) as PipelineParams;
      return mul(loss(merged, batch, part), factor / (parts * batches));
    })(trained);
    const one = {
      value: unscaled(scaled.value),
      grads: Object.fromEntries(Object.entries(scaled.grads).map(([k, g]) => [k, unscaled(g)])),
    };
    sum = sum ? added(sum, one) : one;
  }
  return sum!;
}

const added = (a: Gradients, b: Gradients): Gradients => ({
  value: add(a.value, b.value),
  grads: Object.fromEntries(Object.entries(b.grads).map(([k, g]) => [k, add(a.grads[k], g)])),
});

/** AdamW on gradients, shortened where that is asked for. */
function update(
  state: AdamState,
  grads: Named,
  rate: Tensor,
  decay: number,
  clip?: number,
): AdamState {
  const used = clip === undefined ? grads : clipByGlobalNorm(grads, clip).grads;
  return adamw(state, used, { rate, decay });
}

/** A step that trains what a mask selects. */
export function optimizerStep<B>(
  params: PipelineParams,
  trainable: Mask,
  decay: number,
  loss: PartLoss<B>,
  options: LossParts<B> = {},
): OptimizerStep<B> {
  return (state, batch, rate) => {
    const { value, grads } = partGradients(params, trainable, loss, state.params, batch, options);
    return { state: update(state, grads, rate, decay, options.clip), loss: value };
  };
}

/** Compiles a step for a device. */
export const compileStep = <B>(device: Device, step: OptimizerStep<B>): CompiledStep<B> =>
  compile(device, step, { donate: [0] });

/** A step in two programs, for batches that come in several pieces. */
export interface AccumulatedStep<B> {
  /** `keep` times the sum so far, and a piece's share; `keep` is 0 for the first piece of a step, and 1 for others. */
  readonly gather: (sum: Gradients, trained: Named, piece: B, keep: Tensor) => Gradients;
  /** The update, once all are in. */
  readonly update: (state: AdamState, grads: Named, rate: Tensor) => AdamState;
}

/** A sum of nothing. The result is traced: evaluate it to get device memory. */
export const noGradients = (trained: Named): Gradients => ({
  value: scalar(0),
  grads: adamInit(trained).m,
});

/**
 * The same step for `pieces` batches whose mean is the loss. It equals {@linkcode optimizerStep} on all of them at once
 * but for rounding, and holds one of them at a time, and the gradients' sum.
 */
export function accumulatedStep<B>(
  params: PipelineParams,
  trainable: Mask,
  decay: number,
  loss: PartLoss<B>,
  pieces: number,
  options: LossParts<B> = {},
): AccumulatedStep<B> {
  return {
    gather(sum, trained, piece, keep) {
      const kept = {
        value: mul(sum.value, keep),
        grads: Object.fromEntries(Object.entries(sum.grads).map(([k, g]) => [k, mul(g, keep)])),
      };
      return added(
        kept,
        partGradients(params, trainable, loss, trained, piece, options, pieces),
      );
    },
    update: (state, grads, rate) => update(state, grads, rate, decay, options.clip),
  };
}

/** A step of several pieces on a device: takes them one by one, the next not before the last is under way. */
export interface CompiledPieces<B> {
  /** State, pieces and rate in; new state, in the memory of the old one, and mean loss out. */
  run(
    state: AdamState,
    pieces: Iterable<B>,
    rate: Tensor,
  ): ReturnType<OptimizerStep<B>>;
  /** Gives back all memory. */
  free(): void;
}

/** Compiles a step of several pieces. */
export function compilePieces<B>(
  device: Device,
  step: AccumulatedStep<B>,
): CompiledPieces<B> {
  const gather = compile(device, step.gather, { donate: [0] });
  const update = compile(device, step.update, { donate: [0] });
  const [none, all] = [tensor([0], []), tensor([1], [])];
  let sum: Gradients | undefined;
  return {
    run(state, pieces, rate) {
      sum ??= evaluate(device, noGradients(state.params));
      let keep = none;
      for (const piece of pieces) {
        sum = gather(sum, state.params, piece, keep);
        keep = all;
      }
      return { state: update(state, sum.grads, rate), loss: sum.value };
    },
    free() {
      gather.free();
      update.free();
      if (sum) device.free(...flatten<Tensor>({ ...sum }).map(([, t]) => t));
    },
  };
}
