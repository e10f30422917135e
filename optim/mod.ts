/**
 * Training: what stands between a gradient and a trained model. Transformations of gradients that compose as optax's do, and the
 * optimizers made of them; schedules as data; initializers by key; a loader of examples; trees in files. A loop stays the
 * user's. `docs/library/training.md` shows them together.
 *
 * @module
 */
export {
  adafactor,
  type AdafactorOptions,
  adam,
  type AdamOptions,
  adamw,
  type AdamWOptions,
  type DecayOptions,
  lion,
  type LionOptions,
  type RateOption,
  rmsprop,
  type RmsPropOptions,
  sgd,
  type SgdOptions,
} from "./optimizers.ts";
export {
  applyUpdates,
  chain,
  incrementalUpdate,
  type Leaves,
  masked,
  type OptimizerState,
  type Transform,
} from "./transform.ts";
export {
  addDecayedWeights,
  clip,
  clipByGlobalNorm,
  ema,
  type EmaOptions,
  type Rate,
  scale,
  scaleByRate,
  scaleBySchedule,
  trace,
  type TraceOptions,
} from "./scale.ts";
export {
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
export type { MomentOptions } from "../autograd/optimizer.ts";
export {
  type ConstantSchedule,
  constantSchedule,
  cosineSchedule,
  type ExponentialSchedule,
  exponentialSchedule,
  type JoinedSchedule,
  joinSchedules,
  linearSchedule,
  type OneCycleOptions,
  oneCycleSchedule,
  piecewiseSchedule,
  type ProductSchedule,
  productSchedule,
  type RampSchedule,
  type Schedule,
  valueAt,
  warmUpSchedule,
} from "./schedules.ts";
/** How parameters are drawn, by key. */
export * as initializers from "./initializers.ts";
export {
  type Examples,
  type Loader,
  loader,
  type LoaderOptions,
  type LoaderState,
} from "./loader.ts";
export { type ExampleContext, serveExamples } from "./workers.ts";
export { type ExampleData, type Stacked, stackExamples } from "./stack.ts";
export {
  type LoadedTree,
  type LoadOptions,
  loadTree,
  type SavedLeaf,
  type SavedTree,
  type SaveOptions,
  saveTree,
} from "./trees.ts";
