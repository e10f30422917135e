/**
 * moongate teaches a text-to-image diffusion model new concepts from a few pictures (Custom Diffusion, Kumari et al.,
 * CVPR 2023), on any GPU that speaks Vulkan, Metal or DX12: no Python, no CUDA.
 *
 * It stands on a functional tensor library: ops are functions, `valueAndGrad` differentiates them, `compile` turns a
 * pure function into a program that replays, and fine-tuning is a `mask` over a tree of parameters.
 *
 * ```ts ignore
 * const device = await gpu();
 * const model = await loadStableDiffusion(device, "./stable-diffusion-v1-5", { addTokens: { "<new1>": "ktn" } });
 * const delta = await trainConcepts(model, { concepts: [dog], regularization });
 * await saveDelta("my-dog.safetensors", delta);
 * const [picture] = await generate(withDelta(model, delta), ["a <new1> dog wearing a party hat"]);
 * ```
 *
 * @module
 */

// Devices, tensors, programs, derivatives, ops.
export * from "./engine.ts";

/** Training: optimizers that compose, schedules, initializers, a loader, trees in files. */
export * as optim from "./optim/mod.ts";

// What few models need.
export * from "./more.ts";

// Matrices of float64 on the host.
export * from "./linalg.ts";

// Diffusion models.
export {
  loadPipeline,
  loadPipeline as loadStableDiffusion,
  type Pipeline,
  type PipelineConfig,
  type PipelineOptions,
  type PipelineParams,
  textWindow,
} from "./diffusion/pipeline.ts";
export type { ClipEncoderConfig } from "./models/clip/encoder.ts";
export type { ClipTextConfig } from "./models/clip/text.ts";
export type {
  AddedConditions,
  AddedConfig,
  Block,
  UNetConfig,
  UNetOptions,
} from "./models/unet/unet.ts";
export type { AttentionHook, AttentionSite, ProbabilityMap } from "./models/unet/attention_hook.ts";
export type { Posterior, VaeConfig } from "./models/vae/vae.ts";
export { ParameterError, type ParameterTree } from "./models/params.ts";
export {
  TokenError,
  Tokenizer,
  type TokenizerParts,
  type WholeToken,
} from "./models/clip/tokenizer.ts";
export {
  checkTexts,
  type CutText,
  cutText,
  type OnWarning,
  type TextWindow,
} from "./models/text_window.ts";
export { type BatchPart, diffusionLoss, type LossBatch, type LossModel } from "./diffusion/loss.ts";
export type { PromptFeatures } from "./diffusion/conditions.ts";
export type { NoiseSchedule, Prediction } from "./diffusion/samplers/schedule.ts";
export type { SamplingConfig, Spacing } from "./diffusion/samplers/config.ts";
export type { SamplerName } from "./diffusion/samplers/names.ts";
export { generate, type LatentOptions, type SampleOptions, Sampler } from "./diffusion/sample.ts";
export {
  type AttentionMapOptions,
  type AttentionMaps,
  attentionMaps,
  attentionSheet,
  type WordMap,
} from "./diffusion/editing/attention_maps.ts";
export {
  type EditChoices,
  type EditedPicture,
  type EditOptions,
  editPrompt,
} from "./diffusion/editing/prompt_edit.ts";
export type { Cut } from "./diffusion/conditions.ts";
export {
  planSamplingMemory,
  type Precision,
  type SamplingMemory,
  type SamplingPlan,
  type SamplingShape,
} from "./diffusion/memory.ts";
export { SAMPLER_NAMES, type SamplerChoice } from "./diffusion/samplers/samplers.ts";

// Concepts, by the rooms of `concepts/`.
// The pictures and words of a step.
export * from "./concepts/data/mod.ts";
// Training.
export * from "./concepts/training/mod.ts";
// Deltas: what training changed.
export * from "./concepts/deltas/mod.ts";
// The merge.
export * from "./concepts/merge/mod.ts";
// Whether this machine computes a model as PyTorch does.
export * from "./concepts/verify/mod.ts";

// Evaluation: how well pictures show what they should.
export type { Features } from "./evaluate/features.ts";
export {
  clipScores,
  imageAlignment,
  imageAlignmentEstimate,
  textAlignment,
  textAlignmentEstimate,
  withoutTokens,
} from "./evaluate/alignment.ts";
export { bootstrap, type BootstrapOptions, type Estimate } from "./evaluate/bootstrap.ts";
export {
  type ClipFolder,
  type ClipScorer,
  inspectClip,
  openClip,
  type PromptOptions,
} from "./evaluate/clip.ts";
export { type DinoFolder, inspectDino, openDino } from "./evaluate/dino.ts";
export type { ImageEncoder, Look } from "./evaluate/encoder.ts";
export { frechetDistance, frechetEstimate } from "./evaluate/fid.ts";
export { kid, kidEstimate, type KidOptions } from "./evaluate/kid.ts";
export {
  type Score,
  type ScoredPictures,
  type ScoreOptions,
  scorePictures,
} from "./evaluate/scores.ts";
export type { ClipConfig, ClipVisionConfig } from "./models/clip/vision.ts";
export type { VitConfig } from "./models/vit.ts";

// Pictures and files.
export { FileError } from "./files/errors.ts";
export { fingerprint } from "./files/models/fingerprint.ts";
export { type ModelFolder, openModelFolder } from "./files/models/folder.ts";
export { type CaptionedFile, listCaptioned } from "./files/collection.ts";
export {
  fitted,
  listPictures,
  type Picture,
  readPicture,
  resize,
  squared,
} from "./files/pictures/image.ts";
export type { ResizeFilter } from "./files/pictures/resize.ts";
export { readPngText, writePng } from "./files/pictures/png.ts";
export { sheet, type SheetOptions } from "./files/pictures/sheet.ts";
export type { JsonObject } from "./files/json.ts";
export type { ByteSource } from "./files/source.ts";
export { copyFile } from "./files/atomic.ts";
export { droppedFiles, mount, type Mountable } from "./files/stores/stores.ts";
export type { FileStore, Kind as FileKind, Put } from "./files/stores/store.ts";
export type { FileHandle, FolderHandle } from "./files/stores/handles.ts";
export { webFolder } from "./files/stores/web.ts";
export {
  type FileArray,
  type FileDType,
  openSafetensors,
  type StoredTensor,
  type TensorInfo,
  type TensorSource,
} from "./files/safetensors/read.ts";
export { type TensorToWrite, writeSafetensors } from "./files/safetensors/write.ts";
export { encodeNpy, encodeNpz, openNpz, readNpy, writeNpy, writeNpz } from "./files/numpy/npy.ts";
export {
  openTorch,
  type TorchDict,
  type TorchFile,
  type TorchTensor,
  type TorchValue,
} from "./files/torch/checkpoint.ts";
export { type TorchToWrite, writeTorch } from "./files/torch/write.ts";
export { openWeights } from "./files/models/weights.ts";
