/**
 * Teaching concepts (paper §3.1, §3.2). Read in this order: `train.ts` (the loop), `given.ts` (what it takes),
 * `trainable.ts` (what trains, a mask), `step.ts` (the loss of a batch), `optimize.ts` (one step of AdamW),
 * `precomputed.ts`, `posteriors.ts` and `caption_features.ts` (what is known before the first step), `rates.ts`, `memory.ts`
 * (the layout that fits), `checkpoints.ts`. `methods.ts` and `presets.ts` are choices of numbers, `model_settings.ts` those
 * of a model's folder; `rare_tokens.ts` says where V* starts, `earlier_delta.ts` how a run goes on from another's result.
 */
export { type Checkpoint, loadCheckpoint, saveCheckpoint, type SavedState } from "./checkpoints.ts";
export {
  layouts,
  planTrainingMemory,
  type StepMemory,
  type StepShape,
  type TrainingPlan,
  type TrainingShape,
} from "./memory.ts";
export type { StepLayout } from "./step.ts";
export type { Preparing } from "./precomputed.ts";
export { trainConcepts, TrainingError, type TrainOptions, type TrainReport } from "./train.ts";
export { type RareToken, type RareTokenOptions, rareTokens } from "./rare_tokens.ts";
export { rateFactor, type RateOptions, type RateSchedule, scheduleOf } from "./rates.ts";
export { type Preset, type PresetChoices, PRESETS } from "./presets.ts";
export { customDiffusionMask } from "./trainable.ts";
export {
  type Method,
  type MethodChoices,
  type MethodPreset,
  METHODS,
  type Trains,
} from "./methods.ts";
