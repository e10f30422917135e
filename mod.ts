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

// The machine.
export { type Backend, gpu, type GpuOptions } from "./device/adapter.ts";
export type { WantedDevice } from "./device/choice.ts";
export type { CpuOptions, CpuThreads } from "./device/cpu.ts";
export { type AdapterFacts, type CpuFacts, Device } from "./device/device.ts";
export { Guard } from "./device/guard.ts";
export type { CompileProgress } from "./device/pipelines.ts";
export { AdapterError, DeviceError, OutOfMemoryError } from "./device/errors.ts";
export { MemoryError } from "./device/memory.ts";
export { BindingError } from "./compile/plan.ts";
export type { ProgramBytes } from "./compile/estimate.ts";

// Tensors and trees of them.
export type { DType, HostArray } from "./tensor/dtype.ts";
export type { NumberArray, TensorData } from "./tensor/host.ts";
export { type Shape, ShapeError, type Spec } from "./tensor/shape.ts";
export type { AdapterProfile } from "./tensor/kernel.ts";
export { Tensor } from "./tensor/tensor.ts";
export { type Branch, flatten, mapTree, type Tree, unflatten } from "./tensor/tree.ts";

// Programs.
export {
  compile,
  type Compiled,
  type CompileOptions,
  evaluate,
  type Leaf,
} from "./compile/compile.ts";
export {
  type DebugOptions,
  type DebugReport,
  debugRun,
  type Problem,
} from "./compile/inspect/debug.ts";
export { explain } from "./compile/inspect/explain.ts";
export type { Blueprint } from "./compile/trace.ts";
export {
  type DispatchProfile,
  type Profile,
  profile,
  type ProfileOptions,
  profileTable,
} from "./compile/inspect/profile.ts";

// Derivatives, masks, optimizers.
export { checkpoint } from "./autograd/checkpoint.ts";
export { customVjp, type VjpRule } from "./autograd/custom_vjp.ts";
export { grad, type ValueAndGrad, valueAndGrad, vjp } from "./autograd/grad.ts";
export { hessian, type Jacobian, jacobian, type JacobianOptions } from "./autograd/jacobian.ts";
export { hvp, jvp, type ValueAndTangent } from "./autograd/jvp.ts";
export { Mask, mask, type Rows, rows, type Selection, type Trained } from "./autograd/mask.ts";
export {
  adamInit,
  type AdamOptions,
  type AdamState,
  adamw,
  clipByGlobalNorm,
  type Named,
  sgd,
} from "./autograd/optimizer.ts";

// Ops of your own.
export {
  defineMap,
  defineOp,
  type ManyOut,
  type OneOut,
  type OwnArguments,
  type OwnAttrs,
  type OwnMap,
  type OwnOp,
} from "./ops/own/define.ts";
export type { ElementCode, OwnContext, OwnPass, PassesKernel } from "./ops/own/kernel.ts";
export { type Batch, MissingRule, type Node, type Op, type Tools, type Wgsl } from "./tensor/op.ts";

// Loops and choices.
export { cond, whileLoop, type WhileOptions } from "./autograd/choice.ts";
export { type LoopOptions, scan } from "./autograd/scan.ts";

// One function for many examples.
export { type Axes, vmap, type VmapOptions } from "./autograd/vmap.ts";

// Ops.
export * from "./ops/mod.ts";

// Linear algebra of small matrices, on the host in float64.
export {
  cholesky,
  det,
  eigh,
  inverse,
  qr,
  solve,
  type TriangularOptions,
  triangularSolve,
} from "./numerics/dense.ts";
export type { Matrix } from "./numerics/matrix.ts";
export { type Svd, svd } from "./numerics/svd.ts";

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
export {
  type FileArray,
  type FileDType,
  openSafetensors,
  type StoredTensor,
  type TensorInfo,
  type TensorSource,
} from "./files/safetensors/read.ts";
export { type TensorToWrite, writeSafetensors } from "./files/safetensors/write.ts";
export {
  openTorch,
  type TorchDict,
  type TorchFile,
  type TorchTensor,
  type TorchValue,
} from "./files/torch/checkpoint.ts";
export { type TorchToWrite, writeTorch } from "./files/torch/write.ts";
export { openWeights } from "./files/models/weights.ts";
