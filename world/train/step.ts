/**
 * The training step that all stages share, compiled once and replayed: loss, gradients, clipping by their global norm,
 * AdamW, and the running average of the weights. What changes from step to step is data.
 */
import { compile, type Compiled } from "../../compile/compile.ts";
import type { Device } from "../../device/device.ts";
import { valueAndGrad } from "../../autograd/grad.ts";
import {
  adamInit,
  type AdamState,
  adamw,
  clipByGlobalNorm,
  type Named,
} from "../../autograd/optimizer.ts";
import { mul, sub } from "../../ops/elementwise/arithmetic.ts";
import { incrementalUpdate } from "../../optim/transform.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Branch } from "../../tensor/tree.ts";

/** Everything that a step changes: weights, moments and, where a stage keeps them, averaged weights. */
export interface TrainState extends AdamState {
  /** Exponential moving average of the weights. */
  readonly average?: Named;
}

/** Numbers that change from step to step. */
export interface Knobs {
  readonly [name: string]: Tensor;
  /** AdamW's rate. */
  readonly rate: Tensor;
  /** Share of the old average that is kept. */
  readonly keep: Tensor;
}

/** A batch: named tensors. */
export type Batch = Branch<Tensor>;

/** A loss, and numbers to be logged beside it. */
export interface Losses {
  readonly loss: Tensor;
  readonly [part: string]: Tensor;
}

/** The optimizer's constants. */
export interface StepOptions {
  readonly beta2: number;
  /** Decoupled weight decay. */
  readonly decay: number;
  /** Leave biases, norms and single numbers without decay. */
  readonly decayMatricesOnly?: boolean;
  /** Factor of the rate for each parameter, by its path. Default 1 for all. */
  readonly scale?: (path: string) => number;
  /** Bound of the gradients' global norm. */
  readonly clip: number;
}

/** The step: state and batch in; new state, in the old one's memory, and losses out. */
export type Step = Compiled<[TrainState, Batch, Knobs], { state: TrainState; losses: Losses }>;

/** The state that training starts from. Traced: evaluate it. */
export function initialState(params: Named, averaged: boolean): TrainState {
  const state = adamInit(params);
  return averaged ? { ...state, average: params } : state;
}

/** Compiles the step of a loss over named parameters. */
export function trainStep<B extends Batch>(
  device: Device,
  loss: (params: Named, batch: B) => Losses,
  options: StepOptions,
): Step {
  const { beta2, decay, decayMatricesOnly, scale, clip } = options;
  const step = (state: TrainState, batch: Batch, { rate, keep }: Knobs) => {
    let losses: Losses | undefined;
    const { grads } = valueAndGrad((params: Named) => {
      losses = loss(params, batch as B);
      return losses.loss;
    })(state.params);
    const clipped = clipByGlobalNorm(grads, clip).grads;
    const moved = adamw(state, clipped, { rate, scale, beta2, decay: 0 });
    const decays = (t: Tensor) => !decayMatricesOnly || t.shape.length > 1;
    const params = named(
      moved.params,
      (p, k) => decays(p) ? sub(p, mul(mul(rate, decay * (scale?.(k) ?? 1)), state.params[k])) : p,
    );
    const { average } = state;
    const next: TrainState = { ...moved, params };
    return {
      state: average
        ? {
          ...next,
          // The old average is what has a share of `keep`.
          average: incrementalUpdate(average, params, keep),
        }
        : next,
      losses: losses!,
    };
  };
  return compile(device, step, { donate: [0] });
}

const named = (tree: Named, f: (t: Tensor, path: string) => Tensor): Named =>
  Object.fromEntries(Object.entries(tree).map(([k, t]) => [k, f(t, k)]));
