/**
 * What fine-tuning changed, and nothing else. Read in this order: `delta.ts` (what a delta is), `changes.ts` (the forms of a change,
 * and from one to another), `from_parameters.ts` (out of a run), `apply.ts` (into a model, several at once), `compress.ts`
 * (paper §4.1), `analyse.ts` (paper §3.2, Figure 3). `formats/` reads and writes files: `load.ts` and `save.ts` are its doors,
 * `registry.ts` lists the formats, `adapters/` has LoRA and its kin.
 */
export {
  checkBase,
  type Delta,
  type DeltaToken,
  type DeltaWeight,
  type FactoredChange,
  type ScaledChange,
  type TrainedWeight,
  type WeightChange,
} from "./delta.ts";
export type { DeltaFormatName, FormatContext } from "./formats/format.ts";
export { loadDelta } from "./formats/load.ts";
export {
  type BaseWeights,
  type SavedDelta,
  saveDelta,
  saveDeltaAs,
  type SaveDeltaOptions,
} from "./formats/save.ts";
export { changeNorm, factoredChange, trainedWeight, weightChange } from "./changes.ts";
export {
  type GroupChange,
  groupChanges,
  LAYER_GROUPS,
  type LayerChange,
  layerChanges,
  type LayerGroup,
  layerGroup,
  type ParameterPair,
} from "./analyse.ts";
export {
  compressDelta,
  type Compressed,
  type CompressOptions,
  type CompressTarget,
  rankOfEnergy,
} from "./compress.ts";
export { type AppliedDelta, withDelta, withDeltas } from "./apply.ts";
