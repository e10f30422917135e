/**
 * Names of the samplers, and which of them stands for a scheduler class of diffusers: `_class_name` in a model folder's
 * `scheduler_config.json`.
 */

/** A sampler: what `--sampler` and the `sampler` options take. */
export type SamplerName =
  | "ddpm"
  | "ddim"
  | "pndm"
  | "euler"
  | "euler-ancestral"
  | "dpm++2m"
  | "dpm++2m-karras";

/** The sampler that is meant by a class. */
const SAME: Readonly<Record<string, SamplerName>> = {
  DDPMScheduler: "ddpm",
  DDPMParallelScheduler: "ddpm",
  DDIMScheduler: "ddim",
  DDIMParallelScheduler: "ddim",
  PNDMScheduler: "pndm",
  EulerDiscreteScheduler: "euler",
  EulerAncestralDiscreteScheduler: "euler-ancestral",
  DPMSolverMultistepScheduler: "dpm++2m",
};

/** Classes for models with the same noise whose own way of sampling is not here, and the nearest that is. */
const NEAREST: Readonly<Record<string, SamplerName>> = {
  DEISMultistepScheduler: "dpm++2m",
  DPMSolverSinglestepScheduler: "dpm++2m",
  HeunDiscreteScheduler: "dpm++2m",
  KDPM2DiscreteScheduler: "dpm++2m",
  LMSDiscreteScheduler: "dpm++2m",
  UniPCMultistepScheduler: "dpm++2m",
  DPMSolverSDEScheduler: "euler-ancestral",
  KDPM2AncestralDiscreteScheduler: "euler-ancestral",
};

/** Every class that is understood. */
export const SCHEDULER_CLASSES: readonly string[] = [...Object.keys(SAME), ...Object.keys(NEAREST)];

/** The sampler for a class of diffusers; undefined for classes whose models are trained with noise of another kind. */
export const samplerOfClass = (name: string): SamplerName | undefined =>
  Object.hasOwn(SAME, name) ? SAME[name] : Object.hasOwn(NEAREST, name) ? NEAREST[name] : undefined;
