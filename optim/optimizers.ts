/**
 * Optimizers, each a chain of transformations with the numbers of its paper. AdamW's arithmetic is that of
 * `autograd/optimizer.ts`, whose one function is state in, state out, for who composes nothing.
 */
import { expectOptions, type OptionKind } from "../tensor/arguments.ts";
import { calledAs } from "../tensor/called.ts";
import type { MomentOptions } from "../autograd/optimizer.ts";
import {
  clipByBlockRms,
  type FactoredOptions,
  type LionMoments,
  type RmsOptions,
  scaleByAdam,
  scaleByFactoredRms,
  scaleByLion,
  scaleByParamRms,
  scaleByRms,
} from "./adaptive.ts";
import { addDecayedWeights, ema, type Rate, scale, scaleByRate, trace } from "./scale.ts";
import { chain, type Leaves, type Transform } from "./transform.ts";

/** What every optimizer needs. */
export interface RateOption {
  /** Learning rate: a number, a scalar tensor, or a schedule. */
  readonly rate: Rate;
}

/** Decoupled weight decay. */
export interface DecayOptions {
  /** Factor of the parameters, before the rate. */
  readonly decay?: number;
  /** Which parameters decay. Default all. */
  readonly mask?: Leaves;
}

/**
 * A chain in the name of an optimizer: whatever its parts refuse, now or at a step, is said of it.
 *
 * @param places what the parts call what it calls otherwise
 */
function optimizer(
  name: string,
  parts: () => readonly Transform[],
  places: Readonly<Record<string, string>> = {},
): Transform {
  const as = <R>(f: () => R): R => calledAs(name, f, { ...PLACES, ...places });
  const { init, update } = as(() => chain(...parts()));
  return {
    init: (params) => as(() => init(params)),
    update: (grads, state, params) => as(() => update(grads, state, params)),
  };
}

/** What the parts of a chain call the options that every optimizer names alike. */
const PLACES = {
  "scaleByRate: argument 1 (rate)": "options.rate",
  "trace: argument 1 (decay)": "options.momentum",
  "addDecayedWeights: argument 1 (decay)": "options.decay",
};

const RATE = { rate: "any" } as const;
const DECAY = { decay: "number", mask: "any" } as const;
const known = (
  name: string,
  options: unknown,
  more: Readonly<Record<string, OptionKind>> = {},
): void => expectOptions(name, 0, options, { ...RATE, ...more });

/** Options of {@linkcode sgd}. */
export interface SgdOptions extends RateOption {
  /** Decay of the sum of gradients. Default 0: none is kept. */
  readonly momentum?: number;
  /** Momentum one step ahead. Default false. */
  readonly nesterov?: boolean;
}

/** Momentum where there is some. */
const pushed = (momentum: number, nesterov?: boolean): Transform[] =>
  momentum ? [trace(momentum, { nesterov })] : [];

/**
 * Gradient descent, with momentum or without: p − rate·g.
 *
 * @throws RangeError when the rate, a decay or ε is below 0 or not finite, or β does not lie from 0 to below 1; TypeError for another option
 */
export function sgd(options: SgdOptions): Transform {
  known("sgd", options, { momentum: "number", nesterov: "true or false" });
  const { rate, momentum = 0, nesterov } = options;
  return optimizer("sgd", () => [...pushed(momentum, nesterov), scaleByRate(rate)]);
}

/** Options of {@linkcode adam}. */
export interface AdamOptions extends RateOption, MomentOptions {}
const MOMENTS = { beta1: "number", beta2: "number", epsilon: "number" } as const;

/**
 * Adam (Kingma & Ba 2015).
 *
 * @throws RangeError when the rate, a decay or ε is below 0 or not finite, or β does not lie from 0 to below 1; TypeError for another option
 */
export function adam(options: AdamOptions): Transform {
  known("adam", options, MOMENTS);
  const { rate, ...moments } = options;
  return optimizer("adam", () => [scaleByAdam(moments), scaleByRate(rate)]);
}

/** Options of {@linkcode adamw}. */
export interface AdamWOptions extends AdamOptions, DecayOptions {}

/**
 * AdamW (Loshchilov & Hutter 2019): Adam with decoupled weight decay, default 0.01.
 *
 * @throws RangeError when the rate, a decay or ε is below 0 or not finite, or β does not lie from 0 to below 1; TypeError for another option
 */
export function adamw(options: AdamWOptions): Transform {
  known("adamw", options, { ...MOMENTS, ...DECAY });
  const { rate, decay = 0.01, mask, ...moments } = options;
  return optimizer(
    "adamw",
    () => [scaleByAdam(moments), addDecayedWeights(decay, mask), scaleByRate(rate)],
  );
}

/** Options of {@linkcode lion}. */
export interface LionOptions extends RateOption, LionMoments, DecayOptions {}

/**
 * Lion (Chen et al. 2023), with decoupled weight decay, default 0.001. Its rate is a third to a tenth of AdamW's.
 *
 * @throws RangeError when the rate, a decay or ε is below 0 or not finite, or β does not lie from 0 to below 1; TypeError for another option
 */
export function lion(options: LionOptions): Transform {
  known("lion", options, { beta1: "number", beta2: "number", ...DECAY });
  const { rate, decay = 1e-3, mask, ...moments } = options;
  return optimizer(
    "lion",
    () => [scaleByLion(moments), addDecayedWeights(decay, mask), scaleByRate(rate)],
  );
}

/** Options of {@linkcode rmsprop}. */
export interface RmsPropOptions extends SgdOptions, RmsOptions {}

/**
 * RMSProp (Tieleman & Hinton 2012), with momentum or without.
 *
 * @throws RangeError when the rate, a decay or ε is below 0 or not finite, or β does not lie from 0 to below 1; TypeError for another option
 */
export function rmsprop(options: RmsPropOptions): Transform {
  known("rmsprop", options, {
    momentum: "number",
    nesterov: "true or false",
    decay: "number",
    epsilon: "number",
    epsilonOutside: "true or false",
    centered: "true or false",
  });
  const { rate, momentum = 0, nesterov, ...rms } = options;
  return optimizer(
    "rmsprop",
    () => [scaleByRms(rms), ...pushed(momentum, nesterov), scaleByRate(rate)],
  );
}

/** Options of {@linkcode adafactor}. */
export interface AdafactorOptions extends FactoredOptions, DecayOptions {
  /** Learning rate, in shares of the parameter's own size where `relative`. Default 1. */
  readonly rate?: Rate;
  /** The rate is in proportion to the parameter's root mean square. Default true. */
  readonly relative?: boolean;
  /** The most that the root mean square of an update's direction is. Default 1; ∞ for any. */
  readonly clip?: number;
  /** Decay of a running average of updates. Default 0: none is kept. */
  readonly momentum?: number;
}

/**
 * Adafactor (Shazeer & Stern 2018): of a matrix's squares, means of rows and columns are kept alone, so that its state takes
 * next to no memory. Weight decay is not scaled by the rate, default 0.
 *
 * @throws RangeError when the rate, a decay or ε is below 0 or not finite, or β does not lie from 0 to below 1; TypeError for another option
 */
export function adafactor(options: AdafactorOptions = {}): Transform {
  known("adafactor", options, {
    relative: "true or false",
    clip: "number",
    momentum: "number",
    decayRate: "number",
    minDim: "number",
    epsilon: "number",
    ...DECAY,
  });
  const { rate = 1, relative = true, clip = 1, momentum = 0, decay = 0, mask, ...of } = options;
  return optimizer(
    "adafactor",
    () => [
      scaleByFactoredRms(of),
      ...clip === Infinity ? [] : [clipByBlockRms(clip)],
      scaleByRate(rate),
      ...relative ? [scaleByParamRms()] : [],
      ...momentum ? [ema(momentum, { debias: false })] : [],
      ...decay ? [scale(-1), addDecayedWeights(decay, mask), scale(-1)] : [],
    ],
    {
      "clipByBlockRms: argument 1 (threshold)": "options.clip",
      "ema: argument 1 (decay)": "options.momentum",
    },
  );
}
